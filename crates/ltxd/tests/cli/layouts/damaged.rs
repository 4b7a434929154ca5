//! Text encoders in one file with bytes of their headers changed: each is opened, or refused by a typed error; nothing panics.
//!
//! Must not know how they are read. In this process, as the files are many.

use crate::support::{
    files::{checkpoint, gemma, scratch},
    published::{llama_gguf, one_file, save},
};
use ltx_pipeline::{Engine, EngineOptions};
use ltx_testkit::fuzz::{cases_of, report};
use ltx_types::ModelFiles;
use std::{fs, ops::Range, path::Path, time::Instant};

/// Files of each form when nothing else is said.
const CASES: u32 = 1500;
const SEED: u64 = 0x1234_5678_9abc_def1;

/// A number below `most`, the next of a row that is the same in every run.
fn below(state: &mut u64, most: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as usize % most
}

/// Opens the tiny model with each of many damaged text encoders: files called `name` in `folder`, bytes of `good` changed in
/// `places`.
fn try_damaged((folder, name): (&Path, &str), good: &[u8], places: Range<usize>) {
    let (mut opened, mut refused, mut state, began) = (0, 0, SEED, Instant::now());
    let cases = cases_of(CASES);
    for _ in 0..cases {
        let mut bytes = good.to_vec();
        for _ in 0..1 + below(&mut state, 3) {
            let at = places.start + below(&mut state, places.len());
            bytes[at] = match below(&mut state, 3) {
                0 => 0,
                1 => 255,
                _ => bytes[at] ^ (1 << below(&mut state, 8)),
            };
        }
        let (checkpoint, text_encoder) = (checkpoint().into(), save(folder, name, &bytes).into());
        let files = ModelFiles { checkpoint, components: vec![], text_encoder, upscaler: None, loras: vec![] };
        match Engine::open(&files, EngineOptions::default()) {
            Ok(_) => opened += 1,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    report(&format!("text encoders: {name}"), [opened, refused], began, SEED);
    assert!(opened > 0 && refused > u64::from(cases) / 20, "{opened} opened, {refused} refused");
}

#[test]
fn fuzz_a_gguf_with_its_tokenizer() {
    let folder = scratch();
    // Metadata, and descriptions of tensors.
    try_damaged((folder.path(), "gemma.gguf"), &llama_gguf(Path::new(&gemma())), 4..24_000);
}

#[test]
fn fuzz_a_packed_tokenizer() {
    let folder = scratch();
    fs::copy(Path::new(&gemma()).join("config.json"), folder.path().join("config.json")).unwrap();
    let good = one_file();
    let first = good.windows(5).position(|bytes| bytes == b"<pad>").expect("the first piece");
    let last = good.windows(6).rposition(|bytes| bytes == b"<0xFF>").expect("the last byte");
    try_damaged((folder.path(), "gemma.safetensors"), &good, first - 4..last);
}
