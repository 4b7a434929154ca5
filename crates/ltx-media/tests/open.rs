//! `open_image`: formats by content, orientation, alpha, depth, profiles, and everything that must be refused.

mod common;

use common::{Folder, data};
use image::{
    DynamicImage, ExtendedColorType, ImageEncoder, Rgb, RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use ltx_media::{MediaError, open_image};
use ltx_types::ImageSource;
use moxcms::ColorProfile;
use std::fs;

fn open(bytes: &[u8]) -> Result<RgbImage, MediaError> {
    open_image(&ImageSource::Bytes(bytes.into()))
}

/// 3 × 2 with a colour of its own in every place.
fn picture() -> RgbImage {
    RgbImage::from_fn(3, 2, |x, y| Rgb([40 + 80 * x as u8, 60 + 120 * y as u8, 90]))
}

fn encode(encoder: impl ImageEncoder, image: &DynamicImage) {
    let (width, height, color) = (image.width(), image.height(), ExtendedColorType::from(image.color()));
    encoder.write_image(image.as_bytes(), width, height, color).unwrap();
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(PngEncoder::new(&mut bytes), &image.into());
    bytes
}

fn png_with_profile(image: impl Into<DynamicImage>, profile: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(profile.to_vec()).unwrap();
    encode(encoder, &image.into());
    bytes
}

fn jpeg(image: &RgbImage, exif: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif).unwrap();
    }
    encode(encoder, &image.clone().into());
    bytes
}

fn webp(image: &RgbImage, exif: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut bytes);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif).unwrap();
    }
    encode(encoder, &image.clone().into());
    bytes
}

/// A TIFF block with the one entry 0x0112.
fn exif(orientation: u8, big_endian: bool) -> Vec<u8> {
    match big_endian {
        true => [&b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation, 0, 0, 0, 0, 0, 0]].concat(),
        false => {
            [&b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation, 0, 0, 0, 0, 0, 0, 0]].concat()
        }
    }
}

fn close(a: &RgbImage, b: &RgbImage, tolerance: u8) -> bool {
    a.dimensions() == b.dimensions() && a.iter().zip(b.iter()).all(|(x, y)| x.abs_diff(*y) <= tolerance)
}

#[test]
fn formats_are_told_by_content() {
    let folder = Folder::new();
    let cases = [("png.jpg", png(picture())), ("webp", webp(&picture(), None)), ("a.png", jpeg(&blocks(), None))];
    for (name, bytes) in cases {
        fs::write(folder.join(name), &bytes).unwrap();
        let opened = open_image(&ImageSource::Path(folder.join(name))).unwrap();
        assert_eq!(opened, open(&bytes).unwrap());
        let expected = if name == "a.png" { blocks() } else { picture() };
        assert!(close(&opened, &expected, 3), "{name}");
    }
}

/// The picture in blocks of 16, so that JPEG keeps the colours.
fn blocks() -> RgbImage {
    image::imageops::resize(&picture(), 48, 32, image::imageops::FilterType::Nearest)
}

#[test]
fn all_eight_orientations() {
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    let upright = |picture: &RgbImage, orientation: u8| match orientation {
        2 => flip_horizontal(picture),
        3 => rotate180(picture),
        4 => flip_vertical(picture),
        5 => flip_horizontal(&rotate90(picture)),
        6 => rotate90(picture),
        7 => flip_horizontal(&rotate270(picture)),
        8 => rotate270(picture),
        _ => picture.clone(),
    };
    for orientation in 0..=9 {
        let block = |big_endian| exif(orientation, big_endian);
        let expected = upright(&picture(), orientation);
        assert_eq!(open(&webp(&picture(), Some(block(false)))).unwrap(), expected, "WebP {orientation}");
        let prefixed = [b"Exif\0\0", &block(true)[..]].concat();
        assert_eq!(open(&webp(&picture(), Some(prefixed))).unwrap(), expected, "WebP, prefixed, {orientation}");
        let opened = open(&jpeg(&blocks(), Some(block(true)))).unwrap();
        assert!(close(&opened, &upright(&blocks(), orientation), 3), "JPEG {orientation}");
        assert_eq!(open(&png_with_exif(&block(true))).unwrap(), expected, "PNG {orientation}");
    }
    assert_eq!(open(&webp(&picture(), Some(vec![1; 5]))).unwrap(), picture(), "a broken block is none");
}

fn png_with_exif(exif: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(3, 2);
    info.color_type = png::ColorType::Rgb;
    info.exif_metadata = Some(exif.into());
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(&picture()).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn alpha_is_dropped_not_blended() {
    let colours = [[200u8, 10, 30, 0], [1, 2, 3, 128], [9, 8, 7, 255]];
    let image = image::RgbaImage::from_fn(3, 1, |x, _| image::Rgba(colours[x as usize]));
    let expected = RgbImage::from_fn(3, 1, |x, _| Rgb([0, 1, 2].map(|c| colours[x as usize][c])));
    assert_eq!(open(&png(image)).unwrap(), expected);

    let grey = image::GrayAlphaImage::from_fn(2, 1, |x, _| image::LumaA([77 + x as u8, 0]));
    assert_eq!(open(&png(grey)).unwrap().into_raw(), [77, 77, 77, 78, 78, 78]);
}

#[test]
fn sixteen_bits_keep_the_high_byte_and_grey_becomes_rgb() {
    let deep = image::ImageBuffer::from_fn(2, 1, |x, _| Rgb([0x12FFu16, 0xFFFF, 0x8000 + x as u16 * 0x7F]));
    assert_eq!(open(&png(deep)).unwrap().into_raw(), [0x12, 0xFF, 0x80, 0x12, 0xFF, 0x80]);
    let deep_grey = image::ImageBuffer::from_fn(1, 1, |_, _| image::Luma([0xABCDu16]));
    assert_eq!(open(&png(deep_grey)).unwrap().into_raw(), [0xAB; 3]);
    let grey = image::GrayImage::from_fn(1, 1, |_, _| image::Luma([9]));
    assert_eq!(open(&png(grey)).unwrap().into_raw(), [9; 3]);
}

#[test]
fn palettes_open_as_their_colours() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![0, 0, 0, 255, 0, 0, 0, 255, 0, 1, 2, 3]);
    encoder.set_trns(vec![0]);
    encoder.write_header().unwrap().write_image_data(&[0b00_01_10_11]).unwrap();
    assert_eq!(open(&bytes).unwrap().into_raw(), [0, 0, 0, 255, 0, 0, 0, 255, 0, 1, 2, 3]);
}

#[test]
fn profiles_are_converted_to_srgb() {
    let one = |rgb| RgbImage::from_pixel(1, 1, Rgb(rgb));
    // What littleCMS 2.19 makes of these, perceptual intent.
    let p3 = [([200, 100, 50], [215, 93, 31]), ([128, 128, 128], [128, 128, 128]), ([60, 160, 90], [0, 163, 82])];
    let adobe = [([200, 100, 50], [227, 100, 42]), ([128, 128, 128], [129, 129, 129]), ([60, 160, 90], [0, 161, 85])];
    for (profile, colours) in [(ColorProfile::new_display_p3(), p3), (ColorProfile::new_adobe_rgb(), adobe)] {
        let profile = profile.encode().unwrap();
        for (colour, srgb) in colours {
            let opened = open(&png_with_profile(one(colour), &profile)).unwrap();
            assert!(close(&opened, &one(srgb), 1), "{colour:?}: {opened:?}");
        }
    }
    let srgb = ColorProfile::new_srgb().encode().unwrap();
    assert!(close(&open(&png_with_profile(picture(), &srgb)).unwrap(), &picture(), 1));

    let linear = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let grey = image::GrayImage::from_pixel(1, 1, image::Luma([55]));
    let opened = open(&png_with_profile(grey, &linear)).unwrap();
    assert!(close(&opened, &one([128, 128, 128]), 1), "linear 55/255 is sRGB 128: {opened:?}");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let missing = open_image(&ImageSource::Path("/no/such/lake.png".into())).unwrap_err();
    assert!(matches!(&missing, MediaError::ImageUnreadable { image, .. } if image == "/no/such/lake.png"), "{missing}");
    let folder = Folder::new();
    let error = open_image(&ImageSource::Path(folder.path().into())).unwrap_err();
    assert!(matches!(error, MediaError::ImageUnreadable { .. }), "{error}");
    let endless = open_image(&ImageSource::Path("/dev/zero".into())).unwrap_err();
    assert!(matches!(endless, MediaError::ImageFileTooLarge { .. }), "{endless}");
    assert!(matches!(open(b"").unwrap_err(), MediaError::ImageEmpty { .. }));
    let text = open(b"this is a text file, not a picture").unwrap_err();
    assert!(matches!(text, MediaError::ImageFormat { .. }));
    assert!(text.to_string().ends_with("is not an image; supported are PNG, JPEG and WebP"), "{text}");
    let gif = open(b"GIF89a\x01\0\x01\0\0\0\0;").unwrap_err();
    assert!(gif.to_string().contains("is GIF; supported are PNG"), "{gif}");
}

#[test]
fn files_of_other_kinds_are_named_with_what_to_do() {
    let (convert, frame) = ("convert it to one of them", "save one of its frames as one of them");
    let cases: [(&[u8], &str, &str); 34] = [
        (b"\xFF\x0A\x10\0", "JPEG XL", convert),
        (b"\0\0\0\x0CJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL", convert),
        (b"\xFF\x4F\xFF\x51\0", "JPEG 2000", convert),
        (b"\0\0\0\x0CjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "JPEG 2000", convert),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", convert),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC", convert),
        (b"\0\0\0\x14ftypmif1\0\0\0\0miaf\0\0\0\x08heic", "HEIF", convert),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "AVIF", convert),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF", convert),
        (b"\0\0\0\x18ftypavis\0\0\0\0avisavif", "an AVIF sequence", frame),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "CR3", convert),
        (b"\0\0\0\x18ftypisom\0\0\x02\0isommp42", "MP4", frame),
        (b"\0\0\0\x14ftypqt  \0\0\x02\0qt  ", "MOV", frame),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "MOV", frame),
        (b"RIFF\0\x10\0\0AVI LIST", "AVI", frame),
        (b"\x1A\x45\xDF\xA3\x01", "Matroska or WebM", frame),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "SVG", convert),
        (b"\xEF\xBB\xBF <?xml version=\"1.0\"?>\n<!-- a -->\n<svg/>", "SVG", convert),
        (b"8BPS\0\x01", "PSD", convert),
        (b"gimp xcf file", "XCF", convert),
        (b"%PDF-1.7\n", "PDF", convert),
        (b"II*\0\x08\0\0\0", "TIFF", convert),
        (b"MM\0\x2B\0\x08\0\0", "TIFF", convert),
        (b"BM\x9A\0\0\0", "BMP", convert),
        (b"GIF89a\x01\0\x01\0", "GIF", convert),
        (b"\0\0\x01\0\x01\0", "ICO", convert),
        (b"\x76\x2F\x31\x01\x02\0\0\0", "OpenEXR", convert),
        (b"#?RADIANCE\n", "Radiance HDR", convert),
        (b"#?RGBE\n", "Radiance HDR", convert),
        (b"DDS \x7C\0\0\0", "DDS", convert),
        (b"qoif\0\0\0\x01", "QOI", convert),
        (b"P6\n1 1\n255\nabc", "PNM", convert),
        (b"<!DOCTYPE html>\n<html><svg/></html>", "an HTML page", "fetch the picture itself"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "a Git LFS pointer, not the picture itself",
            "fetch the file itself, e.g. with git lfs pull",
        ),
    ];
    for (bytes, found, advice) in cases {
        let said = open(bytes).unwrap_err().to_string();
        let expected = format!(": is {found}; supported are PNG, JPEG and WebP: {advice}");
        assert!(said.ends_with(&expected), "{said}: not {expected}");
    }
    for bytes in [&b"<?xml version=\"1.0\"?><note/>"[..], b"\0\0\0\x08ftyp", b"the wide sea"] {
        let said = open(bytes).unwrap_err().to_string();
        assert!(said.ends_with("is not an image; supported are PNG, JPEG and WebP"), "{said}");
    }
}

#[test]
fn truncated_files_are_refused() {
    let photo = image::open(data("start.png")).unwrap().into_rgb8();
    for (name, bytes) in [("PNG", png(photo.clone())), ("JPEG", jpeg(&photo, None)), ("WebP", webp(&photo, None))] {
        assert!(open(&bytes).is_ok(), "{name}");
        for kept in [4, 12, 30, 100, bytes.len() / 4, bytes.len() / 2, bytes.len() * 9 / 10, bytes.len() - 40] {
            let error = open(&bytes[..kept]).expect_err(&format!("{name} cut to {kept} bytes"));
            let refused = matches!(
                error,
                MediaError::ImageCorrupt { .. } | MediaError::ImageTruncated { .. } | MediaError::ImageFormat { .. }
            );
            assert!(refused, "{name} cut to {kept}: {error:?}");
        }
        let mut damaged = bytes.clone();
        damaged[20..60].fill(0xA5);
        assert!(open(&damaged).is_err(), "{name} with a damaged header");
    }
}

#[test]
fn sizes_are_judged_from_the_header() {
    for (width, height) in [(10_000, 10_000), (16_385, 1), (1, 16_385), (8_001, 8_000), (1 << 30, 1 << 30)] {
        for (name, bytes) in [("PNG", png_header(width, height)), ("WebP", webp_header(width, height))] {
            if name == "WebP" && width.max(height) > 1 << 24 {
                continue;
            }
            let error = open(&bytes).unwrap_err();
            let named =
                matches!(error, MediaError::ImageTooLarge { width: w, height: h, .. } if (w, h) == (width, height));
            assert!(named, "{name} {width}x{height}: {error:?}");
        }
    }
    let mut bytes = jpeg(&blocks(), None);
    let frame = bytes.windows(2).position(|pair| pair[0] == 0xFF && matches!(pair[1], 0xC0..=0xC2)).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x27, 0x10, 0x27, 0x10]);
    assert!(matches!(open(&bytes).unwrap_err(), MediaError::ImageTooLarge { width: 10_000, height: 10_000, .. }));
}

/// A PNG that promises pixels and has none.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(picture());
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

/// An extended WebP whose canvas is `width` × `height`, around a small picture.
fn webp_header(width: u32, height: u32) -> Vec<u8> {
    let inner = webp(&picture(), None);
    let side = |pixels: u32| (pixels - 1).to_le_bytes()[..3].to_vec();
    let canvas = [b"VP8X\x0a\0\0\0\0\0\0\0".to_vec(), side(width), side(height)].concat();
    let body = [b"WEBP".to_vec(), canvas, inner[12..].to_vec()].concat();
    [b"RIFF".to_vec(), (body.len() as u32).to_le_bytes().to_vec(), body].concat()
}

#[test]
fn a_large_picture_within_the_limits_opens() {
    let wide = image::GrayImage::new(16_384, 3);
    assert_eq!(open(&png(wide)).unwrap().dimensions(), (16_384, 3));
}
