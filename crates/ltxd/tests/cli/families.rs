//! What a request may say depends on the family of the model that it runs on, whether a manifest names it or only a path.
//!
//! Must not know how a family computes.

use crate::support::{
    command::{BAD_INPUT, DONE, REFUSED, ltxd, run},
    files::{checkpoint, gemma, repository, scratch, text, upscaler},
    request::{Request, good},
    safetensors::File,
};
use serde_json::Value;
use std::{fs, path::Path};

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
    made(request).0
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

/// The tiny LTX-2.5 whose files state no version, in a folder with a manifest that states one.
fn newest_without_version(folder: &Path) -> Request {
    for (name, out) in [("transformer", "t.safetensors"), ("video-vae-conv", "v.safetensors")] {
        let mut file = File::read(repository(&format!("models/tiny-2.5/ltx-2.5-tiny-{name}.safetensors")));
        assert!(file.metadata.remove("model_version").is_some());
        fs::write(folder.join(out), file.to_bytes()).unwrap();
    }
    let manifest = fs::read_to_string(repository("models/ltx-2.5-tiny.toml")).unwrap();
    let encoder = repository("models/tiny-2.5/gemma4-tiny-with-proj.safetensors");
    let manifest = manifest.replace("tiny-2.5/ltx-2.5-tiny-transformer.safetensors", "t.safetensors");
    let manifest = manifest.replace("tiny-2.5/ltx-2.5-tiny-video-vae-conv.safetensors", "v.safetensors");
    let manifest = manifest.replace("tiny-2.5/gemma4-tiny-with-proj.safetensors", &text(&encoder));
    let manifest = manifest.replace("tiny/ltx-2.3-tiny-spatial-upscaler-x2.safetensors", &upscaler());
    let manifest = manifest.replace("image_crf = 18\n", "");
    let manifest: String =
        manifest.lines().filter(|line| !line.starts_with("bytes")).map(|line| format!("{line}\n")).collect();
    fs::write(folder.join("model.toml"), manifest).unwrap();
    good().with("model", "ltx-2.5-tiny").with("models-dir", folder.display())
}

/// A clip's summary, and what was said beside it.
fn made(request: Request) -> (Value, String) {
    let folder = scratch();
    let out = folder.path().join("clip.mp4");
    let words = [request.with("out", out.display()).words(), vec!["--json".to_owned()]].concat();
    let ended = run(ltxd(&words)).with(DONE);
    (ended.json(), ended.err)
}

#[test]
fn the_manifests_version_counts_where_no_file_states_one_and_by_path_the_familys() {
    let folder = scratch();
    let stated = good().with("model", "ltx-2.5-tiny");
    let (stated, said) = made(stated);
    assert!(!said.contains("version"), "{said}");
    let by_manifest = newest_without_version(folder.path());
    let (named, said) = made(by_manifest.clone());
    assert!(said.contains("states no version; the manifest's counts: 2.5.0"), "{said}");
    let by_path = by_manifest.without("models-dir").with("model", folder.path().join("t.safetensors").display());
    let by_path = by_path.with("component", folder.path().join("v.safetensors").display());
    let encoder = repository("models/tiny-2.5/gemma4-tiny-with-proj.safetensors");
    let (found, said) = made(by_path.with("text-encoder", encoder.display()).with("schedule", "distilled"));
    assert!(said.contains("states no version; taken for 2.5, as its configuration is that of LTX-2.5"), "{said}");
    for (of, version) in [(&named, "2.5.0"), (&found, "unknown")] {
        assert_eq!((&of["image_crf"], &of["frames_sha256"]), (&18.into(), &stated["frames_sha256"]));
        assert_eq!(of["mark"]["model_version"], version);
    }
}

#[test]
fn the_mark_says_which_decoder_drew_the_frames() {
    let newest = |vae: &str| {
        let file = |name: &str| repository(&format!("models/tiny-2.5/{name}.safetensors")).display().to_string();
        let request = good().without("models-dir").with("model", file("ltx-2.5-tiny-transformer"));
        let request = request.with("component", file(vae)).with("text-encoder", file("gemma4-tiny-with-proj"));
        made(request.with("schedule", "distilled")).0
    };
    let (drawn, convolved) = (newest("ltx-2.5-tiny-video-vae"), newest("ltx-2.5-tiny-video-vae-conv"));
    assert_eq!((&drawn["mark"]["decoder"], &convolved["mark"]["decoder"]), (&"diffusion".into(), &Value::Null));
    assert_ne!(drawn["frames_sha256"], convolved["frames_sha256"]);
    // The encoder is the same one, and so is everything before the decoder.
    assert_eq!(drawn["latent_sha256"], convolved["latent_sha256"]);
}

#[test]
fn a_vae_without_a_version_is_of_the_checkpoints() {
    let folder = scratch();
    let file = |name: &str, version: Option<&str>| {
        let mut file = File::read(repository(&format!("models/tiny-2.5/ltx-2.5-tiny-{name}.safetensors")));
        assert!(file.metadata.remove("model_version").is_some());
        file.metadata.extend(version.map(|version| ("model_version".to_owned(), version.into())));
        let path = folder.path().join(format!("{name}.safetensors"));
        fs::write(&path, file.to_bytes()).unwrap();
        path
    };
    let transformer = file("transformer", Some("2.5.0"));
    let encoder = repository("models/tiny-2.5/gemma4-tiny-with-proj.safetensors");
    let request = good().without("models-dir").with("model", transformer.display()).with("schedule", "distilled");
    let request = request.with("text-encoder", encoder.display());
    for (version, image_crf) in [(None, 18), (Some("final"), 18), (Some("2.3.0"), 33)] {
        let vae = file("video-vae-conv", version);
        assert_eq!(summary(request.clone().with("component", vae.display()))["image_crf"], image_crf, "{version:?}");
    }
}

#[test]
fn a_manifest_whose_version_is_another_familys_is_refused() {
    let manifest = fs::read_to_string(repository("models/ltx-2.3-tiny.toml")).unwrap();
    for (version, fine) in [("2.4.1", true), ("mine", true), ("2.5.0", false), ("0.9.8", false), ("3.0", false)] {
        let folder = scratch();
        for part in ["tiny", "tiny-2.5"] {
            std::os::unix::fs::symlink(repository("models").join(part), folder.path().join(part)).unwrap();
        }
        let other = manifest.replace("version = \"2.3.0\"", &format!("version = \"{version}\""));
        assert!(other.contains(version));
        fs::write(folder.path().join("model.toml"), other).unwrap();
        let request = good().with("models-dir", folder.path().display());
        if fine {
            summary(request);
        } else {
            let told = refused(request);
            assert!(told.contains("manifest states the version") && told.contains(version), "{told}");
        }
    }
}

#[test]
fn a_flow_by_name_has_its_authors_stages_and_size_by_path_as_by_manifest() {
    let by_path = good().without("models-dir").without("width").without("height").with("model", checkpoint());
    let by_path = by_path.with("text-encoder", gemma()).with("frames", 1);
    let two = |request: &Request| request.clone().with("upscaler", upscaler());
    let dev = |request: &Request| request.clone().with("flow", "dev").with("steps", 2).with("stg-blocks", 1);
    let distilled = by_path.clone().with("flow", "distilled");
    // 0.9.8 goes by diffusers, which has one pass.
    let older = repository("models/ltxv-tiny");
    let older =
        distilled.clone().with("model", older.display()).with("text-encoder", older.join("text_encoder").display());
    // The tiny model's manifest states no flow, and 128 by 96 for one stage.
    let manifest = good().without("width").without("height").with("frames", 1);
    for (request, flow, stages, width, height) in [
        (two(&distilled), "distilled", 2, 1536, 1024),
        (distilled.clone().with("stages", 1), "distilled", 1, 768, 512),
        (two(&distilled).with("width", 128).with("height", 64), "distilled", 2, 128, 64),
        (dev(&by_path), "dev", 1, 768, 512),
        (two(&dev(&by_path)).with("stages", 2), "dev", 2, 1536, 1024),
        (older, "distilled", 1, 704, 480),
        (manifest.clone().with("flow", "distilled"), "distilled", 2, 256, 192),
        (dev(&manifest), "dev", 1, 128, 96),
    ] {
        let made = summary(request.clone());
        let found = (&made["stages"], &made["width"], &made["height"]);
        assert_eq!(found, (&stages.into(), &width.into(), &height.into()), "{request:?}");
        assert_eq!((&made["flow"], &made["mark"]["flow"]), (&flow.into(), &flow.into()));
    }
}

#[test]
fn the_mark_says_the_flow_that_a_manifest_states_and_the_frames_are_the_same() {
    let folder = scratch();
    for (name, files) in [("ltx-2.3-tiny", "tiny/"), ("ltx-2.5-tiny", "tiny-2.5/"), ("ltxv-tiny", "ltxv-tiny")] {
        let manifest = fs::read_to_string(repository(&format!("models/{name}.toml"))).unwrap();
        let bare = manifest.replace("flow = \"distilled\"\n", "");
        let here = repository("models");
        let [bare, stated] = ["", "flow = \"distilled\"\n"].map(|flow| {
            let text = bare.replace("[defaults]\n", &format!("[defaults]\n{flow}"));
            // Files lie where the shipped manifests have them.
            let text = text.replace("path = \"", &format!("path = \"{}/", here.display()));
            assert!(text.contains(files));
            fs::write(folder.path().join("model.toml"), text).unwrap();
            summary(good().with("model", name).with("models-dir", folder.path().display()))
        });
        assert_eq!(bare["frames_sha256"], stated["frames_sha256"], "{name}");
        assert_eq!((&bare["mark"]["flow"], &stated["mark"]["flow"]), (&Value::Null, &"distilled".into()));
    }
}

#[test]
fn policy_is_judged_before_a_file_is_opened() {
    let nowhere = good().without("models-dir").without("image").with("model", "/nowhere/x.safetensors");
    let request = nowhere.with("text-encoder", "/nowhere").with("schedule", "distilled");
    run(ltxd(&request.words())).with(REFUSED);
}

/// LTX-Video 0.9.8 dev in three blocks: a manifest without a flow of its own, with the guidance of passes in blocks that there are.
fn in_passes(folder: &Path) -> Request {
    let manifest = fs::read_to_string(repository("models/ltxv-tiny.toml")).unwrap();
    let manifest = manifest.replace("flow = \"distilled\"\n", "").replace("\"distilled\"", "\"guided\"");
    let tiny = text(&repository("models/ltxv-tiny"));
    let manifest = manifest.replace("path = \"ltxv-tiny", &format!("path = \"{tiny}"));
    let manifest = manifest.replace("tiny/ltx-2.3-tiny-spatial-upscaler-x2.safetensors", &upscaler());
    let level = |sigma: f64, cfg: f64, stg: f64, blocks: &str| {
        let guidance =
            format!("cfg_scale = {cfg:?}, stg_scale = {stg:?}, rescale_scale = 0.0, stg_blocks = [{blocks}]");
        format!("{{ sigma = {sigma:?}, guidance = {{ {guidance} }} }}")
    };
    let of = |pass: &str, levels: &[String]| {
        format!("\n[defaults.pass_guidance.{pass}]\ncfg_star = true\nlevels = [{}]\n", levels.join(", "))
    };
    let first = of("first", &[level(1.0, 1.0, 0.0, ""), level(0.98, 3.0, 1.0, "1, 2"), level(0.6, 1.0, 1.0, "1")]);
    let second = of("second", &[level(1.0, 1.0, 1.0, "1")]);
    fs::write(folder.join("model.toml"), format!("{manifest}{first}{second}")).unwrap();
    ltx_video().with("models-dir", folder.display())
}

#[test]
fn guidance_from_step_to_step_is_a_flow_by_name() {
    let folder = scratch();
    let passes = in_passes(folder.path()).with("flow", "multi_scale");
    let made = summary(passes.clone().with("steps", 27));
    assert_eq!((&made["flow"], &made["mark"]["flow"]), (&"multi_scale".into(), &"multi_scale".into()));
    assert_eq!((&made["stages"], &made["steps"], &made["fps"]), (&2.into(), &27.into(), &30.0.into()));
    assert!(made["guidance"].is_null() && made["pass_guidance"]["first"]["levels"].is_array(), "{made}");
    let frames = |request: Request| summary(request)["frames_sha256"].clone();
    assert_eq!(frames(passes.clone()), made["frames_sha256"]);
    assert_ne!(frames(passes.clone().with("negative-prompt", "blurry")), made["frames_sha256"], "some steps have CFG");
    for (flag, value, told) in [
        ("guidance-scale", "3", "guidance_scale: 3 is not read: the flow multi_scale changes guidance"),
        ("stg-blocks", "1", "stg_blocks: 1 is not read: the flow multi_scale changes guidance"),
        ("steps", "30", "steps: 30 is not read: the flow multi_scale has 27"),
        ("stages", "1", "stages: 1 is not the flow multi_scale"),
    ] {
        let said = refused(passes.clone().with(flag, value));
        assert!(said.contains(told), "{said}");
    }
    let guided = in_passes(folder.path()).with("stages", 2);
    assert!(refused(guided).contains("stages: 2 of the guided schedule are the flow multi_scale"));
}

#[test]
fn a_model_without_the_flows_blocks_is_named() {
    let by_path = ltx_video_by_path().without("schedule").with("upscaler", upscaler()).with("flow", "multi_scale");
    let told = refused(by_path);
    assert!(told.contains("flow: multi_scale skips block 22, and the model's are 0..=2"), "{told}");
    let newer = good().without("models-dir").with("model", checkpoint()).with("text-encoder", gemma());
    let told =
        refused(newer.with("upscaler", upscaler()).with("flow", "multi_scale").with("width", 128).with("height", 128));
    assert!(told.contains("flow: multi_scale is the flow of LTX-Video 0.9.8 13B dev"), "{told}");
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
