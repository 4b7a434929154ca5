//! Checkpoints by path: missing, of another kind, cut, and with one fault in keys, dtypes, parts or configuration.

use super::trial::{KEY, RENAMED, try_request};
use crate::support::{
    command::{BAD_INPUT, DONE, FAILED},
    files::{checkpoint, gemma, upscaler},
    request::{Request, good},
};
use test_case::test_case;

/// A request for the checkpoint in this file.
fn path(file: impl std::fmt::Display) -> Request {
    good().with("model", file).with("schedule", "distilled").with("text-encoder", gemma())
}

/// A request for the tiny one in two stages.
fn two_stages() -> Request {
    path(checkpoint()).with("stages", 2).with("width", 128).with("height", 128)
}

#[test_case(path(checkpoint()), DONE, &[]; "is allowed")]
#[test_case(path(checkpoint()).without("schedule"), BAD_INPUT, &["schedule", "dev", "distilled"]; "without schedule")]
#[test_case(path(checkpoint()).without("text-encoder"), BAD_INPUT, &["text.encoder"]; "without text encoder")]
#[test_case(two_stages(), BAD_INPUT,
    &["stages", "upscaler"]; "two stages without upscaler")]
#[test_case(two_stages().with("upscaler", checkpoint()), BAD_INPUT,
    &["configuration", "LatentUpsampler"]; "upscaler is a checkpoint")]
#[test_case(two_stages().with("upscaler", "/nonexistent/up.safetensors"), FAILED,
    &[r"/nonexistent/up\.safetensors"]; "upscaler is missing")]
#[test_case(path("/nonexistent/ltx.safetensors"), FAILED, &[r"/nonexistent/ltx\.safetensors"]; "missing")]
#[test_case(path(gemma()), BAD_INPUT, &["tiny/gemma", "Gemma", "--text-encoder"]; "is a text encoders folder")]
fn a_path(request: Request, code: i32, says: &[&str]) {
    try_request(&request, code, says);
}

#[test_case("text.safetensors", &[r"text\.safetensors", "safetensors file"]; "a text file")]
#[test_case("empty.safetensors", &[r"empty\.safetensors"]; "empty")]
#[test_case("header-only.safetensors", &[r"header-only\.safetensors"]; "ends in its header")]
#[test_case("short.safetensors", &[r"short\.safetensors", "truncated"]; "truncated")]
#[test_case("long.safetensors", &[r"long\.safetensors", "after its last"]; "bytes too many")]
#[test_case("renamed.safetensors", &[KEY, RENAMED, r"\[64, 64\]"]; "a key renamed")]
#[test_case("dropped.safetensors", &[KEY, "missing"]; "a key missing")]
#[test_case("fp8.safetensors", &[KEY, "F8_E8M0", "BF16"]; "a type of scales")]
#[test_case("fp8-scale.safetensors", &[KEY, "weight_scale"]; "an fp8 weight without scale")]
#[test_case("text.gguf", &[r"text\.gguf", "GGUF"]; "gguf by name only")]
#[test_case("part.safetensors", &["video VAE encoder, video VAE decoder", "components"]; "without its vae")]
#[test_case("int.safetensors", &[KEY, "I16", "BF16"]; "an integer weight")]
#[test_case("no-config.safetensors", &[r"no-config\.safetensors", "config"]; "without configuration")]
#[test_case("no-vae.safetensors", &["configuration", "vae"]; "without the vae section")]
#[test_case("no-transformer.safetensors", &["configuration", "transformer"]; "without the transformers section")]
fn spoilt(file: &str, says: &[&str]) {
    try_request(&path(format!("{{made}}/{file}")), BAD_INPUT, says);
}

#[test]
fn an_upscaler_is_no_checkpoint() {
    try_request(&path(upscaler()), BAD_INPUT, &["latent upscaler", "--upscaler"]);
}
