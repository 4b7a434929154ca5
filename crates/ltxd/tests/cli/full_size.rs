//! `ltxd inspect` on the full-size LTX-2.3 file without its weights, and on three spoilt ones: every key accounted for, in
//! little memory; each spoilt file refused by name.
//!
//! Must not know the keys. Nothing can be generated from zeros.

use crate::support::{
    command::{BAD_INPUT, DONE, ltxd, run},
    files::{scratch, text},
    process::Running,
    sparse::Sparse,
};
use std::{fs, os::unix::fs::MetadataExt};
use test_case::test_case;

const MIB: u64 = 1 << 20;
/// Resident memory, at most.
const MOST: u64 = 200 * MIB;
/// What the file takes of a disk, at most: its header, and a hole.
const MOST_ON_DISK: u64 = 8 * MIB;

const RENAMED: &str = "model.diffusion_model.transformer_blocks.7.attn1.to_q.weight";
const NEW_NAME: &str = "model.diffusion_model.transformer_blocks.7.attn1.to_queries.weight";
const RESHAPED: &str = "vae.decoder.conv_in.conv.weight";

#[test]
fn every_key_is_accounted_for() {
    let folder = scratch();
    let file = folder.path().join("checkpoint.safetensors");
    let sparse = Sparse::ltx();
    sparse.write(&file, 0);
    assert!(fs::metadata(&file).unwrap().blocks() * 512 <= MOST_ON_DISK, "the file is not sparse here");

    let running = Running::printing(ltxd(&["inspect", "--json", &text(&file)]));
    let (finished, printed) = running.finish();
    assert_eq!(finished.code, Some(DONE));
    // A machine that is busy enough looks too late.
    let peak = finished.peak.unwrap_or(0);
    assert!(peak < MOST, "{} MiB", peak / MIB);
    let found: serde_json::Value = serde_json::from_str(&printed.join("\n")).unwrap();
    let keys = |kind: &str| found[format!("keys_{kind}")].as_u64().unwrap() as usize;
    assert_eq!([keys("total"), keys("unknown"), keys("missing")], [sparse.keys(), 0, 0]);
    assert_eq!(keys("used") + keys("audio"), sparse.keys());
}

/// LTX-2 19B, whose configuration is rebuilt from public converters.
#[test]
fn every_key_of_ltx_2_is_accounted_for() {
    let folder = scratch();
    let file = folder.path().join("checkpoint.safetensors");
    let sparse = Sparse::published("ltx-2-19b", "ltx-2-19b", "2.0.0");
    sparse.write(&file, 0);
    let printed = run(ltxd(&["inspect", "--json", &text(&file)])).with(DONE).out;
    let found: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let keys = |kind: &str| found[format!("keys_{kind}")].as_u64().unwrap() as usize;
    assert_eq!([sparse.keys(), keys("total"), keys("unknown"), keys("missing")], [4049, 4049, 0, 0]);
    assert_eq!(keys("used") + keys("audio"), sparse.keys());
    assert_eq!(found["kind"], "LTX-2 checkpoint");
}

/// The files of LTX-2.5 as they are published, the language model aside, whose keys are not known here.
#[test]
fn every_key_of_the_files_of_2_5_is_accounted_for() {
    let folder = scratch();
    let files: Vec<(String, usize)> = ["transformer", "video-vae-conv", "text-projection", "audio-vae"]
        .into_iter()
        .map(|part| {
            let file = folder.path().join(format!("{part}.safetensors"));
            let sparse = Sparse::published(&format!("ltx-2.5-22b-{part}"), "ltx-2.5-22b", "2.5.0");
            sparse.write(&file, 0);
            (text(&file), sparse.keys())
        })
        .collect();
    let mut arguments = vec!["inspect", "--json", "--together"];
    arguments.extend(files.iter().map(|(file, _)| file.as_str()));
    let printed = run(ltxd(&arguments)).with(DONE).out;
    let found: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let keys = |kind: &str| found[format!("keys_{kind}")].as_u64().unwrap() as usize;
    let all: usize = files.iter().map(|(_, keys)| keys).sum();
    assert_eq!([all, keys("total"), keys("unknown"), keys("missing")], [5852, 5852, 0, 0]);
    assert_eq!(keys("used") + keys("audio"), all);
    assert_eq!(found["kind"], "LTX-2.5 checkpoint");
}

/// The other video VAE of LTX-2.5, whose decoder draws frames: what its size on the hub and the reference's modules show.
#[test]
fn every_key_of_the_diffusion_vae_of_2_5_is_accounted_for() {
    let folder = scratch();
    let file = folder.path().join("vae.safetensors");
    let name = "ltx-2.5-22b-video-vae";
    let sparse = Sparse::published(name, name, "2.5.0");
    sparse.write(&file, 0);
    let found = run(ltxd(&["inspect", "--json", &text(&file)])).with(DONE).json();
    let keys = |kind: &str| found[format!("keys_{kind}")].as_u64().unwrap() as usize;
    assert_eq!([sparse.keys(), keys("total"), keys("unknown"), keys("missing")], [396, 396, 0, 0]);
    // The mark on keyframes is left on disk.
    assert_eq!([keys("used"), keys("skipped")], [395, 1]);
    assert_eq!(found["kind"], "LTX-2.5 component");
    let renamed = sparse.rename("decoder.diff_blocks.7.attn.qkv.weight", "decoder.diff_blocks.7.attn.qkvs.weight");
    renamed.write(&file, 0);
    let told = run(ltxd(&["inspect", &text(&file)])).with(BAD_INPUT).said();
    assert!(told.contains("missing key vae.decoder.diff_blocks.7.attn.qkv.weight"), "{told}");
}

/// The latent upscaler ×2 of LTX-2.3.
#[test]
fn every_key_of_the_upscaler_is_accounted_for() {
    let folder = scratch();
    let file = folder.path().join("upscaler.safetensors");
    let name = "ltx-2.3-spatial-upscaler-x2";
    let sparse = Sparse::published(name, name, "2.3.0");
    sparse.write(&file, 0);
    let found = run(ltxd(&["inspect", "--json", &text(&file)])).with(DONE).json();
    let keys = |kind: &str| found[format!("keys_{kind}")].as_u64().unwrap() as usize;
    assert_eq!([sparse.keys(), keys("total"), keys("used"), keys("unknown"), keys("missing")], [72, 72, 72, 0, 0]);
    assert!(found["kind"].as_str().unwrap().ends_with("latent upscaler"), "{found}");
    let short = sparse.only(|key| key != "initial_norm.bias");
    short.write(&file, 0);
    let told = run(ltxd(&["inspect", &text(&file)])).with(BAD_INPUT).said();
    assert!(told.contains("missing key initial_norm.bias"), "{told}");
}

#[test]
fn the_table_for_people_gives_the_number_of_keys() {
    let folder = scratch();
    let file = folder.path().join("checkpoint.safetensors");
    let sparse = Sparse::ltx();
    sparse.write(&file, 0);
    let table = run(ltxd(&["inspect", &text(&file)])).with(DONE).out;
    assert!(table.replace(',', "").contains(&sparse.keys().to_string()), "{table}");
}

#[test_case(Sparse::ltx().rename(RENAMED, NEW_NAME), 0,
    &["missing key model.diffusion_model.transformer_blocks.7.attn1.to_q.weight ",
      "unknown key model.diffusion_model.transformer_blocks.7.attn1.to_queries.weight"]; "one key renamed")]
#[test_case(Sparse::ltx().reshape(RESHAPED, &[1024, 127, 3, 3, 3]), 0,
    &[RESHAPED, "[1024, 127, 3, 3, 3]", "[1024, 128, 3, 3, 3]"]; "one shape changed")]
#[test_case(Sparse::ltx(), 4096, &["truncated"]; "truncated")]
fn spoilt_files_are_refused_by_name(sparse: Sparse, missing: u64, says: &[&str]) {
    let folder = scratch();
    let file = folder.path().join("checkpoint.safetensors");
    sparse.write(&file, missing);
    let ended = run(ltxd(&["inspect", &text(&file)])).with(BAD_INPUT);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    for needle in ["checkpoint.safetensors"].iter().chain(says) {
        assert!(ended.err.contains(needle), "does not name {needle}: {}", ended.err);
    }
}
