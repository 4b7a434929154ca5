//! Bad input to `inspect`, `quantize`, `selftest` and `serve`, and command lines that are none.

use super::trial::{KEY, NO_GPU, RENAMED, try_words};
use crate::support::{
    command::{BAD_INPUT, FAILED},
    files::{checkpoint, models, repository, text},
};
use rstest::rstest;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().copied().map(str::to_owned).collect()
}

#[rstest]
#[case::not_there("/nonexistent.safetensors", FAILED, &[r"/nonexistent\.safetensors"])]
#[case::a_text_file("{made}/text.safetensors", BAD_INPUT, &[r"text\.safetensors"])]
#[case::truncated("{made}/short.safetensors", BAD_INPUT, &[r"short\.safetensors", "truncated"])]
#[case::a_key_renamed("{made}/renamed.safetensors", BAD_INPUT, &[KEY, RENAMED])]
#[case::another_fp8_than_e4m3("{made}/fp8.safetensors", BAD_INPUT, &[KEY, "F8_E5M2"])]
#[case::no_known_kind("{made}/no-transformer.safetensors", BAD_INPUT, &[r"no-transformer\.safetensors"])]
#[case::gemma_lacks_a_shard("{made}/gemma-shard", FAILED, &["model-00002-of-00002"])]
fn inspect(#[case] file: &str, #[case] code: i32, #[case] says: &[&str]) {
    try_words(&words(&["inspect", file]), code, says);
}

#[rstest]
#[case::a_text_file("{made}/text.safetensors", "q8_0", BAD_INPUT, &[r"text\.safetensors"])]
#[case::a_key_missing("{made}/dropped.safetensors", "q8_0", BAD_INPUT, &[KEY])]
#[case::no_such_type(&checkpoint(), "q3_k", BAD_INPUT, &["q3_k", "q4_k"])]
fn quantize(#[case] file: &str, #[case] kind: &str, #[case] code: i32, #[case] says: &[&str]) {
    try_words(&words(&["quantize", "--type", kind, file, "{out}/x.gguf"]), code, says);
}

#[test]
fn quantize_into_a_folder_that_does_not_exist() {
    let words = words(&["quantize", "--type", "q8_0", &checkpoint(), "{out}/nowhere/x.gguf"]);
    try_words(&words, FAILED, &["nowhere"]);
}

#[rstest]
#[case::no_case_there("/nonexistent", FAILED, &["/nonexistent"])]
#[case::no_json("{made}/case-text", BAD_INPUT, &[r"case-text/case\.json"])]
#[case::another_format("{made}/case-format", BAD_INPUT, &["ltx-golden/9", "ltx-golden/1"])]
#[case::an_image_outside_the_clip("{made}/case-index", BAD_INPUT, &["frame_index", r"\b17\b", r"\b16\b"])]
fn selftest(#[case] case: &str, #[case] code: i32, #[case] says: &[&str]) {
    try_words(&words(&["selftest", case]), code, says);
}

#[test]
fn selftest_on_a_gpu_that_is_not_there() {
    let case = text(&repository("crates/ltx-testkit/data/i2v_distilled"));
    try_words(&words(&["selftest", &case, "--device", "cuda:0"]), BAD_INPUT, &[NO_GPU]);
}

#[rstest]
#[case::that_is_not_there("device=cuda:0", &[NO_GPU])]
#[case::nobody_knows("device=gpu", &["device", "gpu", "cuda:0"])]
fn serve_on_a_gpu(#[case] device: &str, #[case] says: &[&str]) {
    let models = models();
    let node = ["serve", "--data-dir", "{out}/data", "--models-dir", &models, "--listen", "127.0.0.1:0"];
    let settings = ["--set", "models=ltx-2.3-tiny", "--set", device];
    try_words(&words(&[&node[..], &settings].concat()), BAD_INPUT, says);
}

#[rstest]
#[case::no_command(&[], &["Usage"])]
#[case::a_flag_nobody_knows(&["generate", "--audio=on"], &["--audio"])]
fn command_lines(#[case] given: &[&str], #[case] says: &[&str]) {
    try_words(&words(given), BAD_INPUT, says);
}
