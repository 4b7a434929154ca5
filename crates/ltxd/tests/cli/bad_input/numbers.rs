//! Sizes, counts, numbers, devices and prompts: the message has the field, and the nearest legal values where there are some.

use super::trial::{NO_GPU, try_over, try_request};
use crate::support::{
    command::{BAD_INPUT, DONE, ltxd, run},
    files::{end_picture, scratch},
    request::{Request, good},
};
use regex::Regex;
use rstest::rstest;

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
#[rstest]
#[case::where_nothing_is(None)]
#[case::over_an_old_clip(Some("clip.mp4"))]
fn a_good_request_is_done(#[case] before: Option<&str>) {
    try_over(before, &good().words(), DONE, &[]);
}

#[test]
fn bad_input_leaves_an_old_clip_alone() {
    try_over(Some("clip.mp4"), &good().with("frames", 20).words(), BAD_INPUT, &["frames"]);
}

#[rstest]
#[case::frames_not_8k_plus_1(good().with("frames", 20), &["frames", r"\b17\b", r"\b25\b"])]
#[case::frames_0(good().with("frames", 0), &["frames", r"\b1\b"])]
#[case::frames_10001(good().with("frames", 10_001), &["frames", r"\b8001\b"])]
#[case::frames_not_a_number(good().with("frames", "many"), &["frames"])]
#[case::width_not_of_32(good().with("width", 100), &["width", r"\b96\b", r"\b128\b"])]
#[case::height_not_of_32(good().with("height", 100), &["height", r"\b96\b", r"\b128\b"])]
#[case::width_0(good().with("width", 0), &["width", r"\b32\b"])]
#[case::two_stages_width_not_of_64(two_stages().with("width", 96), &["width", r"\b64\b", r"\b128\b"])]
#[case::two_stages_height_not_of_64(two_stages().with("height", 96), &["height", r"\b64\b", r"\b128\b"])]
#[case::three_stages(good().with("stages", 3), &["stages"])]
#[case::fps_0(good().with("fps", 0), &["fps"])]
#[case::fps_not_a_number(good().with("fps", "NaN"), &["fps"])]
#[case::steps_0(guided().with("steps", 0), &["steps", r"\b1\b"])]
#[case::both_images_in_1_frame(with_end().with("frames", 1), &["frames", r"\b9\b"])]
#[case::both_images_in_0_frames(with_end().with("frames", 0), &["frames", r"\b9\b"])]
#[case::both_images_in_8_frames(with_end().with("frames", 8), &["frames", r"\b9\b"])]
fn shapes(#[case] request: Request, #[case] says: &[&str]) {
    try_request(&request, BAD_INPUT, says);
}

#[rstest]
#[case::image_crf_52(good().with("image-crf", 52), &["image_crf", r"\b51\b"])]
#[case::guidance_not_a_number(guided().with("guidance-scale", "NaN"), &["guidance.scale", "NaN"])]
#[case::guidance_not_a_number_nor_used(good().with("guidance-scale", "NaN"), &["guidance.scale", "NaN"])]
#[case::stg_scale_infinite(guided().with("stg-scale", "inf"), &["stg.scale", "inf"])]
#[case::rescale_above_1(guided().with("guidance-rescale", 1.5), &["guidance.rescale", r"1\.5"])]
#[case::stg_block_99_of_3(guided().with("stg-blocks", 99), &["stg.blocks", r"\b99\b", r"\b2\b"])]
#[case::strength_below_0(good().with("strength", -0.1), &["strength", r"-0\.1"])]
#[case::strength_above_1(good().with("strength", 1.5), &["strength", r"1\.5"])]
#[case::strength_not_a_number(good().with("strength", "NaN"), &["strength", "NaN"])]
#[case::end_strength_above_1(with_end().with("end-strength", 1.5), &["end.strength", r"1\.5"])]
fn values(#[case] request: Request, #[case] says: &[&str]) {
    try_request(&request, BAD_INPUT, says);
}

#[rstest]
#[case::a_gpu_that_is_not_there(good().with("device", "cuda:0"), BAD_INPUT, &[NO_GPU])]
#[case::the_hundredth_gpu(good().with("device", "cuda:99"), BAD_INPUT, &[NO_GPU])]
#[case::one_nobody_knows(good().with("device", "gpu"), BAD_INPUT, &["device", "gpu", "cuda:0"])]
#[case::eight_bits_on_a_gpu(good().with("device", "cuda:0").with("dtype", "int8"), BAD_INPUT, &["int8", "CPU", "bf16"])]
#[case::any(good().with("device", "auto"), DONE, &[])]
fn devices(#[case] request: Request, #[case] code: i32, #[case] says: &[&str]) {
    try_request(&request, code, says);
}

#[rstest]
#[case::empty_is_allowed(good().with("prompt", ""), DONE, &[])]
#[case::none(good().without("prompt"), BAD_INPUT, &["prompt"])]
#[case::over_1024_tokens(good().with("prompt", "heron ".repeat(1500)), BAD_INPUT, &["prompt", r"1,?024"])]
#[case::negative_over_1024_tokens(guided().with("negative-prompt", "heron ".repeat(1500)), BAD_INPUT, &["prompt", r"1,?024"])]
fn prompts(#[case] request: Request, #[case] code: i32, #[case] says: &[&str]) {
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
