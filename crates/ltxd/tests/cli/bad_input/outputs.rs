//! Places where no output can go.

use super::trial::try_request;
use crate::support::{
    command::{BAD_INPUT, FAILED},
    files::{pictures, start_picture},
    request::{Request, good},
};
use test_case::test_case;

#[test_case(good().with("out", "{out}/nowhere/clip.mp4"), BAD_INPUT, &["nowhere"]; "its folder does not exist")]
#[test_case(good().with("out", "{out}"), BAD_INPUT, &["folder"]; "is a folder")]
#[test_case(good().with("out", "/proc/clip.mp4"), FAILED, &[r"/proc/clip\.mp4"]; "cannot be created")]
#[test_case(good().with("frames-dir", pictures()), BAD_INPUT, &["demo-pictures", "not empty"];
    "frames into a folder with files")]
#[test_case(good().with("frames-dir", start_picture()), BAD_INPUT, &[r"start\.jpg", "not a folder"]; "frames into a file")]
#[test_case(good().with("frames-dir", "{out}/nowhere/frames"), BAD_INPUT, &["nowhere"]; "frames into nowhere")]
fn output(request: Request, code: i32, says: &[&str]) {
    try_request(&request, code, says);
}
