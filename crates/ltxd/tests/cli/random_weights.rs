//! A model with random weights, written as GGUF by scripts/measure/random_gguf.py: its keys are accounted for, and the frames generated
//! from it are there in number, none constant, no two alike, and others with another prompt, so the text and the blocks reach
//! them.
//!
//! Must not know what good frames look like. scripts/measure/check-full-size does it at the real size.

use crate::support::{
    command::{DONE, ltxd, run},
    files::{repository, scratch, start_picture, text},
};
use serde_json::Value;
use std::{path::Path, process::Command};
use test_case::test_case;

/// Deviation within a frame, at least, of 255.
const LEAST_DEVIATION: f64 = 4.0;
/// Root mean square between two frames, at least, of 255.
const LEAST_DIFFERENCE: f64 = 1.0;
const SIDE: usize = 128;
const FRAMES: usize = 9;

fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    (values.map(|value| value * value).sum::<f64>() / count).sqrt()
}

fn deviation(frame: &[u8]) -> f64 {
    let mean = frame.iter().map(|value| f64::from(*value)).sum::<f64>() / frame.len() as f64;
    root_mean_square(frame.iter().map(|value| f64::from(*value) - mean))
}

fn difference(first: &[u8], second: &[u8]) -> f64 {
    root_mean_square(first.iter().zip(second).map(|(a, b)| f64::from(*a) - f64::from(*b)))
}

/// A clip's frames in grey.
fn frames_of(clip: &Path) -> Vec<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(clip).args(["-f", "rawvideo", "-pix_fmt", "gray", "-"]);
    let decoded = command.output().expect("ffmpeg");
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
    decoded.stdout.chunks(SIDE * SIDE).map(<[u8]>::to_vec).collect()
}

fn generate([ltx, gemma]: &[String; 2], prompt: &str, clip: &Path) -> (Value, Vec<Vec<u8>>) {
    let (image, out, side) = (start_picture(), text(clip), SIDE.to_string());
    let mut words = vec!["generate", "--json", "--model", ltx, "--text-encoder", gemma, "--schedule", "distilled"];
    words.extend(["--prompt", prompt, "--image", &image, "--out", &out]);
    words.extend(["--width", &side, "--height", &side, "--frames", "9"]);
    (run(ltxd(&words)).with(DONE).json(), frames_of(clip))
}

#[test_case("q4_k"; "q4_k")]
#[test_case("q8_0"; "q8_0")]
#[test_case("bf16"; "bf16")]
fn frames_follow_from_image_and_prompt(kind: &str) {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let script = text(&repository("scripts/measure/random_gguf.py"));
    let made =
        Command::new("python3").arg(&script).arg(folder.path()).args(["--size", "small", "--type", kind]).output();
    let made = made.expect("Python 3");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let files = ["ltx-2.3", "gemma-3"].map(|model| text(&at(&format!("{model}-small-{kind}.gguf"))));
    for file in &files {
        let keys = run(ltxd(&["inspect", "--json", file])).with(DONE).json();
        assert_eq!(keys["keys_used"], keys["keys_total"], "{file}");
    }
    let (summary, first) = generate(&files, "A lake.", &at("a.mp4"));
    let (_, second) = generate(&files, "Two red birds fly.", &at("b.mp4"));
    assert_eq!(summary["frames"], FRAMES);
    assert_eq!([first.len(), second.len()], [FRAMES; 2]);
    for frame in first.iter().chain(&second) {
        assert!(deviation(frame) > LEAST_DEVIATION, "a constant frame: {}", deviation(frame));
    }
    for pair in first.windows(2) {
        assert!(difference(&pair[0], &pair[1]) > LEAST_DIFFERENCE, "two frames alike");
    }
    let between = first.iter().zip(&second).map(|(a, b)| difference(a, b));
    assert!(between.fold(0.0, f64::max) > LEAST_DIFFERENCE, "the prompt does not reach the frames");
}
