//! Places where no output can go.

use super::trial::{try_request, try_words};
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
#[test_case(good().with("out", "{out}/clip.webm"), BAD_INPUT, &[r"out: .*clip\.webm ends in \.webm, and an MP4 is written; name it .*/clip\.mp4\n$"]; "another container")]
#[test_case(good().with("out", "{out}/clip"), BAD_INPUT, &["has no ending, and an MP4 is written"]; "no ending")]
#[test_case(good().with("out", "-"), BAD_INPUT, &["standard output, and an MP4 is written"]; "standard output")]
#[test_case(good().with("out", "{out}/clip.gif").with("model", "/nonexistent.safetensors"), BAD_INPUT, &["ends in .gif"];
    "a name is judged before anything is opened")]
#[test_case(good().with("frames-dir", "{out}/frame_%05d.png"), BAD_INPUT, &["frames_dir: .*a folder of PNG files is written"];
    "a file for frames")]
#[test_case(good().with("out", "{out}/clip.mp4/").with("model", "/nonexistent.safetensors"), BAD_INPUT,
    &[r"out: .*/clip\.mp4/ ends in a slash, .*; name it .*/clip\.mp4\n$"]; "a slash")]
#[test_case(good().with("out", "{out}/").with("model", "/nonexistent.safetensors"), BAD_INPUT, &[r"out: .* is a folder, .*; name it .*/out\.mp4\n$"];
    "a folder with a slash")]
#[test_case(good().with("out", format!("{}/clip.mp4", start_picture())).with("model", "/nonexistent.safetensors"), BAD_INPUT,
    &[r"out: .* lies in .*start\.jpg, which is a file, .*; name it .*/clip\.mp4\n$"]; "in a file")]
#[test_case(good().with("frames-dir", "{out}/f.tar.gz").with("model", "/nonexistent.safetensors"), BAD_INPUT,
    &[r"frames_dir: .*/f\.tar\.gz ends in \.gz, .*; name it .*/f\n$"]; "an archive for frames")]
#[test_case(good().with("frames-dir", "{out}/a.json").with("model", "/nonexistent.safetensors"), BAD_INPUT,
    &[r"frames_dir: .*/a\.json ends in \.json, .*; name it .*/a\n$"]; "data for frames")]
#[test_case(good().with("frames-dir", pictures()).with("model", "/nonexistent.safetensors"), BAD_INPUT,
    &[r"frames_dir: .*demo-pictures is not empty, .*; name it .*demo-pictures-2\n$"]; "what is there is judged before anything is opened")]
fn output(request: Request, code: i32, says: &[&str]) {
    try_request(&request, code, says);
}

/// The node that they would ask is not there: their names are judged before it is.
#[test_case(&["submit", "--prompt", "x", "--out", "{out}/clip.webm"], &["out: .*an MP4 is written"]; "submit")]
#[test_case(&["submit", "--prompt", "x", "--out", "-"], &["out: - stands for standard output"]; "submit to standard output")]
#[test_case(&["submit", "--prompt", "x", "--out", "{out}/clip.mp4/"], &["out: .*ends in a slash"]; "submit into a folder")]
#[test_case(&["download", "id", "--output", "sidecar", "--out", "{out}/x.json/"], &["out: .*ends in a slash"]; "a sidecar into a folder")]
#[test_case(&["quantize", "--type", "q8_0", "/nonexistent", "{out}/x.gguf/"], &["OUT: .*ends in a slash"]; "quantize into a folder")]
#[test_case(&["submit", "--prompt", "x", "--preview", "{out}/now.gif"], &["preview: .*a PNG is written"]; "previews of submit")]
#[test_case(&["watch", "id", "--preview", "{out}/now"], &["preview: .*a PNG is written"]; "previews of watch")]
#[test_case(&["download", "id", "--out", "{out}/clip.mov"], &["out: .*an MP4 is written"]; "download")]
#[test_case(&["download", "id", "--output", "poster", "--out", "{out}/clip.mp4"], &["out: .*a PNG is written"]; "a poster")]
#[test_case(&["download", "id", "--output", "sidecar", "--out", "{out}/mark"], &["out: .*JSON is written"]; "a sidecar")]
#[test_case(&["quantize", "--type", "q8_0", "/nonexistent", "{out}/x.safetensors"], &["OUT: .*a GGUF file is written"];
    "quantize")]
#[test_case(&["selftest", "/nonexistent", "--dump", "{out}/x.bin"], &["dump: .*a safetensors file is written"]; "a dump")]
fn names(words: &[&str], says: &[&str]) {
    let words: Vec<_> = words.iter().copied().map(str::to_owned).collect();
    try_words(&words, BAD_INPUT, says);
}
