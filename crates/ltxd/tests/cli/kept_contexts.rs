//! What one command has kept spares the next one the text encoder and the video encoder, and changes nothing else; what is damaged, another's,
//! or not wanted is computed.
//!
//! Must not know how contexts are kept.

use crate::support::{
    command::{DONE, ltxd, run},
    files::scratch,
    request::{Request, good},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What `generate --json` says where the user's caches are in `caches`.
fn made(request: &Request, caches: &Path, more: &[&str]) -> Value {
    let folder = scratch();
    let mut words = request.clone().with("out", folder.path().join("clip.mp4").display()).words();
    words.extend(["--json"].iter().chain(more).map(|word| (*word).to_owned()));
    let mut command = ltxd(&words);
    command.env_remove("LTXD_NO_CACHE").env("XDG_CACHE_HOME", caches);
    run(command).with(DONE).json()
}

fn frames(summary: &Value) -> &str {
    summary["frames_sha256"].as_str().expect("a digest")
}

fn contexts(cached: u64, encoded: u64) -> Value {
    json!({ "cached": cached, "encoded": encoded })
}

/// The files that are kept.
fn kept(caches: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(caches.join("ltxd/cache")).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn the_second_run_encodes_nothing_and_makes_the_same_clip() {
    let caches = scratch();
    let caches = caches.path();
    let first = made(&good(), caches, &["--no-cache"]);
    assert_eq!((&first["contexts"], kept(caches).len()), (&contexts(0, 1), 0));
    let second = made(&good(), caches, &[]);
    assert_eq!((&second["contexts"], frames(&second)), (&contexts(0, 1), frames(&first)));
    let third = made(&good(), caches, &[]);
    assert_eq!((&third["contexts"], frames(&third)), (&contexts(1, 0), frames(&first)));
    let planned = |summary: &Value| {
        let stages = summary["plan"]["stages"].as_array().unwrap();
        stages.iter().any(|need| need["stage"] == "text_encoding")
    };
    assert!(planned(&second) && !planned(&third), "{third}");
    assert_eq!([&second["image_latents"], &third["image_latents"]], [&contexts(0, 1), &contexts(1, 0)]);
    for stage in ["text", "images"] {
        let peak = |summary: &Value| summary["peak_rss_bytes_by_stage"].get(stage).is_some();
        assert!(peak(&second) && !peak(&third), "{stage}: {third}");
    }
    // Damage is computed anew: of the prompt's context and of the image's latent.
    let files = kept(caches);
    assert_eq!(files.len(), 2);
    let damage = |damaged: &dyn Fn(&mut Vec<u8>)| {
        for file in &files {
            let mut bytes = fs::read(file).unwrap();
            damaged(&mut bytes);
            fs::write(file, bytes).unwrap();
        }
        let summary = made(&good(), caches, &[]);
        assert_eq!([&summary["contexts"], &summary["image_latents"]], [&contexts(0, 1), &contexts(0, 1)]);
        assert_eq!(frames(&summary), frames(&first));
    };
    damage(&|bytes| *bytes.last_mut().unwrap() ^= 1);
    damage(&|bytes| bytes.truncate(bytes.len() / 2));
    assert_eq!(made(&good(), caches, &[])["contexts"], contexts(1, 0));
    // Another precision, other words, and the negative prompt beside known ones.
    assert_eq!(made(&good(), caches, &["--dtype=int8"])["contexts"], contexts(0, 1));
    let guided = good().with("schedule", "guided").with("steps", 2).with("negative-prompt", "blurry");
    let expected = made(&guided, caches, &["--no-cache"]);
    for said in [contexts(1, 1), contexts(2, 0)] {
        let summary = made(&guided, caches, &[]);
        assert_eq!((&summary["contexts"], frames(&summary)), (&said, frames(&expected)));
    }
    assert_eq!(made(&guided.with("prompt", "Rain."), caches, &[])["contexts"], contexts(1, 1));
}

#[test]
fn no_words_of_a_prompt_are_kept() {
    let caches = scratch();
    made(&good().with("prompt", "Xylophone"), caches.path(), &[]);
    let files = kept(caches.path());
    assert_eq!(files.len(), 2);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(9).any(|window| window.eq_ignore_ascii_case(b"xylophone")));
        assert!(!file.to_string_lossy().to_lowercase().contains("xylophone"));
    }
}

#[test]
fn where_no_folder_can_be_made_nothing_is_kept_and_the_clip_is_made() {
    let folder = scratch();
    let file = folder.path().join("a file");
    fs::write(&file, "x").unwrap();
    assert_eq!(made(&good(), &file, &[])["contexts"], contexts(0, 1));
}
