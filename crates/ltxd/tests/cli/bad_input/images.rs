//! Images that are none, too large, cut, of another kind, or not there.

use super::trial::try_request;
use crate::support::{
    command::{BAD_INPUT, REFUSED},
    files::{end_picture, pictures},
    request::{Request, good},
};
use rstest::rstest;

#[rstest]
#[case::a_text_file(good().with("image", "{made}/text.png"), &[r"text\.png"])]
#[case::empty(good().with("image", "{made}/empty.png"), &[r"empty\.png", "empty"])]
#[case::of_100_megapixels(good().with("image", "{made}/huge.png"), &[r"huge\.png", "10000x10000", "64000000"])]
#[case::without_its_data(good().with("image", "{made}/hollow.png"), &[r"hollow\.png"])]
#[case::truncated(good().with("image", "{made}/cut.jpg"), &[r"cut\.jpg", "truncated"])]
#[case::a_gif(good().with("image", "{made}/picture.gif"), &[r"picture\.gif", "GIF", "PNG, JPEG and WebP"])]
#[case::a_folder(good().with("image", pictures()), &["demo-pictures"])]
#[case::missing(good().with("image", "/nonexistent/lake.jpg"), &[r"/nonexistent/lake\.jpg"])]
#[case::end_missing(good().with("end-image", "/nonexistent/lake.jpg"), &[r"/nonexistent/lake\.jpg"])]
#[case::end_a_text_file(good().with("end-image", "{made}/text.png"), &[r"text\.png"])]
fn bad(#[case] request: Request, #[case] says: &[&str]) {
    try_request(&request, BAD_INPUT, says);
}

#[rstest]
#[case::none(good().without("image"))]
#[case::an_end_image_only(good().without("image").with("end-image", end_picture()))]
#[case::an_end_image_only_in_1_frame(good().without("image").with("end-image", end_picture()).with("frames", 1))]
fn not_enough_of_them(#[case] request: Request) {
    try_request(&request, REFUSED, &["NOT_AN_UNLIMITED_METHOD", "image"]);
}
