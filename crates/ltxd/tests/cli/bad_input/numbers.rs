//! Sizes, counts, numbers, devices and prompts: the message has the field, and the nearest legal values where there are some.

use super::trial::{NO_GPU, try_over, try_request};
use crate::support::{
    command::{BAD_INPUT, DONE, ltxd, run},
    files::{end_picture, scratch},
    request::{Request, good},
};
use regex::Regex;
use test_case::test_case;

fn two_stages() -> Request {
    good().with("stages", 2).with("width", 128).with("height", 128)
}

fn with_end() -> Request {
    good().with("end-image", end_picture())
}

fn guided() -> Request {
    good().with("schedule", "guided").with("steps", 2)
}

/// The request that the others spoil must itself be good, or they prove nothing.
#[test_case(None; "where nothing is")]
#[test_case(Some("clip.mp4"); "over an old clip")]
fn a_good_request_is_done(before: Option<&str>) {
    try_over(before, &good().words(), DONE, &[]);
}

#[test]
fn bad_input_leaves_an_old_clip_alone() {
    try_over(Some("clip.mp4"), &good().with("frames", 20).words(), BAD_INPUT, &["frames"]);
}

#[test_case(good().with("frames", 20), &["frames", r"\b17\b", r"\b25\b"]; "frames not 8k plus 1")]
#[test_case(good().with("frames", 0), &["frames", r"\b1\b"]; "frames 0")]
#[test_case(good().with("frames", 10_001), &["frames", r"\b481\b"]; "frames 10001")]
#[test_case(good().with("frames", "many"), &["frames"]; "frames not a number")]
#[test_case(good().with("width", 100), &["width", r"\b96\b", r"\b128\b"]; "width not of 32")]
#[test_case(good().with("height", 100), &["height", r"\b96\b", r"\b128\b"]; "height not of 32")]
#[test_case(good().with("width", 0), &["width", r"\b32\b"]; "width 0")]
#[test_case(two_stages().with("width", 96), &["width", r"\b64\b", r"\b128\b"]; "two stages width not of 64")]
#[test_case(two_stages().with("height", 96), &["height", r"\b64\b", r"\b128\b"]; "two stages height not of 64")]
#[test_case(good().with("stages", 3), &["stages"]; "three stages")]
#[test_case(good().with("fps", 0), &["fps"]; "fps 0")]
#[test_case(good().with("fps", "NaN"), &["fps"]; "fps not a number")]
#[test_case(guided().with("steps", 0), &["steps", r"\b1\b"]; "steps 0")]
#[test_case(with_end().with("frames", 1), &["frames", r"\b9\b"]; "both images in 1 frame")]
#[test_case(with_end().with("frames", 0), &["frames", r"\b9\b"]; "both images in 0 frames")]
#[test_case(with_end().with("frames", 8), &["frames", r"\b9\b"]; "both images in 8 frames")]
fn shapes(request: Request, says: &[&str]) {
    try_request(&request, BAD_INPUT, says);
}

#[test_case(good().with("image-crf", 52), &["image_crf", r"\b51\b"]; "image crf 52")]
#[test_case(guided().with("guidance-scale", "NaN"), &["guidance.scale", "NaN"]; "guidance not a number")]
#[test_case(good().with("guidance-scale", "NaN"), &["guidance.scale", "NaN"]; "guidance not a number nor used")]
#[test_case(guided().with("stg-scale", "inf"), &["stg.scale", "inf"]; "stg scale infinite")]
#[test_case(guided().with("guidance-rescale", 1.5), &["guidance.rescale", r"1\.5"]; "rescale above 1")]
#[test_case(guided().with("stg-blocks", 99), &["stg.blocks", r"\b99\b", r"\b2\b"]; "stg block 99 of 3")]
#[test_case(good().with("strength", -0.1), &["strength", r"-0\.1"]; "strength below 0")]
#[test_case(good().with("strength", 1.5), &["strength", r"1\.5"]; "strength above 1")]
#[test_case(good().with("strength", "NaN"), &["strength", "NaN"]; "strength not a number")]
#[test_case(with_end().with("end-strength", 1.5), &["end.strength", r"1\.5"]; "end strength above 1")]
fn values(request: Request, says: &[&str]) {
    try_request(&request, BAD_INPUT, says);
}

#[test_case(good().with("device", "cuda:0"), BAD_INPUT, &[NO_GPU]; "a gpu that is not there")]
#[test_case(good().with("device", "cuda:99"), BAD_INPUT, &[NO_GPU]; "the hundredth gpu")]
#[test_case(good().with("device", "gpu"), BAD_INPUT, &["device", "gpu", "cuda:0"]; "one nobody knows")]
#[test_case(good().with("device", "cuda:0").with("dtype", "int8"), BAD_INPUT, &["int8", "CPU", "bf16"]; "eight bits on a gpu")]
#[test_case(good().with("device", "auto"), DONE, &[]; "any")]
fn devices(request: Request, code: i32, says: &[&str]) {
    try_request(&request, code, says);
}

#[test_case(good().with("prompt", ""), DONE, &[]; "empty is allowed")]
#[test_case(good().without("prompt"), BAD_INPUT, &["prompt"]; "none")]
#[test_case(good().with("prompt", "heron ".repeat(1500)), BAD_INPUT, &["prompt", r"1,?024"]; "over 1024 tokens")]
#[test_case(guided().with("negative-prompt", "heron ".repeat(1500)), BAD_INPUT, &[r"negative_prompt: \d+ tokens", r"1,?024"];
    "negative over 1024 tokens")]
fn prompts(request: Request, code: i32, says: &[&str]) {
    try_request(&request, code, says);
}

/// Beside the limit, the message says how many tokens the prompt has.
#[test]
fn a_long_prompts_tokens_are_counted() {
    let folder = scratch();
    let out = folder.path().join("clip.mp4");
    let request = good().with("prompt", "heron ".repeat(1500)).with("out", out.display());
    let said = run(ltxd(&request.words())).with(BAD_INPUT).said();
    let numbers = Regex::new(r"\b\d,?\d{3}\b").unwrap();
    assert!(numbers.find_iter(&said).any(|number| !["1,024", "1024"].contains(&number.as_str())), "{said}");
}
