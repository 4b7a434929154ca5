//! Places where no output can go.

use super::trial::try_request;
use crate::support::{
    command::{BAD_INPUT, FAILED},
    files::{pictures, start_picture},
    request::{Request, good},
};
use rstest::rstest;

#[rstest]
#[case::its_folder_does_not_exist(good().with("out", "{out}/nowhere/clip.mp4"), BAD_INPUT, &["nowhere"])]
#[case::is_a_folder(good().with("out", "{out}"), BAD_INPUT, &["folder"])]
#[case::cannot_be_created(good().with("out", "/proc/clip.mp4"), FAILED, &[r"/proc/clip\.mp4"])]
#[case::frames_into_a_folder_with_files(good().with("frames-dir", pictures()), BAD_INPUT, &["demo-pictures", "not empty"])]
#[case::frames_into_a_file(good().with("frames-dir", start_picture()), BAD_INPUT, &[r"start\.jpg", "not a folder"])]
#[case::frames_into_nowhere(good().with("frames-dir", "{out}/nowhere/frames"), BAD_INPUT, &["nowhere"])]
fn output(#[case] request: Request, #[case] code: i32, #[case] says: &[&str]) {
    try_request(&request, code, says);
}
