//! Hostile images: damaged, spliced and lying files of every kind that is taken. None may panic, each is refused with an error
//! that names it, and what is accepted keeps the documented limits.

mod common;

use common::data;
use flate2::{Compression, write::ZlibEncoder};
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, Rgb, RgbImage,
    codecs::{
        jpeg::{JpegDecoder, JpegEncoder},
        png::{PngDecoder, PngEncoder},
        webp::WebPEncoder,
    },
};
use ltx_media::{MediaError, open_image};
use ltx_testkit::fuzz::{Bytes, Verdict, campaign, damaged, edits};
use ltx_types::ImageSource;
use moxcms::ColorProfile;
use proptest::{arbitrary::any, collection::vec, prop_oneof, sample::select};
use std::{
    fs,
    io::{Cursor, Write},
};

const MAX_SIDE: u32 = 16_384;
const MAX_PIXELS: u64 = 64_000_000;
/// Resident memory that no case may take this process to: the decoders' 1 GiB, and what tests themselves hold.
const MAX_RESIDENT: u64 = 1200 << 20;

/// Opens it, and looks at whatever comes of it.
fn tried(bytes: &[u8]) -> Verdict {
    let opened = open_image(&ImageSource::Bytes(bytes.into()));
    match &opened {
        Ok(image) => {
            let (width, height) = image.dimensions();
            let pixels = u64::from(width) * u64::from(height);
            assert!(
                width.max(height) <= MAX_SIDE && (1..=MAX_PIXELS).contains(&pixels),
                "{width}x{height} was accepted"
            );
            assert_eq!(image.as_raw().len() as u64, pixels * 3);
        }
        Err(error) => {
            let kind = match error {
                MediaError::ImageEmpty { image }
                | MediaError::ImageFormat { image, .. }
                | MediaError::ImageTooLarge { image, .. }
                | MediaError::ImageCorrupt { image, .. }
                | MediaError::ImageTruncated { image }
                | MediaError::ImageColours { image, .. } => image,
                other => panic!("not an error of an image's bytes: {other:?}"),
            };
            assert_eq!(*kind, format!("({} bytes from the request)", bytes.len()));
        }
    }
    Verdict::of(&opened)
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8]))
}

fn encode(mut encoder: impl ImageEncoder, image: &DynamicImage, profile: Option<&[u8]>, exif: Option<&[u8]>) {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).unwrap();
    }
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif.to_vec()).unwrap();
    }
    let (width, height, color) = (image.width(), image.height(), ExtendedColorType::from(image.color()));
    encoder.write_image(image.as_bytes(), width, height, color).unwrap();
}

fn png(image: &DynamicImage, profile: Option<&[u8]>, exif: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(PngEncoder::new(&mut bytes), image, profile, exif);
    bytes
}

fn jpeg(image: &DynamicImage, profile: Option<&[u8]>, exif: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(JpegEncoder::new_with_quality(&mut bytes, 80), image, profile, exif);
    bytes
}

fn webp(image: &DynamicImage, profile: Option<&[u8]>, exif: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(WebPEncoder::new_lossless(&mut bytes), image, profile, exif);
    bytes
}

/// A profile's bytes, without the time they were made at: the same seed must give the same cases.
fn profile_bytes(profile: &ColorProfile) -> Vec<u8> {
    let mut bytes = profile.encode().unwrap();
    bytes[24..36].fill(0);
    bytes
}

/// A TIFF block that turns the picture.
const EXIF: [u8; 26] = *b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

/// A small file of every kind.
fn seeds() -> Vec<Bytes> {
    let rgb: DynamicImage = picture(24, 16).into();
    let profile = profile_bytes(&ColorProfile::new_display_p3());
    let made = [
        png(&rgb, None, None),
        png(&rgb.to_rgba16().into(), Some(&profile), Some(&EXIF)),
        png(&rgb.to_luma16().into(), None, None),
        png(&rgb.to_luma_alpha8().into(), None, Some(&EXIF)),
        jpeg(&rgb, Some(&profile), Some(&EXIF)),
        webp(&rgb, Some(&profile), Some(&EXIF)),
        webp(&rgb.to_rgba8().into(), None, None),
        with_texts(&png(&rgb, None, None)),
        with_packet(&jpeg(&rgb, None, Some(&EXIF))),
    ];
    let fuzz = ["progressive.jpg", "cmyk.jpg", "grey.jpg", "palette.png", "anim.png", "lossy.webp", "anim.webp"];
    let colours = ["cmyk-v2-lut8.jpg", "ycck-v2-lut16.jpg", "rgb-v4-mab.png", "grey-v2-lut16.png", "gama-chrm-p3.png"];
    let stored = fuzz.map(|name| ("fuzz", name)).into_iter().chain(colours.map(|name| ("colours", name)));
    made.into_iter().chain(stored.map(|(folder, name)| read(folder, name))).map(Bytes).collect()
}

/// What says the orientation in XMP, and that there is a gain map.
const PACKET: &[u8] =
    b"<rdf:Description tiff:Orientation=\"6\" hdrgm:Version=\"1.0\" photoshop:ICCProfile=\"Adobe RGB (1998)\"/>";

/// The PNG with metadata among its texts, plain and packed.
fn with_texts(png: &[u8]) -> Vec<u8> {
    let digits: String = EXIF.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(format!("\nexif\n{:>8}\n{digits}\n", EXIF.len()).as_bytes()).unwrap();
    let texts = [
        (b"zTXt", [b"Raw profile type exif\0\0", &encoder.finish().unwrap()[..]].concat()),
        (b"iTXt", [b"XML:com.adobe.xmp\0\0\0\0\0", PACKET].concat()),
        (b"tEXt", b"Raw profile type icc\0\nicc\n       4\n00112233\n".to_vec()),
    ];
    let chunk =
        |(name, body): &(&[u8; 4], Vec<u8>)| [&(body.len() as u32).to_be_bytes()[..], *name, body, &[0; 4]].concat();
    let texts: Vec<_> = texts.iter().map(chunk).collect();
    with_right_sums([&png[..33], &texts.concat(), &png[33..]].concat())
}

/// The JPEG with an XMP packet.
fn with_packet(jpeg: &[u8]) -> Vec<u8> {
    let body = [b"http://ns.adobe.com/xap/1.0/\0", PACKET].concat();
    [&jpeg[..2], &[0xFF, 0xE1], &(body.len() as u16 + 2).to_be_bytes(), &body, &jpeg[2..]].concat()
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    fs::read(data(folder).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A JPEG of four inks with a profile in one piece.
fn inks(profile: &[u8]) -> Vec<u8> {
    let plain = read("colours", "cmyk-no-profile.jpg");
    let body = [b"ICC_PROFILE\0\x01\x01", profile].concat();
    let segment = [&[0xFF, 0xE2][..], &(body.len() as u16 + 2).to_be_bytes(), &body].concat();
    [&plain[..2], &segment, &plain[2..]].concat()
}

/// Profiles with tables, out of stored pictures.
fn tables() -> Vec<Vec<u8>> {
    let pngs = ["rgb-v2-lut8.png", "rgb-v4-mab.png", "rgb-v2-xyz.png", "grey-v2-lut16.png", "grey-curve-lab.png"];
    let of_png = |name| PngDecoder::new(Cursor::new(read("colours", name))).unwrap().icc_profile();
    let jpegs = ["cmyk-v2-lut8.jpg", "cmyk-v4-mab.jpg", "cmyk-v2-xyz.jpg"];
    let of_jpeg = |name| JpegDecoder::new(Cursor::new(read("colours", name))).unwrap().icc_profile();
    pngs.map(of_png).into_iter().chain(jpegs.map(of_jpeg)).map(|profile| profile.unwrap().unwrap()).collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

/// Makes every chunk's checksum right again, so that a decoder looks at what is in it.
fn with_right_sums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = (at + 8).saturating_add(length);
        if bytes.len() < end.saturating_add(4) {
            break;
        }
        let sum = crc32(&bytes[at + 4..end]).to_be_bytes();
        bytes[end..end + 4].copy_from_slice(&sum);
        at = end + 4;
    }
    bytes
}

/// A PNG's chunks, in whatever order and number.
fn chunks(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut found, mut at) = (Vec::new(), 8);
    while let Some(head) = bytes.get(at..at + 8) {
        let end = at + 12 + u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        found.push(bytes[at..end].to_vec());
        at = end;
    }
    found
}

fn resident_at_most() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// One test, so that the campaigns run one after another and the memory is theirs.
#[test]
fn fuzz_images() {
    campaign("images: damaged files", &(select(seeds()), edits(6)), |(seed, edits)| tried(&damaged(seed.0, &edits)));

    campaign("images: damaged PNG, checksums right", &(select(pngs()), edits(5)), |(seed, edits)| {
        tried(&with_right_sums(damaged(seed.0, &edits)))
    });

    let parts: Vec<_> = pngs().iter().flat_map(|png| chunks(&png.0)).map(Bytes).collect();
    let header = parts[0].clone();
    campaign("images: PNG chunks in any order", &(vec(select(parts), 0..9), any::<bool>()), |(parts, first)| {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        bytes.extend(first.then(|| header.0.clone()).into_iter().flatten());
        parts.iter().for_each(|part| bytes.extend(&part.0));
        tried(&bytes)
    });

    campaign("images: two files spliced", &(select(seeds()), select(seeds()), 0.0..=1.0f64, 0.0..=1.0f64), |it| {
        let (front, back, to, from) = it;
        let at = |share: f64, bytes: &Bytes| (share * bytes.0.len() as f64) as usize;
        tried(&[&front.0[..at(to, &front)], &back.0[at(from, &back)..]].concat())
    });

    let profiles = [
        ColorProfile::new_display_p3(),
        ColorProfile::new_srgb(),
        ColorProfile::new_gray_with_gamma(2.2),
        ColorProfile::new_bt2020_pq(),
    ];
    let profiles: Vec<_> = profiles.iter().map(profile_bytes).chain(tables()).map(Bytes).collect();
    let pictures: Vec<DynamicImage> = vec![picture(4, 3).into(), DynamicImage::from(picture(4, 3)).to_luma8().into()];
    campaign("images: damaged profile in a whole file", &(select(profiles), edits(8), 0..7usize), |it| {
        let (profile, edits, kind) = it;
        let profile = damaged(profile.0, &edits);
        if profile.is_empty() {
            return Verdict::Refused;
        }
        let picture = &pictures[kind % 2];
        let file = match kind {
            0 | 1 => png(picture, Some(&profile), None),
            2 | 3 => jpeg(picture, Some(&profile), None),
            4 => inks(&profile),
            _ => webp(&picture.to_rgb8().into(), Some(&profile), None),
        };
        tried(&file)
    });

    campaign("images: damaged EXIF in a whole file", &(edits(6), vec(any::<u8>(), 0..64), 0..3usize), |it| {
        let (edits, tail, kind) = it;
        let exif = damaged([&EXIF[..], &tail].concat(), &edits);
        let picture = &pictures[0];
        let verdict = tried(&[png, jpeg, webp][kind](picture, None, Some(&exif)));
        assert_eq!(verdict, Verdict::Accepted, "a broken EXIF block counts as none");
        verdict
    });

    let side = || prop_oneof![3 => 16_380..16_390u32, 3 => 0..40u32, 1 => 7_990..8_010u32, 2 => any::<u32>()];
    campaign("images: sizes that lie", &(side(), side(), select(seeds())), |(width, height, seed)| {
        tried(&with_size(seed.0, width, height))
    });

    let resident = resident_at_most();
    assert!(resident < MAX_RESIDENT, "{resident} bytes were resident");
}

fn pngs() -> Vec<Bytes> {
    seeds().into_iter().filter(|seed| seed.0.starts_with(b"\x89PNG")).collect()
}

/// The file with another size in its header.
fn with_size(mut bytes: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
    match &bytes[..4] {
        b"\x89PNG" => {
            bytes[16..20].copy_from_slice(&width.to_be_bytes());
            bytes[20..24].copy_from_slice(&height.to_be_bytes());
            with_right_sums(bytes)
        }
        b"RIFF" => {
            if let Some(at) = bytes.windows(4).position(|name| name == b"VP8X") {
                bytes[at + 12..at + 15].copy_from_slice(&width.to_le_bytes()[..3]);
                bytes[at + 15..at + 18].copy_from_slice(&height.to_le_bytes()[..3]);
            }
            bytes
        }
        _ => {
            let frame = bytes.windows(2).position(|pair| pair[0] == 0xFF && matches!(pair[1], 0xC0..=0xC2)).unwrap();
            bytes[frame + 5..frame + 7].copy_from_slice(&(height as u16).to_be_bytes());
            bytes[frame + 7..frame + 9].copy_from_slice(&(width as u16).to_be_bytes());
            bytes
        }
    }
}
