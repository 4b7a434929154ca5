//! What stands beside a checkpoint: LoRA files and text encoders.

use super::trial::try_request;
use crate::support::{
    command::{BAD_INPUT, DONE, FAILED},
    files::checkpoint,
    request::good,
};
use rstest::rstest;

const TINY: &str = r"ltx-2\.3-tiny-dev\.safetensors";

#[rstest]
#[case::is_allowed("{made}/lora.safetensors=0.5", DONE, &[])]
#[case::of_another_width("{made}/lora-bent.safetensors", BAD_INPUT,
    &[r"lora-bent\.safetensors", "lora_A", r"\[2, 65\]", r"\[rank, 64\]"])]
#[case::of_a_deeper_model("{made}/lora-lost.safetensors", BAD_INPUT, &[r"lora-lost\.safetensors", r"blocks\.99\.attn1\.to_q"])]
#[case::is_a_checkpoint(&checkpoint(), BAD_INPUT, &[TINY, "no LoRA"])]
#[case::is_missing("/nonexistent/a.safetensors", FAILED, &[r"/nonexistent/a\.safetensors"])]
#[case::strength_is_no_number("{made}/lora.safetensors=much", BAD_INPUT, &["--lora", "much"])]
#[case::strength_is_1000("{made}/lora.safetensors=1000", BAD_INPUT, &["--lora", "1000", r"nearest: 100\b"])]
fn lora(#[case] flag: &str, #[case] code: i32, #[case] says: &[&str]) {
    try_request(&good().with("lora", flag), code, says);
}

#[rstest]
#[case::does_not_exist("/nonexistent/gemma", FAILED, &["/nonexistent/gemma"])]
#[case::is_a_checkpoint(&checkpoint(), BAD_INPUT, &[TINY])]
#[case::without_config("{made}/gemma-no-config", FAILED, &[r"gemma-no-config/config\.json"])]
#[case::config_is_no_json("{made}/gemma-config", BAD_INPUT, &[r"gemma-config/config\.json"])]
#[case::config_is_a_llamas("{made}/gemma-other", BAD_INPUT, &["model_type", "llama"])]
#[case::without_tokenizer("{made}/gemma-no-tokenizer", FAILED, &[r"gemma-no-tokenizer/tokenizer\.json"])]
#[case::tokenizer_is_none("{made}/gemma-tokenizer", BAD_INPUT, &[r"tokenizer\.json"])]
#[case::lacks_a_shard_of_its_index("{made}/gemma-shard", FAILED, &["model-00002-of-00002"])]
#[case::without_weights("{made}/gemma-no-weights", BAD_INPUT, &["gemma-no-weights"])]
fn text_encoder(#[case] at: &str, #[case] code: i32, #[case] says: &[&str]) {
    let request = good().with("model", checkpoint()).with("schedule", "distilled");
    try_request(&request.with("text-encoder", at), code, says);
}
