//! The files that people hold, made of the tiny model: each set of component files as published, each way in which a text encoder
//! comes, folders; all give the frames of the plain files. And what is not to be run is named as what it is.
//!
//! Must not know how files are read.

mod checkpoints;
mod damaged;
mod foreign;
mod t5;
mod text_encoders;

use crate::support::{
    command::{BAD_INPUT, DONE, ltxd, run},
    files::{checkpoint, gemma, scratch, text},
    request::{Request, good},
};

/// A small request for the model of these flags; flags may come more than once.
fn words(flags: &[(&str, &str)], clip: &str) -> Vec<String> {
    let request: Request =
        good().without("model").with("width", 64).with("height", 64).with("schedule", "distilled").with("out", clip);
    let flags = flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
    request.words().into_iter().chain(flags).collect()
}

/// What a generation of the model of these flags says, and the digest of its frames.
fn generated(flags: &[(&str, &str)]) -> (String, String) {
    let folder = scratch();
    let mut words = words(flags, &text(&folder.path().join("clip.mp4")));
    words.push("--json".to_owned());
    let ended = run(ltxd(&words)).with(DONE);
    let frames = ended.json()["frames_sha256"].as_str().expect("a digest").to_owned();
    (ended.err, frames)
}

/// The digest of the plain tiny model's frames.
fn plain() -> String {
    generated(&[("model", &checkpoint()), ("text-encoder", &gemma())]).1
}

/// What a generation says that is refused as bad input.
fn refused(flags: &[(&str, &str)]) -> String {
    let folder = scratch();
    let ended = run(ltxd(&words(flags, &text(&folder.path().join("clip.mp4")))));
    assert!(!ended.said().contains("panicked"), "{}", ended.said());
    ended.with(BAD_INPUT).err
}

/// What `inspect` says of a file, and its title.
fn inspected(file: &str, code: i32) -> (String, String) {
    let ended = run(ltxd(&["inspect", file])).with(code);
    let title = ended.out.lines().next().unwrap_or_default().to_owned();
    (ended.said(), title)
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "says nothing of {word:?}: {said}");
    }
}
