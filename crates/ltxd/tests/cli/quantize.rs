//! `ltxd quantize`: nothing is left of an attempt that fails or is stopped, an older file stays until the new one is whole, and
//! memory stays far below the largest tensor's.
//!
//! Must not know the blocks of a type.

use crate::support::{
    command::{CANCELLED, DONE, FAILED, ltxd, run, under},
    files::{OLD, checkpoint, contents, paths_in, scratch, text},
    process::Running,
    sparse::Sparse,
};
use nix::sys::signal::Signal::SIGINT;
use std::{fs, path::Path};
use test_case::test_case;

const MIB: u64 = 1 << 20;
/// Resident memory, at most: the largest tensor has 1,470 MiB in bf16 and twice that in f32.
const MOST: u64 = 500 * MIB;

#[test]
fn a_full_disk_leaves_the_older_file() {
    let folder = scratch();
    let out = folder.path().join("full.gguf");
    fs::write(&out, OLD).unwrap();
    let small_files = ["bash", "-c", r#"trap '' XFSZ; ulimit -f 100; exec "$@""#, "bash"].map(str::to_owned);
    run(under(&small_files, &["quantize", &checkpoint(), &text(&out), "--type", "q8_0"])).with(FAILED);
    assert_eq!(contents(folder.path()).into_iter().collect::<Vec<_>>(), [("full.gguf".to_owned(), Some(OLD.to_vec()))]);
}

#[test]
fn a_whole_file_replaces_the_older_one() {
    let folder = scratch();
    let out = folder.path().join("new.gguf");
    fs::write(&out, OLD).unwrap();
    let report = run(ltxd(&["quantize", &checkpoint(), &text(&out), "--type", "q4_k", "--json"])).with(DONE).json();
    assert_eq!(paths_in(folder.path()), std::slice::from_ref(&out));
    assert_eq!(report["bytes_out"], fs::metadata(&out).unwrap().len());
    assert!(!report["tensors"].as_array().unwrap().is_empty());
    let inspected = run(ltxd(&["inspect", "--json", &text(&out)])).with(DONE).json();
    assert_eq!(inspected["keys_unknown"], 0);
}

fn bytes_in(folder: &Path) -> u64 {
    paths_in(folder).iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
}

/// The text projection's matrix is the largest of all, and the first here: more than `MOST` of it alone is written before Ctrl-C.
/// Gigabytes follow, that the signal is not too late.
fn text_projection() -> Sparse {
    let follow = ["text_embedding_projection.video_", "vae.", "vocoder."];
    Sparse::ltx().only(|key| follow.iter().any(|part| key.starts_with(part)))
}

/// More than `MOST` is read before Ctrl-C, and most of it let go of again.
#[test_case(Sparse::ltx(), 300 * MIB; "of the full size")]
#[test_case(text_projection(), 560 * MIB; "in the largest tensor")]
fn ctrl_c_leaves_nothing_and_memory_stays_small(file: Sparse, written: u64) {
    let folder = scratch();
    let sparse = folder.path().join("full-size.safetensors");
    file.write(&sparse, 0);
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let big = text(&out.join("big.gguf"));
    let running = Running::telling(ltxd(&["quantize", &text(&sparse), &big, "--type", "q8_0"]));
    running.process.wait_until("so much was written", |_| bytes_in(&out) > written);
    let peak = running.process.peak().expect("it runs");
    running.process.signal(SIGINT);
    let (finished, said) = running.finish();
    assert_eq!(finished.code, Some(CANCELLED), "{said:?}");
    assert_eq!(contents(&out).len(), 0, "left behind: {:?}", paths_in(&out));
    assert!(peak < MOST, "{} MiB", peak / MIB);
}
