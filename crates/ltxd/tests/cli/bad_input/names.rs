//! Models by name, and the manifests that name them.

use super::trial::try_request;
use crate::support::{
    command::{BAD_INPUT, FAILED, REFUSED},
    request::{Request, good},
};
use test_case::test_case;

#[test_case(good().with("model", "kling"), REFUSED,
    &["EXTERNAL_MODEL_NOT_COVERED", r"Use Carat Basic Video \(LTX 2\.3\)"]; "somebody elses")]
#[test_case(good().with("model", "nosuch"), REFUSED, &["UNKNOWN_MODEL", r"ltx-2\.3-tiny"]; "nobody knows")]
#[test_case(good().with("model", "ltx-2.3-dev").with("models-dir", "{made}/manifests"), FAILED,
    &[r"ltx-2\.3-22b-dev\.safetensors"]; "the manifests files are not here")]
#[test_case(good().with("models-dir", "/nonexistent"), FAILED, &["/nonexistent"]; "no folder of manifests")]
#[test_case(good().with("models-dir", "{made}/broken-manifest"), BAD_INPUT, &[r"broken\.toml"]; "a manifest that is none")]
#[test_case(good().with("models-dir", "{made}/no-manifests"), REFUSED, &["UNKNOWN_MODEL"]; "a folder without manifests")]
fn models(request: Request, code: i32, says: &[&str]) {
    try_request(&request, code, says);
}
