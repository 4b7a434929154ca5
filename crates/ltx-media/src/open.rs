//! An encoded image becomes RGB pixels: PNG, JPEG or WebP, told apart by content.
//!
//! Must not know what the picture is for. The order is the reference's `decode_image` (Lightricks/LTX-2,
//! `ltx_pipelines/utils/media_io/decode.py`): orientation, alpha dropped, embedded profile to sRGB, 8-bit RGB.

use crate::{
    ColourFault, MediaError,
    colour::{self, Samples, Stated},
    embedded::Embedded,
    foreign::Foreign,
    jpeg,
    notes::ImageNote,
    png_chunks, png_shape, png_texts, webp,
};
use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, Limits, RgbImage,
    codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};
use ltx_types::ImageSource;
use std::{
    borrow::Cow,
    cell::Cell,
    fs::File,
    io::{Cursor, Read},
};

/// The longest side taken, in pixels.
const MAX_SIDE: u32 = 16_384;
/// The most pixels taken. At 8 bytes a pixel (16-bit RGBA) the decoder's own buffer stays at 512 MB.
pub const MAX_PIXELS: u64 = 64_000_000;
/// The most encoded bytes read.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// What a PNG's text, Exif and unpacked ICC chunks may take together, in bytes.
const MAX_METADATA_BYTES: u64 = 64 << 20;

/// Opens an image as 8-bit RGB, upright, in sRGB.
///
/// - All eight Exif orientations are applied, wherever Pillow finds them: in Exif (of a PNG also in the texts where ImageMagick
///   keeps it), or in XMP where Exif says nothing of it. A broken Exif block counts as none.
/// - Alpha is dropped, not blended: the colour stored under it shows (PIL's `convert("RGB")` does the same).
/// - 16-bit samples keep their high byte, as PIL's RGB reader does; grey becomes three equal channels.
/// - What the file states of its colours is obeyed: an ICC profile of grey, RGB or CMYK pixels, perceptual intent, or a PNG's
///   cICP, sRGB, gAMA and cHRM chunks. What is damaged, does not fit the pixels or is not supported is refused, high dynamic
///   range among it.
/// - CMYK without a profile is mixed as browsers and PIL do.
/// - Of an animation, and of several pictures in one file, the first. Pixels are taken as square.
///
/// Sizes are judged from the header, before pixels are decoded; decoding allocates less than 1 GiB.
///
/// # Errors
/// `ImageUnreadable`, `ImageEmpty`, `ImageFileTooLarge`, `ImageFormat`, `ImageTooLarge` (over 64 megapixels, or a side
/// over 16384), `ImageCorrupt`, `ImageTruncated`, `ImageColours`; each names the image.
pub fn open_image(source: &ImageSource) -> Result<RgbImage, MediaError> {
    opened(source).map(|(image, _)| image)
}

/// Opens an image as [`open_image`] does, and says what is to be said of it; the pixels are dropped.
///
/// # Errors
/// Those of [`open_image`].
pub fn look_at_image(source: &ImageSource) -> Result<Vec<ImageNote>, MediaError> {
    opened(source).map(|(_, notes)| notes)
}

fn opened(source: &ImageSource) -> Result<(RgbImage, Vec<ImageNote>), MediaError> {
    let name = Name(source);
    let bytes = read(source)?;
    if bytes.is_empty() {
        return Err(MediaError::ImageEmpty { image: name.text() });
    }
    let kind = Kind::of(&bytes).map_err(|Foreign { found, advice }| MediaError::ImageFormat {
        image: name.text(),
        found,
        advice,
    })?;
    let corrupt = |source: ImageError| MediaError::ImageCorrupt { image: name.text(), format: kind.name(), source };
    let colours = |(part, fault)| MediaError::ImageColours { image: name.text(), part, fault };
    let mut of_png = None;
    if kind == Kind::Png {
        // Before the decoder proper, which sizes its row buffers by the header.
        let header = png::Decoder::new(Cursor::new(&bytes[..])).read_header_info().map(|info| info.size());
        if let Ok(size) = header {
            check_size(size, &name)?;
            of_png = Some(png_chunks::stated(&bytes).map_err(colours)?);
        }
    }
    let mut decoder = kind.decoder(&bytes).map_err(corrupt)?;
    check_size(decoder.dimensions(), &name)?;
    if kind == Kind::Jpeg && !jpeg::reaches_end_marker(&bytes) {
        return Err(MediaError::ImageTruncated { image: name.text() });
    }
    let embedded = embedded(kind, &bytes, &mut *decoder);
    let orientation = embedded.orientation();
    let (part, stated) = match of_png {
        Some(stated) => stated,
        None => profile(kind, &bytes, &mut *decoder).map_err(|fault| colours((PROFILE, fault)))?,
    };
    let mut notes = ImageNote::of(&embedded, !part.is_empty());
    drop(embedded);
    let upright = |mut pixels: DynamicImage| {
        pixels.apply_orientation(orientation);
        pixels
    };
    let transparent = Cell::new(false);
    let opaque = |pixels: DynamicImage| {
        transparent.set(is_transparent(&pixels));
        eight_bit(pixels)
    };
    let light = |decoder| DynamicImage::from_decoder(decoder).map(opaque).map(upright).map_err(corrupt);
    let converted = match stated {
        Stated::Nothing => Ok(light(decoder)?.into_rgb8()),
        Stated::Space(space) => space.to_srgb(light(decoder)?),
        Stated::Profile(profile) => {
            // The decoder mixes inks by itself, which is right only where nobody says what colours they have.
            let inks = if kind == Kind::Jpeg { jpeg::inks(&bytes).map_err(corrupt)? } else { None };
            let samples = match inks {
                Some(inks) => Samples::Inks(upright(inks.into()).into_rgba8()),
                None => Samples::Light(light(decoder)?),
            };
            colour::profile_to_srgb(&samples, &profile)
        }
    };
    notes.extend(transparent.get().then_some(ImageNote::Transparency));
    converted.map(|image| (image, notes)).map_err(|fault| colours((part, fault)))
}

/// How errors name a profile.
const PROFILE: &str = "ICC profile";

/// The profile of a JPEG or a WebP, and what it is called; nothing has no name.
fn profile(kind: Kind, bytes: &[u8], decoder: &mut dyn ImageDecoder) -> Result<(&'static str, Stated), ColourFault> {
    let profile = match kind {
        Kind::Jpeg => jpeg::profile(bytes)?,
        Kind::Png | Kind::WebP => decoder.icc_profile().map_err(|_| ColourFault::Damaged)?,
    };
    Ok(profile.map_or(("", Stated::Nothing), |profile| (PROFILE, Stated::Profile(profile))))
}

/// The media type of an encoded image, by content; `None` where it is none that is taken.
pub fn media_type(bytes: &[u8]) -> Option<&'static str> {
    Some(match Kind::of(bytes).ok()? {
        Kind::Png => "image/png",
        Kind::Jpeg => "image/jpeg",
        Kind::WebP => "image/webp",
    })
}

/// Pixels across and down of an image as it is shown, from its header alone; `None` where that cannot be read.
pub fn shown_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let kind = Kind::of(bytes).ok()?;
    let mut decoder = kind.decoder(bytes).ok()?;
    let (width, height) = decoder.dimensions();
    let turned = match embedded(kind, bytes, &mut *decoder).orientation() {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            true
        }
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => false,
    };
    Some(if turned { (height, width) } else { (width, height) })
}

/// How errors name an image.
struct Name<'a>(&'a ImageSource);

impl Name<'_> {
    fn text(&self) -> String {
        match self.0 {
            ImageSource::Path(path) => path.display().to_string(),
            ImageSource::Bytes(bytes) => format!("({} bytes from the request)", bytes.len()),
        }
    }
}

fn read(source: &ImageSource) -> Result<Cow<'_, [u8]>, MediaError> {
    let too_large = || MediaError::ImageFileTooLarge { image: Name(source).text(), limit_bytes: MAX_FILE_BYTES };
    let path = match source {
        ImageSource::Bytes(bytes) if bytes.len() as u64 > MAX_FILE_BYTES => return Err(too_large()),
        ImageSource::Bytes(bytes) => return Ok(Cow::Borrowed(bytes)),
        ImageSource::Path(path) => path,
    };
    let mut bytes = Vec::new();
    // One byte past the limit, so that an endless file ends here too.
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(count) if count as u64 > MAX_FILE_BYTES => Err(too_large()),
        Ok(_) => Ok(Cow::Owned(bytes)),
        Err(source_error) => Err(MediaError::ImageUnreadable { image: Name(source).text(), source: source_error }),
    }
}

fn check_size((width, height): (u32, u32), name: &Name<'_>) -> Result<(), MediaError> {
    if width == 0 || height == 0 {
        return Err(MediaError::ImageEmpty { image: name.text() });
    }
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > MAX_SIDE || pixels > MAX_PIXELS {
        let (max_side, max_pixels) = (MAX_SIDE, MAX_PIXELS);
        return Err(MediaError::ImageTooLarge { image: name.text(), width, height, max_side, max_pixels });
    }
    Ok(())
}

/// The supported formats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Png,
    Jpeg,
    WebP,
}

impl Kind {
    /// By content; the error says what the bytes are instead.
    fn of(bytes: &[u8]) -> Result<Self, Foreign> {
        match image::guess_format(bytes) {
            Ok(ImageFormat::Png) => Ok(Self::Png),
            Ok(ImageFormat::Jpeg) => Ok(Self::Jpeg),
            Ok(ImageFormat::WebP) => Ok(Self::WebP),
            other => Err(Foreign::of(bytes, other.ok())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
        }
    }

    fn decoder<'a>(self, bytes: &'a [u8]) -> Result<Box<dyn ImageDecoder + 'a>, ImageError> {
        let reader = Cursor::new(bytes);
        Ok(match self {
            Self::Png => {
                let mut limits = Limits::no_limits();
                limits.max_alloc = Some(MAX_METADATA_BYTES);
                Box::new(PngDecoder::with_limits(reader, limits)?)
            }
            Self::Jpeg => Box::new(JpegDecoder::new(reader)?),
            Self::WebP => Box::new(WebPDecoder::new(reader)?),
        })
    }
}

/// The metadata of an image; what cannot be read counts as none.
fn embedded<'a>(kind: Kind, bytes: &'a [u8], decoder: &mut dyn ImageDecoder) -> Embedded<'a> {
    match kind {
        Kind::Png => Embedded {
            animation: png_shape::is_animation(bytes),
            density: png_shape::density(bytes).map(|density| (density, "pHYs")),
            ..png_texts::embedded(bytes)
        },
        Kind::Jpeg => jpeg::embedded(bytes),
        Kind::WebP => Embedded {
            exif: decoder.exif_metadata().ok().flatten().map(Cow::Owned),
            xmp: decoder.xmp_metadata().ok().flatten().map(Cow::Owned),
            animation: webp::is_animation(bytes),
            ..Embedded::default()
        },
    }
}

/// Whether some pixel is not opaque.
fn is_transparent(decoded: &DynamicImage) -> bool {
    match decoded {
        DynamicImage::ImageLumaA8(image) => is_any_below(image, 2, u8::MAX),
        DynamicImage::ImageRgba8(image) => is_any_below(image, 4, u8::MAX),
        DynamicImage::ImageLumaA16(image) => is_any_below(image, 2, u16::MAX),
        DynamicImage::ImageRgba16(image) => is_any_below(image, 4, u16::MAX),
        _ => false,
    }
}

/// Whether the last of some `stored` samples is below `full`.
fn is_any_below<S: Copy + PartialOrd>(samples: &[S], stored: usize, full: S) -> bool {
    samples.chunks_exact(stored).any(|pixel| pixel[stored - 1] < full)
}

/// Grey or RGB, 8 bits, no alpha.
fn eight_bit(decoded: DynamicImage) -> DynamicImage {
    let (width, height) = (decoded.width(), decoded.height());
    let high = |sample: u16| (sample >> 8) as u8;
    let same = |sample: u8| sample;
    let (samples, channels) = match &decoded {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => return decoded,
        DynamicImage::ImageLumaA8(image) => (colours(image, 2, 1, same), 1),
        DynamicImage::ImageRgba8(image) => (colours(image, 4, 3, same), 3),
        DynamicImage::ImageLuma16(image) => (colours(image, 1, 1, high), 1),
        DynamicImage::ImageLumaA16(image) => (colours(image, 2, 1, high), 1),
        DynamicImage::ImageRgb16(image) => (colours(image, 3, 3, high), 3),
        DynamicImage::ImageRgba16(image) => (colours(image, 4, 3, high), 3),
        // Float images; none of the three formats decodes to one.
        _ => return DynamicImage::ImageRgb8(decoded.into_rgb8()),
    };
    let image = match channels {
        1 => GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8),
        _ => RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8),
    };
    image.unwrap_or(decoded)
}

/// The first `kept` of every `stored` samples, as bytes.
fn colours<S: Copy>(samples: &[S], stored: usize, kept: usize, byte: impl Fn(S) -> u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(samples.len() / stored * kept);
    for pixel in samples.chunks_exact(stored) {
        bytes.extend(pixel[..kept].iter().map(|&sample| byte(sample)));
    }
    bytes
}
