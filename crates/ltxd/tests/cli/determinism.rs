//! The same request and seed, twice, give the same bytes: latent, frames, MP4 and PNG files, with any number of threads.
//! Another seed gives others.
//!
//! Must not know why.

use crate::support::{
    command::{DONE, ltxd, run},
    files::{end_picture, paths_in, scratch},
    request::{Request, good},
};
use sha2::{Digest, Sha256};
use std::fs;
use test_case::test_case;

const SEED: u64 = 7;

/// SHA-256 of everything that a run makes.
#[derive(Debug, PartialEq)]
struct Made {
    latent: String,
    frames: String,
    mp4: String,
    png: String,
}

fn shaped(request: Request, [width, height, frames]: [u32; 3]) -> Request {
    request.with("width", width).with("height", height).with("frames", frames)
}

fn with_end() -> Request {
    good().with("end-image", end_picture())
}

fn guided(request: Request) -> Request {
    request.with("schedule", "guided").with("steps", 4).with("negative-prompt", "blurry")
}

fn make(request: &Request, seed: u64, threads: Option<u32>) -> Made {
    let folder = scratch();
    let [out, frames] = ["clip.mp4", "frames"].map(|name| folder.path().join(name));
    let request = request.clone().with("seed", seed).with("out", out.display()).with("frames-dir", frames.display());
    let mut command = ltxd(&[request.words(), vec!["--json".to_owned()]].concat());
    if let Some(threads) = threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    let summary = run(command).with(DONE).json();
    let text = |key: &str| summary[key].as_str().unwrap_or_else(|| panic!("no {key} in {summary}")).to_owned();
    let mut files = paths_in(&frames);
    files.sort();
    let mut png = Sha256::new();
    for file in &files {
        png.update(file.file_name().unwrap().as_encoded_bytes());
        png.update(fs::read(file).unwrap());
    }
    Made {
        latent: text("latent_sha256"),
        frames: text("frames_sha256"),
        mp4: format!("{:x}", Sha256::digest(fs::read(out).unwrap())),
        png: format!("{:x}", png.finalize()),
    }
}

#[test_case(shaped(good(), [160, 96, 25]); "image to video distilled")]
#[test_case(shaped(guided(with_end()), [128, 96, 17]); "start end frames guided")]
#[test_case(shaped(with_end().with("stages", 2), [192, 128, 17]); "start end frames two stages")]
fn a_seed_means_the_same_bytes(request: Request) {
    let first = make(&request, SEED, None);
    for threads in [None, Some(1), Some(7)] {
        assert_eq!(make(&request, SEED, threads), first, "with {threads:?} threads");
    }
    let Made { latent, frames, mp4, png } = make(&request, SEED + 1, None);
    assert_ne!(latent, first.latent);
    assert_ne!(frames, first.frames);
    assert_ne!(mp4, first.mp4);
    assert_ne!(png, first.png);
}
