//! What files state of their colours: obeyed as Pillow (littleCMS) obeys it, or refused by name. The pictures are made by
//! `data/colours/make_pictures.py`.

mod common;

use common::data;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageEncoder, Rgb, RgbImage,
    codecs::{jpeg::JpegDecoder, jpeg::JpegEncoder, png::PngDecoder, png::PngEncoder},
};
use ltx_media::{ColourFault, MediaError, open_image};
use ltx_types::ImageSource;
use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};

fn open(bytes: &[u8]) -> Result<RgbImage, MediaError> {
    open_image(&ImageSource::Bytes(bytes.into()))
}

fn fault_of(bytes: &[u8]) -> (&'static str, ColourFault) {
    match open(bytes) {
        Err(MediaError::ImageColours { part, fault, .. }) => (part, fault),
        other => panic!("not refused for its colours: {other:?}"),
    }
}

#[test]
fn pictures_are_shown_as_littlecms_shows_them() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(data("colours")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let shown = path.with_file_name(format!("{}.shown.png", path.file_stem().unwrap().to_str().unwrap()));
        if name.ends_with(".shown.png") || name.ends_with(".py") {
            continue;
        }
        let expected = image::open(&shown).unwrap_or_else(|error| panic!("{name}: {error}")).into_rgb8();
        let opened = open_image(&ImageSource::Path(path)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(opened.dimensions(), expected.dimensions(), "{name}");
        let apart: Vec<_> = opened.iter().zip(expected.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).collect();
        let (mean, most) = (apart.iter().sum::<f64>() / apart.len() as f64, apart.iter().copied().fold(0.0, f64::max));
        println!("{name}: {mean:.3} in the mean, {most} at most");
        // JPEG decoders round on their own, and steep curves make more of it.
        let allowed = if name.ends_with(".jpg") { (0.6, 8.0) } else { (0.6, 2.0) };
        assert!(mean < allowed.0 && most <= allowed.1, "{name}: {mean:.3} in the mean, {most} at most");
        seen.push(name);
    }
    for kind in ["cmyk-photo.jpg", "ycck-v2-lut16.jpg", "rgb-v4-mab.png", "grey-curve-lab.png", "cicp-p3.png"] {
        assert!(seen.iter().any(|name| name == kind), "{kind} is missing among {seen:?}");
    }
    assert_eq!(seen.len(), 39, "{seen:?}");
}

/// The profile of one of the stored pictures.
fn profile_of(name: &str) -> Vec<u8> {
    let bytes = fs::read(data("colours").join(name)).unwrap();
    let profile = match name.ends_with(".jpg") {
        true => JpegDecoder::new(Cursor::new(bytes)).unwrap().icc_profile(),
        false => PngDecoder::new(Cursor::new(bytes)).unwrap().icc_profile(),
    };
    profile.unwrap().unwrap()
}

fn encode(mut encoder: impl ImageEncoder, image: &DynamicImage, profile: &[u8]) {
    encoder.set_icc_profile(profile.to_vec()).unwrap();
    let (width, height, color) = (image.width(), image.height(), ExtendedColorType::from(image.color()));
    encoder.write_image(image.as_bytes(), width, height, color).unwrap();
}

fn png(image: &DynamicImage, profile: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(PngEncoder::new(&mut bytes), image, profile);
    bytes
}

fn jpeg(image: &DynamicImage, profile: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(JpegEncoder::new_with_quality(&mut bytes, 90), image, profile);
    bytes
}

fn rgb() -> DynamicImage {
    RgbImage::from_fn(6, 4, |x, y| Rgb([40 * x as u8, 60 * y as u8, 90])).into()
}

fn grey() -> DynamicImage {
    GrayImage::from_fn(6, 4, |x, y| image::Luma([(30 * x + 10 * y) as u8])).into()
}

/// A JPEG of four inks, with this profile in one piece.
fn inks(profile: &[u8]) -> Vec<u8> {
    let plain = fs::read(data("colours").join("cmyk-no-profile.jpg")).unwrap();
    let body = [b"ICC_PROFILE\0\x01\x01", profile].concat();
    let segment = [&[0xFF, 0xE2][..], &(body.len() as u16 + 2).to_be_bytes(), &body].concat();
    [&plain[..2], &segment, &plain[2..]].concat()
}

#[test]
fn a_profile_for_other_pixels_is_refused_by_its_name() {
    let (cmyk, colour, shade) =
        (profile_of("cmyk-v2-lut8.jpg"), profile_of("rgb-v2-matrix.png"), profile_of("grey-curve.png"));
    let cases = [
        (png(&rgb(), &cmyk), "CMYK", "RGB"),
        (jpeg(&rgb(), &cmyk), "CMYK", "RGB"),
        (png(&rgb(), &shade), "grey", "RGB"),
        (png(&grey(), &colour), "RGB", "grey"),
        (jpeg(&grey(), &colour), "RGB", "grey"),
        (inks(&colour), "RGB", "CMYK"),
        (inks(&shade), "grey", "CMYK"),
    ];
    for (bytes, profile, picture) in cases {
        let expected = ColourFault::OtherPixels { profile: profile.into(), picture };
        assert_eq!(fault_of(&bytes), ("ICC profile", expected));
    }
    let mut strange = colour.clone();
    strange[16..20].copy_from_slice(b"HSV ");
    let said = open(&png(&rgb(), &strange)).unwrap_err().to_string();
    let asked = "its ICC profile is for HSV pixels where the picture's are RGB; convert the picture to sRGB";
    assert!(said.contains(asked), "{said}");
    let mut link = colour;
    link[12..16].copy_from_slice(b"link");
    assert_eq!(fault_of(&png(&rgb(), &link)).1, ColourFault::OtherClass { class: "link".into() });
}

#[test]
fn a_damaged_profile_is_refused() {
    let tables = profile_of("rgb-v2-lut16.png");
    let matrix = profile_of("rgb-v2-matrix.png");
    for profile in [&b"no profile"[..], &tables[..tables.len() / 2], &matrix[..matrix.len() / 2], &tables[..140]] {
        assert_eq!(fault_of(&png(&rgb(), profile)), ("ICC profile", ColourFault::Damaged));
        assert_eq!(fault_of(&jpeg(&rgb(), profile)), ("ICC profile", ColourFault::Damaged));
    }
    let inks_of = profile_of("cmyk-v2-lut8.jpg");
    assert_eq!(fault_of(&inks(&inks_of[..inks_of.len() / 2])), ("ICC profile", ColourFault::Damaged));
}

#[test]
fn a_profile_in_pieces_needs_all_of_them() {
    let whole = fs::read(data("colours").join("cmyk-photo.jpg")).unwrap();
    let at: Vec<_> = whole.windows(12).enumerate().filter(|(_, it)| it == b"ICC_PROFILE\0").map(|(at, _)| at).collect();
    assert!(at.len() > 1, "the profile lies in several pieces");
    let length = |at: usize| usize::from(u16::from_be_bytes([whole[at - 2], whole[at - 1]])) + 2;
    let without = [&whole[..at[0] - 4], &whole[at[0] - 4 + length(at[0])..]].concat();
    let twice = [&whole[..at[0] - 4], &whole[at[0] - 4..at[1] - 4], &whole[at[0] - 4..]].concat();
    let mut misnumbered = whole.clone();
    misnumbered[at[1] + 12] = 0;
    for damaged in [without, twice, misnumbered] {
        assert_eq!(fault_of(&damaged), ("ICC profile", ColourFault::Damaged));
    }
    // Pieces may come in any order.
    let (first, second) = (&whole[at[0] - 4..at[0] - 4 + length(at[0])], &whole[at[1] - 4..at[1] - 4 + length(at[1])]);
    let swapped = [&whole[..at[0] - 4], second, first, &whole[at[1] - 4 + length(at[1])..]].concat();
    assert_eq!(open(&swapped).unwrap(), open(&whole).unwrap());
}

/// A PNG with another chunk behind its header.
fn with_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    rgb().write_with_encoder(PngEncoder::new(&mut plain)).unwrap();
    let named = [&name[..], body].concat();
    let chunk = [&(body.len() as u32).to_be_bytes()[..], &named, &crc32(&named).to_be_bytes()].concat();
    [&plain[..33], &chunk, &plain[33..]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[test]
fn chunks_of_a_png_that_cannot_be_obeyed_are_refused() {
    let unknown = |what, code| ColourFault::UnknownCode { what, code };
    let cases: [(&[u8; 4], &[u8], ColourFault); 12] = [
        (b"cICP", &[9, 16, 0, 1], ColourFault::HighDynamicRange { curve: "PQ" }),
        (b"cICP", &[9, 18, 0, 1], ColourFault::HighDynamicRange { curve: "HLG" }),
        (b"cICP", &[1, 13, 0, 0], unknown("the narrow sample range, flag", 0)),
        (b"cICP", &[77, 13, 0, 1], unknown("colour primaries", 77)),
        (b"cICP", &[1, 9, 0, 1], unknown("transfer characteristics", 9)),
        (b"cICP", &[1, 13, 1, 1], ColourFault::Damaged),
        (b"cICP", &[1], ColourFault::Damaged),
        (b"gAMA", &[0; 4], ColourFault::Damaged),
        (b"gAMA", &[1, 2], ColourFault::Damaged),
        (b"cHRM", &[0; 32], ColourFault::Damaged),
        (b"sRGB", &[9], ColourFault::Damaged),
        (b"iCCP", b"name\0\0not deflated", ColourFault::Damaged),
    ];
    for (name, body, fault) in cases {
        let part = match name {
            b"iCCP" => "ICC profile".to_owned(),
            name => format!("{} chunk", name.escape_ascii()),
        };
        let found = fault_of(&with_chunk(name, body));
        assert_eq!((found.0.to_owned(), found.1), (part, fault), "{}: {body:?}", name.escape_ascii());
    }
    let mut sum = with_chunk(b"gAMA", &100_000_u32.to_be_bytes());
    sum[33 + 8 + 4] ^= 1;
    assert_eq!(fault_of(&sum), ("gAMA chunk", ColourFault::Damaged));
}

/// The profile with one tag more, behind everything else.
fn with_tag(profile: &[u8], name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_be_bytes(*profile[at..].first_chunk().unwrap());
    let (count, start) = (word(128), profile.len() as u32 + 12);
    let mut table = profile[132..132 + 12 * count as usize].to_vec();
    for entry in table.chunks_exact_mut(12) {
        let moved = u32::from_be_bytes(*entry[4..].first_chunk().unwrap()) + 12;
        entry[4..8].copy_from_slice(&moved.to_be_bytes());
    }
    table.extend([&name[..], &start.to_be_bytes(), &(body.len() as u32).to_be_bytes()].concat());
    let rest = &profile[132 + 12 * count as usize..];
    let mut whole = [&profile[..128], &(count + 1).to_be_bytes(), &table, rest, body].concat();
    let length = whole.len() as u32;
    whole[..4].copy_from_slice(&length.to_be_bytes());
    whole
}

#[test]
fn code_points_in_a_profile_refuse_high_dynamic_range_and_change_nothing_else() {
    let profiles = ["rgb-v2-matrix.png", "rgb-v4-matrix.png", "rgb-v2-lut16.png"].map(profile_of);
    for profile in &profiles {
        let with = |transfer| with_tag(profile, b"cicp", &[b"cicp\0\0\0\0\x09", &[transfer, 0, 1][..]].concat());
        for (transfer, curve) in [(16, "PQ"), (18, "HLG")] {
            let expected = ("ICC profile", ColourFault::HighDynamicRange { curve });
            assert_eq!(fault_of(&png(&rgb(), &with(transfer))), expected);
            assert_eq!(fault_of(&jpeg(&rgb(), &with(transfer))), expected);
        }
        let plain = open(&png(&rgb(), profile)).unwrap();
        for transfer in [1, 2, 4, 8, 13, 14, 77] {
            assert_eq!(open(&png(&rgb(), &with(transfer))).unwrap(), plain, "transfer {transfer}");
        }
        for body in [&b"cicp\0\0\0\0\x09\x10"[..], b"data\0\0\0\0\x09\x0d\0\x01"] {
            let broken = with_tag(profile, b"cicp", body);
            assert_eq!(fault_of(&png(&rgb(), &broken)), ("ICC profile", ColourFault::Damaged));
        }
    }
    // Grey has curves as well.
    let shade = with_tag(&profile_of("grey-curve.png"), b"cicp", b"cicp\0\0\0\0\x09\x10\0\x01");
    assert_eq!(fault_of(&png(&grey(), &shade)).1, ColourFault::HighDynamicRange { curve: "PQ" });
}

/// A stream as PNG packs it.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_name_that_a_profile_of_pq_has_is_enough() {
    let packed = deflated(&profile_of("rgb-v2-matrix.png"));
    let named = |name: &[u8]| with_chunk(b"iCCP", &[name, b"\0\0", &packed].concat());
    let expected = ("ICC profile", ColourFault::HighDynamicRange { curve: "PQ" });
    assert_eq!(fault_of(&named(b"ITUR_2100_PQ_FULL")), expected);
    assert!(open(&named(b"ITUR_2100_PQ_FULLER")).is_ok());
}

#[test]
fn a_profile_among_the_texts_counts_where_no_chunk_states_one() {
    let profile = profile_of("rgb-v2-matrix.png");
    let digits: String = profile.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = |keyword: &str, digits: &str| format!("{keyword}\0\nicc\n{:>8}\n{digits}\n", profile.len()).into_bytes();
    let expected = open(&png(&rgb(), &profile)).unwrap();
    assert_ne!(expected, rgb().into_rgb8());
    for keyword in ["Raw profile type icc", "Raw profile type icm"] {
        assert_eq!(open(&with_chunk(b"tEXt", &text(keyword, &digits))).unwrap(), expected, "{keyword}");
        let part = format!("text {keyword:?}");
        for broken in ["xyz", "123"] {
            let (found, fault) = fault_of(&with_chunk(b"tEXt", &text(keyword, broken)));
            assert_eq!((found, fault), (&*part, ColourFault::Damaged));
        }
    }
}

#[test]
fn chunks_behind_the_pixels_and_chunks_that_disagree_are_refused() {
    let gamma = |gamma: u32| gamma.to_be_bytes();
    let one = with_chunk(b"gAMA", &gamma(100_000));
    let chunk = one[33..33 + 16].to_vec();
    let end = one.len() - 12;
    let behind = [&one[..33], &one[49..end], &chunk, &one[end..]].concat();
    assert_eq!(fault_of(&behind), ("gAMA chunk", ColourFault::Misplaced));
    let twice = [&one[..33], &chunk, &one[33..]].concat();
    assert_eq!(open(&twice).unwrap(), open(&one).unwrap(), "twice the same is no contradiction");
    let other = &with_chunk(b"gAMA", &gamma(50_000))[33..49];
    let both = [&one[..33], other, &one[33..]].concat();
    assert_eq!(fault_of(&both), ("gAMA chunk", ColourFault::Contradictory));
    // What a display can show, and how bright it gets, changes no colour of a picture that is not of high dynamic range.
    let bare = open(&with_chunk(b"tEXt", b"Title\0plain")).unwrap();
    for (name, body) in [(b"mDCV", vec![1; 24]), (b"cLLI", vec![1; 8]), (b"mDCv", vec![1; 24]), (b"cLLi", vec![1; 8])] {
        assert_eq!(open(&with_chunk(name, &body)).unwrap(), bare, "{}", name.escape_ascii());
    }
}

#[test]
fn chunks_that_say_srgb_change_nothing() {
    let plain = open(&with_chunk(b"tEXt", b"Title\0plain")).unwrap();
    let srgb: Vec<u8> =
        [31270_u32, 32900, 64000, 33000, 30000, 60000, 15000, 6000].iter().flat_map(|v| v.to_be_bytes()).collect();
    let cases: [(&[u8; 4], &[u8]); 5] = [
        (b"sRGB", &[0]),
        (b"gAMA", &45_455_u32.to_be_bytes()),
        (b"cHRM", &srgb),
        (b"cICP", &[1, 13, 0, 1]),
        (b"cICP", &[2, 2, 0, 1]),
    ];
    for (name, body) in cases {
        assert_eq!(open(&with_chunk(name, body)).unwrap(), plain, "{}", name.escape_ascii());
    }
}

#[test]
fn orientation_and_inks_go_together() {
    let upright = fs::read(data("colours").join("cmyk-v2-lut8.jpg")).unwrap();
    let exif = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let segment = [&[0xFF, 0xE1][..], &(exif.len() as u16 + 2).to_be_bytes(), exif].concat();
    let turned = [&upright[..2], &segment, &upright[2..]].concat();
    assert_eq!(open(&turned).unwrap(), image::imageops::rotate90(&open(&upright).unwrap()));
}

#[test]
fn the_error_says_what_to_do() {
    let path = Path::new("/tmp").join(format!("ltx-media-colours-{}.png", std::process::id()));
    fs::write(&path, with_chunk(b"cICP", &[9, 16, 0, 1])).unwrap();
    let error = open_image(&ImageSource::Path(path.as_path().into())).unwrap_err();
    fs::remove_file(&path).unwrap();
    let expected = format!(
        "image {}: its cICP chunk states high dynamic range (PQ), which is not supported; convert the picture to sRGB, or take \
         that part out",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.is_of_image());
}
