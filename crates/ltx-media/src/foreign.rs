//! What bytes are that are no PNG, JPEG or WebP, and what to do about it.
//!
//! Must not know how the supported formats are read.

use image::ImageFormat;

/// What was found instead of a supported image.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// Another format's name, what else it is, or `not an image`. Reads on after "is".
    pub(crate) found: String,
    /// What to do. Reads on after the names of the supported formats; empty where nobody knows.
    pub(crate) advice: &'static str,
}

const CONVERT: &str = ": convert it to one of them";
const ONE_FRAME: &str = ": save one of its frames as one of them";
const FETCH_PICTURE: &str = ": fetch the picture itself";
const FETCH_FILE: &str = ": fetch the file itself, e.g. with git lfs pull";

/// How files begin that the decoders' own crate does not tell.
const BEGINNINGS: &[(&[u8], &str, &str)] = &[
    (b"\xFF\x0A", "JPEG XL", CONVERT),
    (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL", CONVERT),
    (b"\xFF\x4F\xFF\x51", "JPEG 2000", CONVERT),
    (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000", CONVERT),
    (b"8BPS", "PSD", CONVERT),
    (b"gimp xcf", "XCF", CONVERT),
    (b"%PDF-", "PDF", CONVERT),
    (b"II\x2B\0", "TIFF", CONVERT),
    (b"MM\0\x2B", "TIFF", CONVERT),
    (b"#?RGBE", "Radiance HDR", CONVERT),
    (b"\x1A\x45\xDF\xA3", "Matroska or WebM", ONE_FRAME),
];

/// The brands of HEIC pictures and sequences.
const HEIC: [[u8; 4]; 8] = [*b"heic", *b"heix", *b"heim", *b"heis", *b"hevc", *b"hevx", *b"hevm", *b"hevs"];

/// How much of a text is looked at, in bytes.
const MAX_TEXT: usize = 4096;

impl Foreign {
    /// What the bytes are; `guessed` is what the decoders' own crate takes them for.
    pub(crate) fn of(bytes: &[u8], guessed: Option<ImageFormat>) -> Self {
        let beginning = BEGINNINGS.iter().find(|(start, ..)| bytes.starts_with(start));
        let beginning = beginning.map(|&(_, found, advice)| (found, advice));
        if let Some((found, advice)) = beginning.or_else(|| boxed(bytes)).or_else(|| text(bytes)) {
            return Self { found: found.to_owned(), advice };
        }
        let found = match guessed {
            Some(ImageFormat::Hdr) => "Radiance HDR".to_owned(),
            Some(ImageFormat::OpenExr) => "OpenEXR".to_owned(),
            Some(other) => format!("{other:?}").to_uppercase(),
            None => return Self { found: "not an image".to_owned(), advice: "" },
        };
        Self { found, advice: CONVERT }
    }
}

/// What a file of ISO media boxes is, by its brands, or one of RIFF chunks.
fn boxed(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let name: &[u8; 4] = bytes.get(4..)?.first_chunk()?;
    if bytes.starts_with(b"RIFF") {
        return bytes[8..].starts_with(b"AVI ").then_some(("AVI", ONE_FRAME));
    }
    if name != b"ftyp" {
        // QuickTime before there were brands.
        return (bytes[0] == 0 && matches!(name, b"moov" | b"mdat" | b"wide")).then_some(("MOV", ONE_FRAME));
    }
    let (length, behind) = (u32::from_be_bytes(*bytes.first_chunk()?) as usize, &bytes[8..]);
    let brands = behind.get(..length.saturating_sub(8).max(4)).unwrap_or(behind).as_chunks::<4>().0;
    Some(match brands.first()? {
        b"qt  " => ("MOV", ONE_FRAME),
        b"crx " => ("CR3", CONVERT),
        b"avis" => ("an AVIF sequence", ONE_FRAME),
        _ if brands.contains(b"avif") => ("AVIF", CONVERT),
        _ if brands.contains(b"avis") => ("an AVIF sequence", ONE_FRAME),
        _ if brands.iter().any(|brand| HEIC.contains(brand)) => ("HEIC", CONVERT),
        b"mif1" | b"mif2" | b"msf1" | b"miaf" => ("HEIF", CONVERT),
        _ => ("MP4", ONE_FRAME),
    })
}

/// What a text is that stands for a picture, or was sent in place of one.
fn text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let head = text[..text.len().min(MAX_TEXT)].to_ascii_lowercase();
    let begins = |starts: &[&str]| starts.iter().any(|start| head.starts_with(start.as_bytes()));
    if begins(&["version https://git-lfs.github.com/spec/"]) {
        return Some(("a Git LFS pointer, not the picture itself", FETCH_FILE));
    }
    if begins(&["<!doctype html", "<html"]) {
        return Some(("an HTML page", FETCH_PICTURE));
    }
    let is_svg = begins(&["<svg", "<?xml", "<!--", "<!doctype svg"]) && head.windows(4).any(|it| it == b"<svg");
    is_svg.then_some(("SVG", CONVERT))
}
