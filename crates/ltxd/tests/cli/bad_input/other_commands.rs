//! Bad input to `inspect`, `quantize`, `selftest` and `serve`, and command lines that are none.

use super::trial::{KEY, NO_GPU, RENAMED, try_words};
use crate::support::{
    command::{BAD_INPUT, FAILED},
    files::{checkpoint, models, repository, text},
};
use test_case::test_case;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().copied().map(str::to_owned).collect()
}

#[test_case("/nonexistent.safetensors", FAILED, &[r"/nonexistent\.safetensors"]; "not there")]
#[test_case("{made}/text.safetensors", BAD_INPUT, &[r"text\.safetensors"]; "a text file")]
#[test_case("{made}/short.safetensors", BAD_INPUT, &[r"short\.safetensors", "truncated"]; "truncated")]
#[test_case("{made}/renamed.safetensors", BAD_INPUT, &[KEY, RENAMED]; "a key renamed")]
#[test_case("{made}/fp8.safetensors", BAD_INPUT, &[KEY, "F8_E8M0"]; "a type of scales")]
#[test_case("{made}/no-transformer.safetensors", BAD_INPUT, &[r"no-transformer\.safetensors"]; "no known kind")]
#[test_case("{made}/gemma-shard", FAILED, &["model-00002-of-00002"]; "gemma lacks a shard")]
fn inspect(file: &str, code: i32, says: &[&str]) {
    try_words(&words(&["inspect", file]), code, says);
}

#[test_case("{made}/text.safetensors", "q8_0", BAD_INPUT, &[r"text\.safetensors"]; "a text file")]
#[test_case("{made}/dropped.safetensors", "q8_0", BAD_INPUT, &[KEY]; "a key missing")]
#[test_case(&checkpoint(), "q3_k", BAD_INPUT, &["q3_k", "q4_k"]; "no such type")]
fn quantize(file: &str, kind: &str, code: i32, says: &[&str]) {
    try_words(&words(&["quantize", "--type", kind, file, "{out}/x.gguf"]), code, says);
}

#[test]
fn quantize_into_a_folder_that_does_not_exist() {
    let words = words(&["quantize", "--type", "q8_0", &checkpoint(), "{out}/nowhere/x.gguf"]);
    try_words(&words, BAD_INPUT, &["OUT: .*nowhere, which does not exist"]);
}

#[test_case("/nonexistent", FAILED, &["/nonexistent"]; "no case there")]
#[test_case("{made}/case-text", BAD_INPUT, &[r"case-text/case\.json"]; "no json")]
#[test_case("{made}/case-format", BAD_INPUT, &["ltx-golden/9", "ltx-golden/1"]; "another format")]
#[test_case("{made}/case-index", BAD_INPUT, &["frame_index", r"\b17\b", r"\b16\b"]; "an image outside the clip")]
fn selftest(case: &str, code: i32, says: &[&str]) {
    try_words(&words(&["selftest", case]), code, says);
}

#[test]
fn selftest_on_a_gpu_that_is_not_there() {
    let case = text(&repository("crates/ltx-testkit/data/i2v_distilled"));
    try_words(&words(&["selftest", &case, "--device", "cuda:0"]), BAD_INPUT, &[NO_GPU]);
}

#[test_case("device=cuda:0", &[NO_GPU]; "that is not there")]
#[test_case("device=gpu", &["device", "gpu", "cuda:0"]; "nobody knows")]
fn serve_on_a_gpu(device: &str, says: &[&str]) {
    let models = models();
    let node = ["serve", "--data-dir", "{out}/data", "--models-dir", &models, "--listen", "127.0.0.1:0"];
    let settings = ["--set", "models=ltx-2.3-tiny", "--set", device];
    try_words(&words(&[&node[..], &settings].concat()), BAD_INPUT, says);
}

#[test_case(&[], &["Usage"]; "no command")]
#[test_case(&["generate", "--audio=on"], &["--audio"]; "a flag nobody knows")]
fn command_lines(given: &[&str], says: &[&str]) {
    try_words(&words(given), BAD_INPUT, says);
}
