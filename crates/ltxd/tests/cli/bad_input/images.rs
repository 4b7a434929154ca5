//! Images that are none, too large, cut, of another kind, or not there.

use super::trial::try_request;
use crate::support::{
    command::{BAD_INPUT, REFUSED},
    files::{end_picture, pictures},
    request::{Request, good},
};
use test_case::test_case;

#[test_case(good().with("image", "{made}/text.png"), &[r"text\.png"]; "a text file")]
#[test_case(good().with("image", "{made}/empty.png"), &[r"empty\.png", "empty"]; "empty")]
#[test_case(good().with("image", "{made}/huge.png"), &[r"huge\.png", "10000x10000", "64000000"]; "of 100 megapixels")]
#[test_case(good().with("image", "{made}/hollow.png"), &[r"hollow\.png"]; "without its data")]
#[test_case(good().with("image", "{made}/cut.jpg"), &[r"cut\.jpg", "truncated"]; "truncated")]
#[test_case(good().with("image", "{made}/picture.gif"), &[r"picture\.gif", "GIF", "PNG, JPEG and WebP"]; "a gif")]
#[test_case(good().with("image", pictures()), &["demo-pictures"]; "a folder")]
#[test_case(good().with("image", "/nonexistent/lake.jpg"), &[r"/nonexistent/lake\.jpg"]; "missing")]
#[test_case(good().with("end-image", "/nonexistent/lake.jpg"), &[r"/nonexistent/lake\.jpg"]; "end missing")]
#[test_case(good().with("end-image", "{made}/text.png"), &[r"text\.png"]; "end a text file")]
fn bad(request: Request, says: &[&str]) {
    try_request(&request, BAD_INPUT, says);
}

/// All that is wrong is told at once.
#[test_case(good().with("image", "{made}/text.png").with("width", 130), &["image: .*text\\.png is not an image", "width: 130"]; "and a width")]
#[test_case(good().with("image", "{made}/text.png").with("end-image", "{made}/picture.gif").with("frames", 18),
    &["frames: 18", "ltxd: image: .*text", "\nltxd: end_image: .*GIF"]; "both, and a length")]
#[test_case(good().with("image", "{made}/text.png").with("end-image", "{made}/cut.jpg").with("model", "/nonexistent.safetensors").with("schedule", "distilled").with("text-encoder", "/nonexistent"),
    &["\nltxd: end_image: .*truncated", "ltxd: image: "]; "of a model that is not here")]
fn told_with_what_else_is_wrong(request: Request, says: &[&str]) {
    try_request(&request, BAD_INPUT, says);
}

#[test_case(good().without("image"); "none")]
#[test_case(good().without("image").with("end-image", end_picture()); "an end image only")]
#[test_case(good().without("image").with("end-image", end_picture()).with("frames", 1); "an end image only in 1 frame")]
fn not_enough_of_them(request: Request) {
    try_request(&request, REFUSED, &["NOT_AN_UNLIMITED_METHOD", "image"]);
}
