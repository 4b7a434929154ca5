//! What of a JPEG its decoder does not tell: whether it is whole, its profile piece by piece, its inks before they are RGB.
//!
//! Must not know what colours mean.

use crate::{colour::ColourFault, embedded::Embedded, exif::Exif};
use image::{
    ImageError, ImageFormat, RgbaImage,
    error::{DecodingError, ImageFormatHint},
};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// How the body of an APP2 segment with a piece of a profile begins.
const PROFILE_MARK: &[u8] = b"ICC_PROFILE\0";

/// How the body of an APP1 segment with Exif begins, and with XMP.
const EXIF_MARK: &[u8] = b"Exif\0\0";
const XMP_MARK: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// How the body of an APP2 segment begins that says that there is a gain map (ISO 21496-1).
const GAIN_MAP_MARK: &[u8] = b"urn:iso:std:iso:ts:21496:-1\0";
/// How the body of the APP0 segment begins that says how dense pixels are.
const JFIF_MARK: &[u8] = b"JFIF\0";
/// How the body of an APP2 segment begins that lists the pictures of the file (CIPA DC-007, MPF).
const MPF_MARK: &[u8] = b"MPF\0";
/// MPF's tags: how many pictures there are, and one entry of 16 bytes for each.
const MPF_COUNT: u16 = 0xB001;
const MPF_PICTURES: u16 = 0xB002;
/// MPF's classes of pictures that are smaller copies of the first, and of gain maps.
const COPY: u8 = 1;
const GAIN_MAP: u8 = 5;

/// One segment of a JPEG's head.
struct Segment<'a> {
    marker: u8,
    /// Behind its length.
    body: &'a [u8],
    /// Everything behind it.
    after: &'a [u8],
}

/// The segments up to the first scan or the end, whichever comes first; fewer where the file breaks off.
fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = bytes.get(2..);
    std::iter::from_fn(move || {
        loop {
            let head = rest?;
            let start = head.windows(2).position(|pair| pair[0] == 0xFF && pair[1] != 0xFF)?;
            let (marker, behind) = (head[start + 1], &head[start + 2..]);
            if let 0x00 | 0x01 | 0xD0..=0xD8 = marker {
                rest = Some(behind);
                continue;
            }
            let length = behind.first_chunk().map_or(usize::MAX, |&length| usize::from(u16::from_be_bytes(length)));
            let after = behind.get(length..);
            let ends = matches!(marker, 0xD9 | 0xDA);
            rest = after.filter(|_| !ends);
            let body = behind.get(2..length).unwrap_or_default();
            return match after {
                Some(after) => Some(Segment { marker, body, after }),
                None if ends => Some(Segment { marker, body: &[], after: behind }),
                None => None,
            };
        }
    })
}

/// Whether a JPEG has its end-of-image marker. The decoder fills a cut-off picture with grey and says nothing.
pub(crate) fn reaches_end_marker(bytes: &[u8]) -> bool {
    segments(bytes).any(|segment| match segment.marker {
        0xD9 => true,
        // Start of scan. Inside a scan 0xFF is followed by 0 or a restart marker, so this pair is the end.
        0xDA => segment.after.windows(2).any(|pair| pair == [0xFF, 0xD9]),
        _ => false,
    })
}

/// The embedded ICC profile, put together from its pieces, if there is one.
///
/// # Errors
/// `Damaged` when pieces are missing, doubled, or disagree about how many they are.
pub(crate) fn profile(bytes: &[u8]) -> Result<Option<Vec<u8>>, ColourFault> {
    let pieces = segments(bytes).filter(|segment| segment.marker == 0xE2);
    let pieces = pieces.filter_map(|segment| segment.body.strip_prefix(PROFILE_MARK));
    let mut pieces: Vec<_> = pieces.collect();
    let Some(&[_, count, ..]) = pieces.first().copied() else {
        return if pieces.is_empty() { Ok(None) } else { Err(ColourFault::Damaged) };
    };
    pieces.sort_by_key(|piece| piece.first().copied());
    let whole = pieces.len() == usize::from(count)
        && pieces.iter().zip(1..=count).all(|(piece, number)| piece.starts_with(&[number, count]));
    if !whole {
        return Err(ColourFault::Damaged);
    }
    Ok(Some(pieces.iter().flat_map(|piece| &piece[2..]).copied().collect()))
}

/// What an MPF list says of the pictures behind the first: the class of each, 0 where it does not say.
fn listed(list: &[u8]) -> Vec<u8> {
    let Some(exif) = Exif::read(list) else { return Vec::new() };
    let entry = |tag| exif.entry(exif.first(), tag);
    if let Some(pictures) = entry(MPF_PICTURES) {
        let kinds = (1..).map_while(|number| pictures.word(16 * number));
        return kinds.map(|kind| (kind >> 16) as u8).collect();
    }
    let several = entry(MPF_COUNT).and_then(|count| count.number()).is_some_and(|count| count > 1.0);
    vec![0; several.into()]
}

/// Pixels to the same length, across and down, as a JFIF segment has them.
fn density(body: &[u8]) -> Option<[u32; 2]> {
    let &[_, _, _, a, b, c, d, ..] = body.strip_prefix(JFIF_MARK)? else { return None };
    Some([[a, b], [c, d]].map(|half| u16::from_be_bytes(half).into()))
}

/// Exif, XMP and the like of a JPEG's head. As in Pillow, pieces of Exif are put together, and of several XMP packets the last one
/// counts.
pub(crate) fn embedded(bytes: &[u8]) -> Embedded<'_> {
    let mut embedded = Embedded::default();
    for segment in segments(bytes) {
        match segment.marker {
            0xE0 if embedded.density.is_none() => embedded.density = density(segment.body).map(|pair| (pair, "JFIF")),
            0xE2 => {
                let classes = segment.body.strip_prefix(MPF_MARK).map(listed).unwrap_or_default();
                embedded.gain_map |= segment.body.starts_with(GAIN_MAP_MARK) || classes.contains(&GAIN_MAP);
                embedded.several |= classes.iter().any(|class| !matches!(*class, COPY | GAIN_MAP));
            }
            _ => {}
        }
        if segment.marker != 0xE1 {
            continue;
        }
        if let Some(piece) = segment.body.strip_prefix(EXIF_MARK) {
            match &mut embedded.exif {
                None => embedded.exif = Some(piece.into()),
                Some(before) => before.to_mut().extend(piece),
            }
        } else if let Some(packet) = segment.body.strip_prefix(XMP_MARK) {
            embedded.xmp = Some(packet.into());
        }
    }
    embedded
}

/// The inks of a CMYK or YCCK picture, 255 for all of an ink; `None` for a picture of another kind.
///
/// Samples are Adobe's, upside down, whether or not Adobe's marker is there: nearly every writer does so, and browsers and PIL
/// read them so.
///
/// # Errors
/// The decoder's, about what is damaged.
pub(crate) fn inks(bytes: &[u8]) -> Result<Option<RgbaImage>, ImageError> {
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let failed = |error| {
        let hint = ImageFormatHint::Exact(ImageFormat::Jpeg);
        ImageError::Decoding(DecodingError::new(hint, error))
    };
    decoder.decode_headers().map_err(failed)?;
    let (space, info) = (decoder.input_colorspace(), decoder.info());
    let (Some(space @ (ColorSpace::CMYK | ColorSpace::YCCK)), Some(info)) = (space, info) else { return Ok(None) };
    if info.components != 4 {
        return Ok(None);
    }
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let mut samples = decoder.decode().map_err(failed)?;
    for pixel in samples.as_chunks_mut().0 {
        *pixel = match space {
            ColorSpace::YCCK => ink_of_ycck(*pixel),
            _ => pixel.map(|sample| 255 - sample),
        };
    }
    Ok(RgbaImage::from_raw(info.width.into(), info.height.into(), samples))
}

/// Inks of luma, two chromas and black, all upside down: what JFIF makes red of them is the cyan.
fn ink_of_ycck([luma, blue, red, black]: [u8; 4]) -> [u8; 4] {
    let (y, cb, cr) = (f32::from(luma), f32::from(blue) - 128.0, f32::from(red) - 128.0);
    let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    [byte(y + 1.402 * cr), byte(y - 0.344_136 * cb - 0.714_136 * cr), byte(y + 1.772 * cb), 255 - black]
}
