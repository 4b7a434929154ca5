//! Models by name, and the manifests that name them.

use super::trial::try_request;
use crate::support::{
    command::{BAD_INPUT, FAILED, REFUSED},
    request::{Request, good},
};
use rstest::rstest;

#[rstest]
#[case::somebody_elses(good().with("model", "kling"), REFUSED,
    &["EXTERNAL_MODEL_NOT_COVERED", r"Use Carat Basic Video \(LTX 2\.3\)"])]
#[case::nobody_knows(good().with("model", "nosuch"), REFUSED, &["UNKNOWN_MODEL", r"ltx-2\.3-tiny"])]
#[case::the_manifests_files_are_not_here(good().with("model", "ltx-2.3-dev").with("models-dir", "{made}/manifests"), FAILED,
    &[r"ltx-2\.3-22b-dev\.safetensors"])]
#[case::no_folder_of_manifests(good().with("models-dir", "/nonexistent"), FAILED, &["/nonexistent"])]
#[case::a_manifest_that_is_none(good().with("models-dir", "{made}/broken-manifest"), BAD_INPUT, &[r"broken\.toml"])]
#[case::a_folder_without_manifests(good().with("models-dir", "{made}/no-manifests"), REFUSED, &["UNKNOWN_MODEL"])]
fn models(#[case] request: Request, #[case] code: i32, #[case] says: &[&str]) {
    try_request(&request, code, says);
}
