//! Checkpoints by path: missing, of another kind, cut, and with one fault in keys, dtypes, parts or configuration.

use super::trial::{KEY, RENAMED, try_request};
use crate::support::{
    command::{BAD_INPUT, DONE, FAILED},
    files::{checkpoint, gemma, upscaler},
    request::{Request, good},
};
use rstest::rstest;

/// A request for the checkpoint in this file.
fn path(file: impl std::fmt::Display) -> Request {
    good().with("model", file).with("schedule", "distilled").with("text-encoder", gemma())
}

#[rstest]
#[case::is_allowed(path(checkpoint()), DONE, &[])]
#[case::without_schedule(path(checkpoint()).without("schedule"), BAD_INPUT, &["schedule", "dev", "distilled"])]
#[case::without_text_encoder(path(checkpoint()).without("text-encoder"), BAD_INPUT, &["text.encoder"])]
#[case::two_stages_without_upscaler(path(checkpoint()).with("stages", 2).with("width", 128).with("height", 128), BAD_INPUT,
    &["stages", "upscaler"])]
#[case::upscaler_is_a_checkpoint(path(checkpoint()).with("upscaler", checkpoint()), BAD_INPUT,
    &["configuration", "LatentUpsampler"])]
#[case::upscaler_is_missing(path(checkpoint()).with("upscaler", "/nonexistent/up.safetensors"), FAILED,
    &[r"/nonexistent/up\.safetensors"])]
#[case::missing(path("/nonexistent/ltx.safetensors"), FAILED, &[r"/nonexistent/ltx\.safetensors"])]
#[case::is_a_folder(path(gemma()), FAILED, &["tiny/gemma"])]
fn a_path(#[case] request: Request, #[case] code: i32, #[case] says: &[&str]) {
    try_request(&request, code, says);
}

#[rstest]
#[case::a_text_file("text.safetensors", &[r"text\.safetensors", "safetensors file"])]
#[case::empty("empty.safetensors", &[r"empty\.safetensors"])]
#[case::ends_in_its_header("header-only.safetensors", &[r"header-only\.safetensors"])]
#[case::truncated("short.safetensors", &[r"short\.safetensors", "truncated"])]
#[case::bytes_too_many("long.safetensors", &[r"long\.safetensors", "after its last"])]
#[case::a_key_renamed("renamed.safetensors", &[KEY, RENAMED, r"\[64, 64\]"])]
#[case::a_key_missing("dropped.safetensors", &[KEY, "missing"])]
#[case::another_fp8_than_e4m3("fp8.safetensors", &[KEY, "F8_E5M2", "F8_E4M3"])]
#[case::an_fp8_weight_without_scale("fp8-scale.safetensors", &[KEY, "weight_scale"])]
#[case::gguf_by_name_only("text.gguf", &[r"text\.gguf", "GGUF"])]
#[case::without_its_vae("part.safetensors", &["video VAE encoder, video VAE decoder", "components"])]
#[case::an_integer_weight("int.safetensors", &[KEY, "I16", "BF16"])]
#[case::without_configuration("no-config.safetensors", &[r"no-config\.safetensors", "config"])]
#[case::without_the_vae_section("no-vae.safetensors", &["configuration", "vae"])]
#[case::without_the_transformers_section("no-transformer.safetensors", &["configuration", "transformer"])]
fn spoilt(#[case] file: &str, #[case] says: &[&str]) {
    try_request(&path(format!("{{made}}/{file}")), BAD_INPUT, says);
}

#[test]
fn an_upscaler_is_no_checkpoint() {
    try_request(&path(upscaler()), BAD_INPUT, &["transformer"]);
}
