//! What a request may say depends on the family of the model that it runs on, whether a manifest names it or only a path.
//!
//! Must not know how a family computes.

use crate::support::{
    command::{BAD_INPUT, DONE, REFUSED, ltxd, run},
    files::{checkpoint, gemma, repository, scratch, text, upscaler},
    request::{Request, good},
};
use serde_json::Value;

/// A request of LTX-Video 0.9.8 by its manifest.
fn ltx_video() -> Request {
    good().with("model", "ltxv-tiny").with("width", 64).with("height", 64).with("frames", 9)
}

/// The same by its files.
fn ltx_video_by_path() -> Request {
    let folder = repository("models/ltxv-tiny");
    let by_path = ltx_video().without("models-dir").with("model", folder.display());
    by_path.with("text-encoder", folder.join("text_encoder").display()).with("schedule", "distilled")
}

fn summary(request: Request) -> Value {
    let folder = scratch();
    let out = folder.path().join("clip.mp4");
    let words = [request.with("out", out.display()).words(), vec!["--json".to_owned()]].concat();
    run(ltxd(&words)).with(DONE).json()
}

fn refused(request: Request) -> String {
    run(ltxd(&request.words())).with(BAD_INPUT).said()
}

#[test]
fn a_checkpoint_by_path_has_its_own_familys_guidance() {
    // 0.9.8 has no STG, whose usual block these tiny models lack; LTX-2's is the 29th.
    let guided = ltx_video_by_path().with("schedule", "guided").with("steps", 2);
    assert_eq!(summary(guided)["steps"], 2);
    for (model, block) in
        [(repository("models/tiny-2/ltx-2.0-tiny-dev.safetensors"), "29"), (checkpoint().into(), "28")]
    {
        let by_path = good().without("models-dir").with("model", model.display()).with("text-encoder", gemma());
        let told = refused(by_path.with("schedule", "guided").with("steps", 2));
        assert!(told.contains("stg_blocks") && told.contains(block), "{told}");
    }
}

#[test]
fn the_distilled_schedule_has_as_many_steps_as_the_familys() {
    for request in [ltx_video(), ltx_video_by_path()] {
        let made = summary(request.clone().with("steps", 7));
        assert_eq!((&made["steps"], &made["image_crf"]), (&7.into(), &0.into()), "{made}");
        assert_eq!(summary(request.clone())["frames_sha256"], made["frames_sha256"]);
        let told = refused(request.with("steps", 8));
        assert!(told.contains("steps: 8 is not read") && told.contains("nearest legal: 7"), "{told}");
    }
}

#[test]
fn the_mark_has_the_version_of_the_manifest_where_no_file_states_one() {
    assert_eq!(summary(ltx_video())["mark"]["model_version"], "0.9.8");
    assert_eq!(summary(ltx_video_by_path())["mark"]["model_version"], "unknown");
    assert_ne!(summary(good())["mark"]["model_version"], "unknown");
}

#[test]
fn policy_is_judged_before_a_file_is_opened() {
    let nowhere = good().without("models-dir").without("image").with("model", "/nowhere/x.safetensors");
    let request = nowhere.with("text-encoder", "/nowhere").with("schedule", "distilled");
    run(ltxd(&request.words())).with(REFUSED);
}

#[test]
fn hq_needs_the_distilled_lora_in_both_stages() {
    let lora = repository("crates/ltx-pipeline/tests/data/tiny-distilled-lora.safetensors");
    let bare = good().without("models-dir").with("model", checkpoint()).with("text-encoder", gemma());
    let hq = bare.with("upscaler", upscaler()).with("flow", "hq").with("width", 128).with("height", 128);
    let hq = hq.with("frames", 9).with("steps", 2);
    let with = |strengths: &str| hq.clone().with("lora", format!("{}{strengths}", text(&lora)));
    assert_eq!(summary(with("=0.25,0.5"))["mark"]["flow"], "hq");
    for (request, stage) in [(hq.clone(), "first"), (with("=0,1"), "first"), (with("=1,0"), "second")] {
        let told = refused(request);
        assert!(
            told.contains("flow: hq needs the distilled LoRA") && told.contains(&format!("in the {stage} one")),
            "{told}"
        );
    }
}
