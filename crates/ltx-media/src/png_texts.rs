//! Texts of a PNG that hold more than text: metadata of other formats.
//!
//! Must not know what the metadata says.

use crate::{embedded::Embedded, png_file::chunks};
use flate2::read::ZlibDecoder;
use std::{borrow::Cow, io::Read};

/// The most bytes that a text is unpacked to.
const MAX_TEXT_BYTES: u64 = 16 << 20;
/// How the keywords begin under which ImageMagick, and what follows it, keep a profile as hexadecimal digits.
const RAW_PROFILE: &str = "Raw profile type ";
/// The keyword of XMP.
const XMP: &str = "XML:com.adobe.xmp";

/// A text under its keyword, perhaps packed.
struct Text<'a> {
    keyword: &'a [u8],
    packed: bool,
    value: &'a [u8],
}

impl<'a> Text<'a> {
    /// The text of a tEXt, zTXt or iTXt chunk; `None` for one that is not as it should be.
    fn of(name: &[u8], body: &'a [u8]) -> Option<Self> {
        let (keyword, rest) = split(body)?;
        match name {
            b"tEXt" => Some(Self { keyword, packed: false, value: rest }),
            b"zTXt" => Some(Self { keyword, packed: true, value: rest.strip_prefix(&[0])? }),
            b"iTXt" => {
                let (&[packed, method], rest) = rest.split_first_chunk()?;
                let (_, (_, value)) = split(rest).and_then(|(language, rest)| Some((language, split(rest)?)))?;
                (packed == 0 || method == 0).then_some(Self { keyword, packed: packed != 0, value })
            }
            _ => None,
        }
    }

    /// What it says; `None` where it cannot be unpacked, or is too large.
    fn unpacked(&self) -> Option<Cow<'a, [u8]>> {
        if !self.packed {
            return Some(self.value.into());
        }
        let mut text = Vec::new();
        let read = ZlibDecoder::new(self.value).take(MAX_TEXT_BYTES + 1).read_to_end(&mut text);
        (read.is_ok() && text.len() as u64 <= MAX_TEXT_BYTES).then_some(text.into())
    }
}

/// What stands before the first 0, and behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// The last text under a keyword, wherever it stands.
fn last<'a>(bytes: &'a [u8], keyword: &str) -> Option<Text<'a>> {
    let texts = chunks(bytes).filter(|chunk| chunk.name.ends_with(b"Xt"));
    let named = texts.filter_map(|chunk| {
        let text = Text::of(chunk.name, chunk.body)?;
        (text.keyword.eq_ignore_ascii_case(keyword.as_bytes()) && chunk.is_sound()).then_some(text)
    });
    named.last()
}

/// The profile that a PNG keeps in hexadecimal digits: `None` without one.
///
/// # Errors
/// It is there, and is not what it should be.
pub(crate) fn raw_profile(bytes: &[u8], kind: &str) -> Result<Option<Vec<u8>>, ()> {
    let Some(text) = last(bytes, &format!("{RAW_PROFILE}{kind}")) else { return Ok(None) };
    let text = text.unpacked().ok_or(())?;
    // An empty line, what it is, how many bytes; then the digits.
    let digits = text.splitn(4, |byte| *byte == b'\n').nth(3).ok_or(())?;
    let digits: Vec<u8> = digits.iter().copied().filter(|digit| !digit.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| Some((digit(high)? << 4 | digit(low)?) as u8);
    let profile = pairs.iter().map(byte).collect::<Option<Vec<_>>>();
    profile.filter(|_| rest.is_empty()).map(Some).ok_or(())
}

/// Exif and XMP of a PNG, wherever they stand. Of several of a kind the last counts, and before a text the chunk that is for it.
pub(crate) fn embedded(bytes: &[u8]) -> Embedded<'_> {
    let raw = |kind| raw_profile(bytes, kind).ok().flatten();
    let app1 = raw("APP1").unwrap_or_default();
    let chunk = chunks(bytes).filter(|chunk| chunk.name == b"eXIf" && chunk.is_sound()).last();
    let exif = match chunk {
        Some(chunk) => Some(Cow::Borrowed(chunk.body)),
        None => raw("exif").or_else(|| app1.starts_with(b"Exif\0").then(|| app1.clone())).map(Cow::Owned),
    };
    let xmp = last(bytes, XMP).and_then(|text| text.unpacked());
    let xmp = xmp.or_else(|| {
        raw("xmp").or_else(|| app1.starts_with(b"http://ns.adobe.com/xap/").then_some(app1)).map(Cow::Owned)
    });
    Embedded { exif, xmp, ..Embedded::default() }
}
