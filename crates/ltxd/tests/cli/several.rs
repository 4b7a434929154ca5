//! Several clips of one run: each is what a run of its own makes, prompts and images are encoded once, and the seed is in their names.
//!
//! Must not know how they share what they share.

use crate::support::{
    command::{BAD_INPUT, DONE, ltxd, run},
    files::{end_picture, scratch},
    request::{Request, good},
};
use serde_json::{Value, json};
use std::{fs, path::Path};
use test_case::test_case;

fn words(request: &Request, folder: &Path, more: &[&str]) -> Vec<String> {
    let mut words = request.clone().with("out", folder.join("clip.mp4").display()).words();
    words.extend(["--json"].iter().chain(more).map(|word| (*word).to_owned()));
    words
}

/// What `generate --json` says of each clip.
fn made(request: &Request, folder: &Path, more: &[&str]) -> Vec<Value> {
    run(ltxd(&words(request, folder, more))).with(DONE).json_lines()
}

#[test_case("ltx-2.3-tiny", 2; "two stages")]
#[test_case("ltxv-tiny", 1; "of a family that draws its images")]
fn each_clip_is_what_a_run_of_its_own_makes(model: &str, stages: usize) {
    let request =
        good().with("model", model).with("height", 64).with("stages", stages).with("end-image", end_picture());
    let folders = [scratch(), scratch()];
    let [together, alone] = folders.each_ref().map(|folder| folder.path());
    let found = made(&request.clone().without("seed"), together, &["--seeds=5,3"]);
    let seeds: Vec<_> = found.iter().map(|clip| clip["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [5, 3]);
    let images = 2 * stages;
    let encodings = [json!({ "cached": 0, "encoded": images }), json!({ "cached": images, "encoded": 0 })];
    for ((clip, seed), images) in found.iter().zip(seeds).zip(encodings) {
        let [own] = &made(&request.clone().with("seed", seed), alone, &[])[..] else { panic!("one clip") };
        assert_eq!(clip["frames_sha256"], own["frames_sha256"], "{seed}");
        assert_eq!((&clip["image_latents"], &clip["contexts"]["encoded"]), (&images, &json!(usize::from(seed == 5))));
        let file = together.join(format!("clip-{seed}.mp4"));
        assert_eq!(fs::read(file).unwrap(), fs::read(alone.join("clip.mp4")).unwrap(), "the same bytes");
    }
    assert_eq!(fs::read_dir(together).unwrap().count(), 2);
    // As many that follow a seed.
    let counted = made(&request.with("seed", 3), together, &["--count=2"]);
    let seeds: Vec<_> = counted.iter().map(|clip| clip["seed"].as_u64().unwrap()).collect();
    assert_eq!((seeds, &counted[0]["frames_sha256"]), (vec![3, 4], &found[1]["frames_sha256"]));
}

#[test_case(&["--seeds=1,2,1"], &["seeds"]; "a seed twice")]
#[test_case(&["--count=0", "--width=100"], &["count", "width"]; "none, and a wrong size")]
fn what_cannot_be_is_told_with_all_that_is_wrong(more: &[&str], fields: &[&str]) {
    let folder = scratch();
    let request = good().without("seed").without("width");
    let refused = run(ltxd(&words(&request, folder.path(), more))).with(BAD_INPUT).json();
    let violations = refused["violations"].as_array().expect("what is wrong");
    let mut found: Vec<_> = violations.iter().map(|violation| violation["field"].as_str().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, fields);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
