//! A disk that takes no more: the error names the output, nothing is left, nothing is finished.
//!
//! The limit is a file size limit (`ulimit -f`) on a child: this same test binary, told by the environment to write.

mod common;

use common::{Folder, mark, noise};
use ltx_media::{FrameWriter, MediaError, Mp4Writer, PngFolderWriter};
use ltx_types::{FrameRate, PixelShape};
use std::{env, path::PathBuf, process::Command};

const SHAPE: PixelShape = PixelShape { width: 128, height: 128 };
const FOLDER: &str = "LTX_MEDIA_FULL_FOLDER";
const OUTPUT: &str = "LTX_MEDIA_FULL_OUTPUT";
const FRAMES: &str = "LTX_MEDIA_FULL_FRAMES";

/// Writes in a child that may write files of `kib` KiB; returns what it said.
fn child(output: &str, frames: usize, kib: usize) -> String {
    let folder = Folder::new();
    // Ignored, the signal becomes the error EFBIG.
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" --exact write_in_a_child --nocapture");
    let child = Command::new("bash")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .env(OUTPUT, output)
        .env(FRAMES, frames.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap() + &String::from_utf8(child.stderr).unwrap();
    assert!(child.status.success(), "{said}");
    let left = folder.names();
    assert!(if said.contains("outcome: whole") { left == [output] } else { left.is_empty() }, "{left:?}: {said}");
    said
}

#[test]
fn a_full_disk_surfaces_at_the_start() {
    assert!(child("clip.mp4", 1, 0).contains("outcome: create 27"));
}

#[test]
fn a_full_disk_surfaces_while_writing() {
    for (output, kib) in [("clip.mp4", 64), ("frames", 16)] {
        let said = child(output, 200, kib);
        assert!(said.contains("outcome: write 27"), "{said}");
    }
}

#[test]
fn a_full_disk_surfaces_at_the_end() {
    // The encoder holds so few frames back that only finish() writes.
    let whole = child("clip.mp4", 2, 4096);
    let bytes: usize =
        whole.split_once("outcome: whole ").and_then(|(_, rest)| rest.lines().next()).unwrap().parse().unwrap();
    // Too small for the pictures; for the index; for moving the index to the front, by less than a KiB.
    for kib in [1, 16, bytes / 1024 - 1, (bytes - 1) / 1024] {
        let said = child("clip.mp4", 2, kib);
        assert!(said.contains("outcome: finish 27"), "{kib} KiB: {said}");
    }
}

#[test]
fn room_enough_is_enough() {
    assert!(child("frames", 2, 4096).contains("outcome: whole"));
}

/// Not a test of its own: what [`child`] runs.
#[test]
fn write_in_a_child() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (output, frames) = (env::var(OUTPUT).unwrap(), env::var(FRAMES).unwrap().parse().unwrap());
    let path = folder.join(&output);
    let number = |error: MediaError| match error {
        MediaError::Write { path: named, source } => {
            assert_eq!(named, path);
            source.raw_os_error().unwrap()
        }
        other => panic!("{other:?}"),
    };
    let (rate, mark) = (FrameRate::new(24.0).unwrap(), mark());
    let created: Result<Box<dyn FrameWriter>, MediaError> = match output.as_str() {
        "clip.mp4" => Mp4Writer::create(&path, SHAPE, rate).map(|writer| Box::new(writer) as _),
        _ => PngFolderWriter::create(&path, SHAPE, &mark).map(|writer| Box::new(writer) as _),
    };
    let mut writer = match created {
        Ok(writer) => writer,
        Err(error) => return println!("outcome: create {}", number(error)),
    };
    for index in 0..frames {
        if let Err(error) = writer.write(&noise(SHAPE.width, SHAPE.height, index)) {
            println!("outcome: write {}", number(error));
            assert!(writer.finish(&mark).is_err(), "an output with a failed frame is not finished");
            return;
        }
    }
    match writer.finish(&mark) {
        Ok(()) => println!("outcome: whole {}", path.metadata().unwrap().len()),
        Err(error) => println!("outcome: finish {}", number(error)),
    }
}
