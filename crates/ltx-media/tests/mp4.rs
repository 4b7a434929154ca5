//! `Mp4Writer`: what a player, ffprobe and a file manager see of it.

mod common;

use common::{Folder, gradient, mark, names, noise};
use ffmpeg_next as ffmpeg;
use ltx_media::{FrameWriter, MediaError, Mp4Writer};
use ltx_types::{FrameRate, PixelShape};
use std::{collections::BTreeMap, fs, path::Path, process::Command};

const SHAPE: PixelShape = PixelShape { width: 96, height: 64 };

fn rate(fps: f64) -> FrameRate {
    FrameRate::new(fps).unwrap()
}

fn write_clip(path: &Path, fps: f64, frames: impl IntoIterator<Item = Vec<u8>>) -> Result<(), MediaError> {
    let mut writer = Box::new(Mp4Writer::create(path, SHAPE, rate(fps))?);
    for frame in frames {
        writer.write(&frame)?;
    }
    writer.finish(&mark())
}

fn gradients(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|index| gradient(SHAPE.width, SHAPE.height, index))
}

/// `key=value` lines of `ffprobe -show_format -show_streams`; scripts install it with FFmpeg.
fn probe(path: &Path) -> BTreeMap<String, String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-show_streams", "-show_format", "-of", "flat=h=0"])
        .arg(path)
        .output()
        .expect("ffprobe is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let entry = |line: &str| line.split_once('=').map(|(key, value)| (key.into(), value.trim_matches('"').into()));
    text.lines().filter_map(entry).collect()
}

/// Every frame, decoded and turned into RGB with the BT.709 matrix (not swscale's default BT.601).
fn decode(path: &Path) -> Vec<Vec<[f64; 3]>> {
    ffmpeg::init().unwrap();
    let mut input = ffmpeg::format::input(path).unwrap();
    let parameters = input.stream(0).unwrap().parameters();
    let mut decoder = ffmpeg::codec::Context::from_parameters(parameters).unwrap().decoder().video().unwrap();
    let mut frames = Vec::new();
    let mut drain = |decoder: &mut ffmpeg::decoder::Video| {
        let mut frame = ffmpeg::frame::Video::empty();
        while decoder.receive_frame(&mut frame).is_ok() {
            frames.push(rgb(&frame));
        }
    };
    for (_, packet) in input.packets() {
        decoder.send_packet(&packet).unwrap();
        drain(&mut decoder);
    }
    decoder.send_eof().unwrap();
    drain(&mut decoder);
    frames
}

fn rgb(frame: &ffmpeg::frame::Video) -> Vec<[f64; 3]> {
    let at = |plane: usize, x: usize, y: usize| f64::from(frame.data(plane)[y * frame.stride(plane) + x]);
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let pixel = |index: usize| {
        let (x, y) = (index % width, index / width);
        let luma = (at(0, x, y) - 16.0) / 219.0;
        let (blue, red) = ((at(1, x / 2, y / 2) - 128.0) / 224.0, (at(2, x / 2, y / 2) - 128.0) / 224.0);
        let (r, b) = (luma + 1.5748 * red, luma + 1.8556 * blue);
        [r, (luma - 0.2126 * r - 0.0722 * b) / 0.7152, b].map(|value| value * 255.0)
    };
    (0..width * height).map(pixel).collect()
}

#[test]
fn decodes_to_the_frames_that_went_in() {
    let folder = Folder::new();
    let path = folder.join("clip.mp4");
    write_clip(&path, 24.0, gradients(17)).unwrap();
    let decoded = decode(&path);
    assert_eq!(decoded.len(), 17);
    for (frame, original) in decoded.iter().zip(gradients(17)) {
        assert_eq!(frame.len(), SHAPE.width * SHAPE.height);
        let errors = frame.as_flattened().iter().zip(&original).map(|(&got, &want)| (got - f64::from(want)).abs());
        let mean = errors.sum::<f64>() / original.len() as f64;
        assert!(mean < 2.0, "mean error {mean}");
    }
}

#[test]
fn flat_colours_survive() {
    let folder = Folder::new();
    for (name, colour) in [("red", [255, 0, 0]), ("white", [255; 3]), ("black", [0; 3]), ("skin", [224, 172, 105])] {
        let path = folder.join(name);
        write_clip(&path, 24.0, vec![colour.repeat(SHAPE.width * SHAPE.height); 3]).unwrap();
        for got in decode(&path).concat() {
            assert!(got.iter().zip(colour).all(|(got, want)| (got - f64::from(want)).abs() < 3.0), "{name}: {got:?}");
        }
    }
}

#[test]
fn ffprobe_sees_colours_rate_length_and_mark() {
    let folder = Folder::new();
    for (fps, fraction, frames) in
        [(24.0, "24/1", 17), (23.976, "24000/1001", 9), (29.97, "30000/1001", 25), (12.5, "25/2", 9), (50.0, "50/1", 1)]
    {
        let path = folder.join("clip.mp4");
        write_clip(&path, fps, gradients(frames)).unwrap();
        let seen = probe(&path);
        let stream = |key: &str| seen[&format!("stream.0.{key}")].as_str();
        assert_eq!(seen["format.nb_streams"], "1", "no audio");
        assert_eq!((stream("codec_name"), stream("pix_fmt")), ("h264", "yuv420p"));
        for key in ["color_space", "color_primaries", "color_transfer"] {
            assert_eq!(stream(key), "bt709", "{key}");
        }
        assert_eq!(stream("color_range"), "tv");
        assert_eq!((stream("r_frame_rate"), stream("avg_frame_rate")), (fraction, fraction));
        assert_eq!((stream("nb_frames"), stream("nb_read_packets")), (&*frames.to_string(), &*frames.to_string()));
        assert_eq!((stream("width"), stream("height"), stream("start_time")), ("96", "64", "0.000000"));
        let seconds = format!("{:.6}", frames as f64 / rate(fps).fps());
        assert_eq!((stream("duration"), &*seen["format.duration"]), (&*seconds, &*seconds), "{fps}");
        for (key, value) in mark().entries() {
            assert_eq!(seen[&format!("format.tags.{key}")], value);
        }
        assert!(seen["format.tags.comment"].contains("usage_class UNLIMITED, credits_charged 0"));
        assert!(!seen.contains_key("format.tags.creation_time") && !seen.contains_key("format.tags.encoder"));
    }
}

#[test]
fn the_index_comes_first() {
    let folder = Folder::new();
    let path = folder.join("clip.mp4");
    write_clip(&path, 24.0, gradients(9)).unwrap();
    let bytes = fs::read(&path).unwrap();
    let (mut at, mut boxes) = (0, Vec::new());
    while at < bytes.len() {
        let size = u32::from_be_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        boxes.push(String::from_utf8(bytes[at + 4..at + 8].to_vec()).unwrap());
        assert!(size >= 8, "{boxes:?}");
        at += size;
    }
    let place = |name| boxes.iter().position(|found| found == name).unwrap();
    assert!(place("moov") < place("mdat"), "{boxes:?}");
    assert_eq!(at, bytes.len());
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    let folder = Folder::new();
    for name in ["a.mp4", "b.mp4"] {
        write_clip(&folder.join(name), 24.0, (0..25).map(|n| noise(SHAPE.width, SHAPE.height, n))).unwrap();
    }
    assert!(fs::read(folder.join("a.mp4")).unwrap() == fs::read(folder.join("b.mp4")).unwrap());
}

#[test]
fn nothing_is_seen_before_the_end_and_nothing_left_without_it() {
    let folder = Folder::new();
    let path = folder.join("clip.mp4");
    fs::write(&path, "an older clip").unwrap();
    let mut writer = Box::new(Mp4Writer::create(&path, SHAPE, rate(24.0)).unwrap());
    for frame in gradients(9) {
        writer.write(&frame).unwrap();
    }
    let hidden: Vec<_> = folder.names().into_iter().filter(|name| name.starts_with(".clip.mp4.partial-")).collect();
    assert_eq!((hidden.len(), folder.names().len()), (1, 2));
    assert_eq!(fs::read_to_string(&path).unwrap(), "an older clip");
    drop(writer);
    assert_eq!(folder.names(), ["clip.mp4"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "an older clip");

    let empty = write_clip(&path, 24.0, []).unwrap_err();
    assert!(matches!(empty, MediaError::Incomplete { .. }), "{empty}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "an older clip");
    write_clip(&path, 24.0, gradients(1)).unwrap();
    assert_eq!(folder.names(), ["clip.mp4"]);
    assert_eq!(decode(&path).len(), 1, "replaced");
}

#[test]
fn a_frame_of_another_length_is_refused_and_the_clip_goes_on() {
    let folder = Folder::new();
    let path = folder.join("clip.mp4");
    let mut writer = Box::new(Mp4Writer::create(&path, SHAPE, rate(24.0)).unwrap());
    let error = writer.write(&[0; 5]).unwrap_err();
    assert_eq!(error.to_string(), "a frame has 5 bytes where 96x64 RGB takes 18432");
    writer.write(&gradient(SHAPE.width, SHAPE.height, 0)).unwrap();
    writer.finish(&mark()).unwrap();
    assert_eq!(decode(&path).len(), 1);
}

#[test]
fn what_cannot_be_created_is_named() {
    let folder = Folder::new();
    let create = |path: &Path, shape| Mp4Writer::create(path, shape, rate(24.0)).unwrap_err();
    let error = create(&folder.join("no/such/clip.mp4"), SHAPE);
    assert!(matches!(&error, MediaError::NoFolder { folder: missing, .. } if *missing == folder.join("no/such")));
    assert!(matches!(create(folder.path(), SHAPE), MediaError::IsFolder { .. }));
    assert!(matches!(create(Path::new("/"), SHAPE), MediaError::IsFolder { .. }));
    fs::write(folder.join("file"), "").unwrap();
    assert!(matches!(create(&folder.join("file/clip.mp4"), SHAPE), MediaError::NoFolder { .. }));
    assert!(matches!(create(Path::new("/proc/clip.mp4"), SHAPE), MediaError::Create { .. }), "not writable");
    let path = folder.join("clip.mp4");
    for (width, height) in [(0, 64), (95, 64), (96, 63), (1 << 20, 64)] {
        assert!(matches!(create(&path, PixelShape { width, height }), MediaError::FrameShape { .. }));
    }
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn awkward_names_work() {
    let folder = Folder::new();
    for name in ["clip", "http:clip.mp4", "a b 100%d.mp4", &"ü".repeat(120), "-y"] {
        write_clip(&folder.join(name), 24.0, gradients(1)).unwrap();
        assert_eq!(probe(&folder.join(name))["format.nb_streams"], "1", "{name}");
    }
    assert_eq!(folder.names().len(), 5);
}

#[test]
fn metadata_that_is_no_utf_8_is_left_out() {
    let folder = Folder::new();
    let file = folder.join("clip.mp4");
    write_clip(&file, 24.0, gradients(1)).unwrap();
    let whole = ltx_media::mp4_metadata(&file).unwrap();
    let node = "Knoten-ß 1";
    assert!(whole.contains(&("node".to_owned(), node.to_owned())), "{whole:?}");
    let mut bytes = fs::read(&file).unwrap();
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(node.as_bytes())).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] = 0xff;
    }
    fs::write(&file, bytes).unwrap();
    let left = ltx_media::mp4_metadata(&file).unwrap();
    assert!(left.iter().all(|(_, value)| !value.contains("noten")), "{left:?}");
    assert!(left.iter().any(|entry| entry.0 == "usage_class") && left.iter().all(|entry| whole.contains(entry)));
}
