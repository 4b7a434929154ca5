//! What stands beside a checkpoint: LoRA files and text encoders.

use super::trial::try_request;
use crate::support::{
    command::{BAD_INPUT, DONE, FAILED},
    files::checkpoint,
    request::good,
};
use test_case::test_case;

const TINY: &str = r"ltx-2\.3-tiny-dev\.safetensors";

#[test_case("{made}/lora.safetensors=0.5", DONE, &[]; "is allowed")]
#[test_case("{made}/lora-bent.safetensors", BAD_INPUT,
    &[r"lora-bent\.safetensors", "lora_A", r"\[2, 65\]", r"\[rank, 64\]"]; "of another width")]
#[test_case("{made}/lora-lost.safetensors", BAD_INPUT, &[r"lora-lost\.safetensors", r"blocks\.99\.attn1\.to_q"];
    "of a deeper model")]
#[test_case(&checkpoint(), BAD_INPUT, &[TINY, "no LoRA"]; "is a checkpoint")]
#[test_case("{made}/gemma-config", BAD_INPUT, &["gemma-config: a folder; LoRA files are read as safetensors"]; "is a folder")]
#[test_case("/nonexistent/a.safetensors", FAILED, &[r"/nonexistent/a\.safetensors"]; "is missing")]
#[test_case("{made}/lora.safetensors=much", BAD_INPUT, &["--lora", "much"]; "strength is no number")]
#[test_case("{made}/lora.safetensors=0,0.5", DONE, &["warning: the LoRA .*lora.safetensors changes nothing: it counts in the second stage"];
    "of the second stage counts nowhere in a clip of one")]
#[test_case("/nonexistent/a.safetensors=0,1", DONE, &["changes nothing: it counts in the second stage"];
    "of the second stage is missing and not needed")]
#[test_case("/nonexistent/a.safetensors=0.5,1", BAD_INPUT, &[r"/nonexistent/a\.safetensors=0\.5,1", "no second stage"];
    "of both stages in a clip of one")]
#[test_case("{made}/lora.safetensors=0", DONE, &["changes nothing: its strength is 0"]; "strength is nought")]
#[test_case("{made}/lora.safetensors=1,2,3", BAD_INPUT, &["--lora", "2,3", "second stage"]; "has three strengths")]
#[test_case("{made}/lora.safetensors=0,1000", BAD_INPUT, &["--lora", "1000", r"nearest: 100\b"]; "second strength is 1000")]
#[test_case("{made}/lora.safetensors=1000", BAD_INPUT, &["--lora", "1000", r"nearest: 100\b"]; "strength is 1000")]
fn lora(flag: &str, code: i32, says: &[&str]) {
    try_request(&good().with("lora", flag), code, says);
}

#[test_case("/nonexistent/gemma", FAILED, &["/nonexistent/gemma"]; "does not exist")]
#[test_case(&checkpoint(), BAD_INPUT, &[TINY]; "is a checkpoint")]
#[test_case("{made}/gemma-no-config", FAILED, &[r"gemma-no-config/config\.json"]; "without config")]
#[test_case("{made}/gemma-config", BAD_INPUT, &[r"gemma-config/config\.json"]; "config is no json")]
#[test_case("{made}/gemma-other", BAD_INPUT, &["model_type", "llama"]; "config is a llamas")]
#[test_case("{made}/gemma-no-tokenizer", FAILED, &[r"gemma-no-tokenizer/tokenizer\.json"]; "without tokenizer")]
#[test_case("{made}/gemma-tokenizer", BAD_INPUT, &[r"tokenizer\.json"]; "tokenizer is none")]
#[test_case("{made}/gemma-shard", FAILED, &["model-00002-of-00002"]; "lacks a shard of its index")]
#[test_case("{made}/gemma-no-weights", BAD_INPUT, &["gemma-no-weights"]; "without weights")]
fn text_encoder(at: &str, code: i32, says: &[&str]) {
    let request = good().with("model", checkpoint()).with("schedule", "distilled");
    try_request(&request.with("text-encoder", at), code, says);
}
