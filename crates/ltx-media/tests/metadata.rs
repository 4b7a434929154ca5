//! Where a file says which way up its picture is, and what else its metadata says. The expected orientations are Pillow's
//! (`getexif`, 13.0).

mod common;

use common::data;
use flate2::{Compression, write::ZlibEncoder};
use image::{
    ExtendedColorType, ImageBuffer, ImageEncoder, LumaA, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use ltx_media::{ImageNote, look_at_image, open_image, shown_size};
use ltx_types::ImageSource;
use std::{fs, io::Write};

/// 48 × 32 in blocks, so that JPEG keeps the colours.
fn picture() -> RgbImage {
    RgbImage::from_fn(48, 32, |x, y| Rgb([40 + 80 * (x / 16) as u8, 60 + 120 * (y / 16) as u8, 90]))
}

/// The orientation that a file was opened with; the test's own picture tells all eight apart.
fn orientation(file: &[u8]) -> u8 {
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    let opened = open_image(&ImageSource::Bytes(file.into())).unwrap();
    assert_eq!(shown_size(file), Some(opened.dimensions()));
    let p = picture();
    let all = [
        p.clone(),
        flip_horizontal(&p),
        rotate180(&p),
        flip_vertical(&p),
        flip_horizontal(&rotate90(&p)),
        rotate90(&p),
        flip_horizontal(&rotate270(&p)),
        rotate270(&p),
    ];
    let close = |a: &RgbImage| {
        a.dimensions() == opened.dimensions() && a.iter().zip(opened.iter()).all(|(a, b)| a.abs_diff(*b) <= 4)
    };
    let found: Vec<_> = all.iter().zip(1..).filter(|(turned, _)| close(turned)).map(|(_, code)| code).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(body);
    [&(body.len() as u32).to_be_bytes()[..], name, body, &crc.sum().to_be_bytes()].concat()
}

/// A PNG with chunks before its pixels, and behind them.
fn png(before: &[Vec<u8>], behind: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture().write_with_encoder(PngEncoder::new(&mut bytes)).unwrap();
    let pixels = bytes.windows(4).position(|name| name == b"IDAT").unwrap() - 4;
    let end = bytes.len() - 12;
    [&bytes[..pixels], &before.concat(), &bytes[pixels..end], &behind.concat(), &bytes[end..]].concat()
}

/// A JPEG with segments at its head.
fn jpeg(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 100)).unwrap();
    let segment =
        |(marker, body): &(u8, Vec<u8>)| [&[0xFF, *marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat();
    [&bytes[..2], &segments.iter().map(segment).collect::<Vec<_>>().concat(), &bytes[2..]].concat()
}

/// A WebP with Exif and XMP.
fn webp(exif: Option<Vec<u8>>, xmp: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut bytes);
    // The encoder writes an extended header where there is metadata.
    encoder.set_exif_metadata(exif.clone().unwrap_or_else(|| b"none".to_vec())).unwrap();
    encoder.write_image(&picture(), 48, 32, ExtendedColorType::Rgb8).unwrap();
    if let Some(xmp) = xmp {
        bytes.extend([b"XMP ", &(xmp.len() as u32).to_le_bytes()[..], xmp.as_bytes()].concat());
        bytes.extend(vec![0; xmp.len() % 2]);
        let length = bytes.len() as u32 - 8;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let flags = bytes.windows(4).position(|name| name == b"VP8X").unwrap() + 8;
        bytes[flags] |= 4;
    }
    bytes
}

/// An Exif block of one directory.
fn exif(big_endian: bool, entries: &[(u16, u16, u32, [u8; 4])]) -> Vec<u8> {
    let half = |it: u16| if big_endian { it.to_be_bytes() } else { it.to_le_bytes() };
    let word = |it: u32| if big_endian { it.to_be_bytes() } else { it.to_le_bytes() };
    let entry = |&(tag, kind, count, value): &(u16, u16, u32, [u8; 4])| {
        [&half(tag)[..], &half(kind), &word(count), &value].concat()
    };
    let head = if big_endian { b"MM\0\x2a" } else { b"II\x2a\0" };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    [&head[..], &word(8), &half(entries.len() as u16), &entries.concat(), &[0; 4]].concat()
}

/// An Exif block of an orientation, as a SHORT.
fn turned(code: u8) -> Vec<u8> {
    exif(false, &[(0x112, 3, 1, [code, 0, 0, 0])])
}

/// An XMP packet of one property, as an attribute.
fn packet(property: &str) -> String {
    let open = "<?xpacket begin=\"\u{feff}\"?><x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF><rdf:Description";
    format!(
        "{open} xmlns:tiff=\"http://ns.adobe.com/tiff/1.0/\" {property}/></rdf:RDF></x:xmpmeta><?xpacket end=\"w\"?>"
    )
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn text(keyword: &str, text: &[u8]) -> Vec<u8> {
    chunk(b"tEXt", &[keyword.as_bytes(), b"\0", text].concat())
}

fn packed_text(keyword: &str, text: &[u8]) -> Vec<u8> {
    chunk(b"zTXt", &[keyword.as_bytes(), b"\0\0", &packed(text)].concat())
}

fn wide_text(keyword: &str, text: &[u8], is_packed: bool) -> Vec<u8> {
    let text = if is_packed { packed(text) } else { text.to_vec() };
    chunk(b"iTXt", &[keyword.as_bytes(), &[0, is_packed.into(), 0], b"en\0word\0", &text].concat())
}

/// Bytes as ImageMagick keeps them in a text.
fn raw(kind: &str, bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<_> = digits.chunks(36).map(<[String]>::concat).collect();
    format!("\n{kind}\n{:>8}\n{}\n", bytes.len(), lines.join("\n")).into_bytes()
}

#[test]
fn orientation_is_found_wherever_it_stands() {
    let (six, xmp) = (turned(6), packet("tiff:Orientation=\"6\""));
    let prefixed = [&b"Exif\0\0"[..], &six].concat();
    let app1 = [&b"http://ns.adobe.com/xap/1.0/\0"[..], xmp.as_bytes()].concat();
    let (key, of_exif, of_app1) = ("XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type APP1");
    let e = |body: &[u8]| chunk(b"eXIf", body);
    let cases = [
        ("eXIf", png(&[e(&six)], &[])),
        ("eXIf behind the pixels", png(&[], &[e(&six)])),
        ("eXIf with JPEG's prefix", png(&[e(&prefixed)], &[])),
        ("tEXt of Exif", png(&[text(of_exif, &raw("exif", &prefixed))], &[])),
        ("zTXt of Exif", png(&[packed_text(of_exif, &raw("exif", &prefixed))], &[])),
        ("iTXt of Exif", png(&[wide_text(of_exif, &raw("exif", &prefixed), false)], &[])),
        ("packed iTXt of Exif", png(&[wide_text(of_exif, &raw("exif", &six), true)], &[])),
        ("zTXt of Exif behind the pixels", png(&[], &[packed_text(of_exif, &raw("exif", &prefixed))])),
        ("zTXt of APP1 with Exif", png(&[packed_text(of_app1, &raw("generic profile", &prefixed))], &[])),
        ("zTXt of APP1 with XMP", png(&[packed_text(of_app1, &raw("generic profile", &app1))], &[])),
        ("zTXt of XMP", png(&[packed_text("Raw profile type xmp", &raw("xmp", xmp.as_bytes()))], &[])),
        ("iTXt of XMP", png(&[wide_text(key, xmp.as_bytes(), false)], &[])),
        ("packed iTXt of XMP", png(&[wide_text(key, xmp.as_bytes(), true)], &[])),
        ("iTXt of XMP behind the pixels", png(&[], &[wide_text(key, xmp.as_bytes(), false)])),
        ("tEXt of XMP", png(&[text(key, xmp.as_bytes())], &[])),
        ("JPEG's Exif", jpeg(&[(0xE1, prefixed.clone())])),
        ("JPEG's XMP", jpeg(&[(0xE1, app1.clone())])),
        ("WebP's Exif", webp(Some(six.clone()), None)),
        ("WebP's XMP", webp(None, Some(&xmp))),
    ];
    for (name, file) in cases {
        assert_eq!(orientation(&file), 6, "{name}");
    }
}

#[test]
fn exif_comes_before_xmp_and_what_is_damaged_is_none() {
    let three = packet("tiff:Orientation=\"3\"");
    let xmp = || wide_text("XML:com.adobe.xmp", three.as_bytes(), false);
    let raw_six = || packed_text("Raw profile type exif", &raw("exif", &turned(6)));
    let e = |body: &[u8]| chunk(b"eXIf", body);
    let mut unsound = e(&turned(6));
    *unsound.last_mut().unwrap() ^= 1;
    let without = exif(true, &[(0x10F, 2, 2, *b"A\0\0\0")]);
    let in_two = |split: usize| {
        let six = turned(6);
        let piece = |bytes: &[u8]| (0xE1, [b"Exif\0\0", bytes].concat());
        jpeg(&[piece(&six[..split]), piece(&six[split..])])
    };
    let app1 = (0xE1, [&b"http://ns.adobe.com/xap/1.0/\0"[..], three.as_bytes()].concat());
    let of_jpeg = |code| (0xE1, [&b"Exif\0\0"[..], &turned(code)].concat());
    let cases = [
        ("the chunk before the text", png(&[raw_six(), e(&turned(8))], &[]), 8),
        ("the chunk before XMP", png(&[xmp(), e(&turned(8))], &[]), 8),
        ("the text before XMP", png(&[xmp(), raw_six()], &[]), 6),
        ("an orientation of 1 is one", png(&[e(&turned(1)), xmp()], &[]), 1),
        ("an orientation of 0 is none, and no other counts", png(&[e(&turned(0)), xmp()], &[]), 1),
        ("Exif without an orientation", png(&[e(&without), xmp()], &[]), 3),
        ("a chunk without one hides the text", png(&[e(&without), raw_six()], &[]), 1),
        ("a wrong checksum", png(&[unsound], &[]), 1),
        ("Exif that is none", png(&[e(b"hello"), xmp()], &[]), 3),
        ("Exif that breaks off", png(&[e(&turned(6)[..15]), xmp()], &[]), 3),
        ("digits that are none", png(&[text("Raw profile type exif", b"\nexif\n  2\nzz\n"), xmp()], &[]), 3),
        (
            "the later of two texts",
            png(&[raw_six()], &[packed_text("Raw profile type exif", &raw("exif", &turned(8)))]),
            8,
        ),
        ("JPEG's XMP first", jpeg(&[app1.clone(), of_jpeg(6)]), 6),
        ("JPEG's Exif first", jpeg(&[of_jpeg(1), app1.clone()]), 1),
        ("JPEG's Exif in two pieces", in_two(12), 6),
        ("the first of two Exif blocks", jpeg(&[of_jpeg(6), of_jpeg(8)]), 6),
        ("WebP's Exif", webp(Some(turned(8)), Some(&three)), 8),
    ];
    for (name, file, expected) in cases {
        assert_eq!(orientation(&file), expected, "{name}");
    }
}

#[test]
fn orientation_counts_in_every_type_of_number() {
    let png = |block: &[u8]| png(&[chunk(b"eXIf", block)], &[]);
    // Type, bytes of a value most significant first, orientation. A number of bytes is no number in Pillow; a rational lies elsewhere.
    let cases: [(u16, &[u8], u8); 9] = [
        (1, &[6], 1),
        (2, b"6", 1),
        (3, &[0, 6], 6),
        (4, &[0, 0, 0, 6], 6),
        (6, &[6], 6),
        (7, &[6], 1),
        (8, &[0, 6], 6),
        (9, &[0, 0, 0, 6], 6),
        (13, &[0, 0, 0, 6], 6),
    ];
    for (kind, value, expected) in cases {
        for big_endian in [false, true] {
            let mut bytes = value.to_vec();
            if !big_endian {
                bytes.reverse();
            }
            bytes.resize(4, 0);
            let one = (0x112, kind, 1, [bytes[0], bytes[1], bytes[2], bytes[3]]);
            let said = format!("type {kind}, big endian {big_endian}");
            assert_eq!(orientation(&png(&exif(big_endian, &[one]))), expected, "{said}");
            let behind = exif(big_endian, &[(0x10E, 2, 4, *b"ABC\0"), (0x112, 99, 1, [8; 4]), one]);
            assert_eq!(orientation(&png(&behind)), expected, "{said}, behind a description and an unknown type");
        }
    }
    let rational = [exif(true, &[(0x112, 5, 1, [0, 0, 0, 26])]), vec![0, 0, 0, 12, 0, 0, 0, 2]].concat();
    assert_eq!(orientation(&png(&rational)), 6);
    let float = exif(true, &[(0x112, 11, 1, 6.0_f32.to_be_bytes())]);
    assert_eq!(orientation(&png(&float)), 6);
    assert_eq!(orientation(&png(&exif(true, &[(0x112, 4, 1, 65_542_u32.to_be_bytes())]))), 1, "6 in its lower half");
}

#[test]
fn xmp_is_read_as_its_writers_spell_it() {
    let cases = [
        ("tiff:Orientation=\"8\"", 8),
        ("tiff:Orientation = '8'", 8),
        ("><tiff:Orientation>8</tiff:Orientation", 8),
        ("><tiff:Orientation>\n 8 </tiff:Orientation", 8),
        ("tiff:OrientationNote=\"8\"", 1),
        ("tiff:Orientation=\"\" tiff:Orientation=\"8\"", 8),
        ("tiff:Orientation=\"0\"", 1),
        ("tiff:Orientation=\"9\"", 1),
        ("tiff:Orientation=\"eight\"", 1),
        ("tiff:Orientation", 1),
    ];
    for (property, expected) in cases {
        let file = png(&[wide_text("XML:com.adobe.xmp", packet(property).as_bytes(), true)], &[]);
        assert_eq!(orientation(&file), expected, "{property}");
    }
}

/// What is said of a file, which opens as the plain picture does.
fn notes(file: &[u8]) -> Vec<ImageNote> {
    assert_eq!(orientation(file), 1);
    look_at_image(&ImageSource::Bytes(file.into())).unwrap()
}

/// An Exif block with a colour space, and a rule of interoperability.
fn colours(space: u16, rule: &[u8; 4]) -> Vec<u8> {
    let [low, high] = space.to_le_bytes();
    let block = exif(false, &[(0x8769, 4, 1, [26, 0, 0, 0])]);
    let two = [(0xA001, 3, 1, [low, high, 0, 0]), (0xA005, 4, 1, [56, 0, 0, 0])];
    // Directories without the eight bytes of the block's head.
    [&block[..], &exif(false, &two)[8..], &exif(false, &[(1, 2, 4, *rule)])[8..]].concat()
}

#[test]
fn colours_that_exif_or_xmp_alone_state_are_said() {
    let said = |stated: &str| vec![ImageNote::ColoursNotConverted { stated: stated.into() }];
    let (adobe, other) = (said("Adobe RGB in Exif"), said("colours other than sRGB in Exif (uncalibrated)"));
    let cases = [
        (65_535, b"R03\0", adobe.clone()),
        (2, b"R98\0", adobe.clone()),
        (65_535, b"R98\0", other),
        (1, b"R98\0", vec![]),
        (1, b"R03\0", vec![]),
    ];
    for (space, rule, expected) in cases {
        let block = colours(space, rule);
        assert_eq!(notes(&png(&[chunk(b"eXIf", &block)], &[])), expected, "PNG: {space}");
        assert_eq!(notes(&jpeg(&[(0xE1, [&b"Exif\0\0"[..], &block].concat())])), expected, "JPEG: {space}");
        assert_eq!(notes(&webp(Some(block.clone()), None)), expected, "WebP: {space}");
        let says_itself = png(&[chunk(b"sRGB", &[0]), chunk(b"eXIf", &block)], &[]);
        assert_eq!(notes(&says_itself), [], "a chunk states the colours: {space}");
    }
    let xmp = |property: &str| webp(None, Some(&packet(property)));
    let expected = said("the profile \"Adobe RGB (1998)\" in XMP");
    assert_eq!(notes(&xmp("photoshop:ICCProfile=\"Adobe RGB (1998)\"")), expected);
    assert_eq!(notes(&xmp("photoshop:ICCProfile=\"sRGB IEC61966-2.1\"")), []);
    let line = adobe[0].to_string();
    assert!(
        line.starts_with("states Adobe RGB in Exif and has no ICC profile; its colours are taken as sRGB"),
        "{line}"
    );
}

#[test]
fn a_gain_map_is_said() {
    let xmp = [&b"http://ns.adobe.com/xap/1.0/\0"[..], packet("hdrgm:Version=\"1.0\"").as_bytes()].concat();
    let iso = b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0".to_vec();
    assert_eq!(notes(&jpeg(&[(0xE1, xmp)])), [ImageNote::GainMap]);
    assert_eq!(notes(&jpeg(&[(0xE2, iso)])), [ImageNote::GainMap]);
    assert_eq!(notes(&jpeg(&[])), []);
}

/// What is said of a file, whatever it shows.
fn said(file: &[u8]) -> Vec<ImageNote> {
    look_at_image(&ImageSource::Bytes(file.into())).unwrap()
}

#[test]
fn an_animation_is_said() {
    for name in ["anim.png", "anim.webp"] {
        assert_eq!(said(&fs::read(data("fuzz").join(name)).unwrap()), [ImageNote::Animation], "{name}");
    }
    let control = |frames: u32| chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat());
    let sides = [48_u32, 32].map(u32::to_be_bytes).concat();
    let frame = || chunk(b"fcTL", &[&[0_u8; 4][..], &sides, &[0; 8], &[0, 1, 0, 10, 0, 0]].concat());
    let mut unsound = control(2);
    *unsound.last_mut().unwrap() ^= 1;
    let cases = [
        ("one frame", vec![control(1), frame()], vec![]),
        ("one frame, and another picture", vec![control(1)], vec![ImageNote::Animation]),
        ("two frames", vec![control(2), frame()], vec![ImageNote::Animation]),
        ("a wrong checksum", vec![unsound], vec![]),
    ];
    for (name, chunks, expected) in cases {
        assert_eq!(notes(&png(&chunks, &[])), expected, "{name}");
    }
    assert_eq!(ImageNote::Animation.to_string(), "is an animation; its first picture is used");
}

#[test]
fn several_pictures_in_one_jpeg_are_said() {
    let list = |classes: &[u8]| {
        let entries: Vec<u8> =
            classes.iter().flat_map(|class| [[0, 0, *class, 0], [0; 4], [0; 4], [0; 4]].concat()).collect();
        let count = (0xB001, 4, 1, [classes.len() as u8, 0, 0, 0]);
        let head = exif(false, &[count, (0xB002, 7, entries.len() as u32, [38, 0, 0, 0])]);
        (0xE2, [&b"MPF\0"[..], &head, &entries].concat())
    };
    let count_alone = (0xE2, [&b"MPF\0"[..], &exif(true, &[(0xB001, 4, 1, [0, 0, 0, 2])])].concat());
    let xmp = [&b"http://ns.adobe.com/xap/1.0/\0"[..], packet("hdrgm:Version=\"1.0\"").as_bytes()].concat();
    let several = || vec![ImageNote::SeveralPictures];
    let cases = [
        ("two", vec![list(&[3, 0])], several()),
        ("a panorama of three", vec![list(&[3, 2, 2])], several()),
        ("how many alone", vec![count_alone], several()),
        ("a smaller copy", vec![list(&[3, 1])], vec![]),
        ("one", vec![list(&[3])], vec![]),
        ("a gain map", vec![list(&[3, 5])], vec![ImageNote::GainMap]),
        ("a gain map by XMP", vec![list(&[3, 0]), (0xE1, xmp)], vec![ImageNote::GainMap]),
        ("a list that is none", vec![(0xE2, b"MPF\0hello".to_vec())], vec![]),
    ];
    for (name, segments, expected) in cases {
        assert_eq!(notes(&jpeg(&segments)), expected, "{name}");
    }
    let line = ImageNote::SeveralPictures.to_string();
    assert_eq!(line, "has several pictures in one file (MPF); the first is used");
}

#[test]
fn transparency_that_is_dropped_is_said() {
    let rgba = |alpha: u8| RgbaImage::from_fn(2, 1, |x, _| Rgba([9, 8, 7, if x == 1 { alpha } else { 255 }]));
    let deep = |alpha: u16| ImageBuffer::from_fn(2, 1, |x, _| LumaA([9_u16, if x == 1 { alpha } else { 65_535 }]));
    for (alpha, expected) in [(254, vec![ImageNote::Transparency]), (255, vec![])] {
        let mut files: [Vec<u8>; 3] = Default::default();
        rgba(alpha).write_with_encoder(PngEncoder::new(&mut files[0])).unwrap();
        rgba(alpha).write_with_encoder(WebPEncoder::new_lossless(&mut files[1])).unwrap();
        deep(u16::from(alpha) << 8 | 255).write_with_encoder(PngEncoder::new(&mut files[2])).unwrap();
        for (name, file) in ["PNG", "WebP", "PNG of 16 bits"].into_iter().zip(&files) {
            assert_eq!(said(file), expected, "{name}, {alpha}");
        }
    }
    let key = |sample: u8| png(&[chunk(b"tRNS", &[0, sample, 0, 60, 0, 90])], &[]);
    assert_eq!(notes(&key(40)), [ImageNote::Transparency], "a colour that is there");
    assert_eq!(notes(&key(41)), [], "a colour that is not");
    let line = ImageNote::Transparency.to_string();
    assert!(
        line.starts_with("has transparent pixels; transparency is dropped, and the colours stored under it"),
        "{line}"
    );
}

#[test]
fn pixels_that_are_not_square_are_said() {
    let physical = |across: u32, down: u32| {
        png(&[chunk(b"pHYs", &[&across.to_be_bytes()[..], &down.to_be_bytes(), &[1]].concat())], &[])
    };
    let jfif = |across: u8, down: u8| jpeg(&[(0xE0, [&b"JFIF\0"[..], &[1, 2, 1, 0, across, 0, down, 0, 0]].concat())]);
    let of_exif =
        |across: u8, down: u8| exif(false, &[(0x11A, 3, 1, [across, 0, 0, 0]), (0x11B, 3, 1, [down, 0, 0, 0])]);
    let rational = |pairs: [u8; 4]| {
        let directory = exif(true, &[(0x11A, 5, 1, [0, 0, 0, 38]), (0x11B, 5, 1, [0, 0, 0, 46])]);
        [directory, pairs.map(|number| [0, 0, 0, number]).concat()].concat()
    };
    let e = |block: &[u8]| png(&[chunk(b"eXIf", block)], &[]);
    let unequal = |stated: &str| vec![ImageNote::PixelsNotSquare { stated: stated.into() }];
    let cases = [
        ("pHYs", physical(2835, 5669), unequal("2835 across and 5669 down to the same length, in pHYs")),
        ("pHYs, equal", physical(2835, 2835), vec![]),
        ("pHYs, rounded", physical(2834, 2835), vec![]),
        ("pHYs of nothing", physical(0, 1), vec![]),
        ("JFIF", jfif(72, 36), unequal("72 across and 36 down to the same length, in JFIF")),
        ("JFIF, equal", jfif(72, 72), vec![]),
        ("PNG's Exif", e(&of_exif(72, 144)), unequal("72 across and 144 down to the same length, in Exif")),
        ("WebP's Exif", webp(Some(of_exif(2, 1)), None), unequal("2 across and 1 down to the same length, in Exif")),
        (
            "Exif's fractions",
            e(&rational([72, 1, 100, 3])),
            unequal("72 across and 33.333 down to the same length, in Exif"),
        ),
        ("Exif, equal", e(&rational([72, 1, 144, 2])), vec![]),
        ("Exif, no number", e(&rational([0, 0, 72, 1])), vec![]),
        ("Exif, one of them", e(&exif(false, &[(0x11A, 3, 1, [72, 0, 0, 0])])), vec![]),
    ];
    for (name, file, expected) in cases {
        assert_eq!(notes(&file), expected, "{name}");
    }
    let line = unequal("2 across and 1 down to the same length, in Exif")[0].to_string();
    let expected = "states pixels that are not square (2 across and 1 down to the same length, in Exif); they are taken as square: \
                    resample the picture if it looks stretched";
    assert_eq!(line, expected);
}
