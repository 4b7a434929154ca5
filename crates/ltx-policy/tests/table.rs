//! The rows of the policy table that the engine needs, each judged by `admit`.

use ltx_policy::{Ask, KnownModel, ModelIdentity, ModelNames, Reason, admit};
use ltx_types::{
    ConditioningMode, GenerationDraft, Guidance, ImageCondition, ImageSource, Method, Schedule, Seed, Stages, Strength,
};

fn draft(frames_of_images: &[usize]) -> GenerationDraft {
    let image = |&frame_index: &usize| ImageCondition {
        source: ImageSource::Bytes([0u8; 4].as_slice().into()),
        frame_index,
        strength: Strength::FULL,
    };
    GenerationDraft {
        prompt: "seedance, kling and sound effects".into(),
        negative_prompt: String::new(),
        images: frames_of_images.iter().map(image).collect(),
        conditioning: ConditioningMode::ReplaceFirst,
        width: 64,
        height: 64,
        frames: 17,
        fps: 24.0,
        seed: Seed(1),
        schedule: Schedule::Distilled,
        steps: 8,
        stages: Stages::One,
        guidance: Guidance { cfg_scale: 3.0, stg_scale: 1.0, rescale_scale: 0.7, stg_blocks: vec![1] },
        image_crf: 33,
    }
}

fn names() -> ModelNames {
    let aliases = ["LTX 2.3", "Use Carat Basic Video (LTX 2.3)"].map(str::to_owned).to_vec();
    ModelNames::new(vec![KnownModel { name: "ltx-2.3-distilled".into(), aliases }], [])
}

fn reasons(images: &[usize], model: Option<&str>) -> Vec<Reason> {
    let ask = Ask { model: model.map(str::to_owned) };
    match admit(&ask, draft(images), &names()) {
        Ok(_) => vec![],
        Err(refusal) => refusal.grounds().map(|(reason, _)| reason).collect(),
    }
}

#[test]
fn the_two_methods_are_unlimited() {
    let method = |images: &[usize]| admit(&Ask::default(), draft(images), &names()).map(|a| a.method());
    assert_eq!(method(&[0]), Ok(Method::ImageToVideo));
    assert_eq!(method(&[0, 16]), Ok(Method::StartEndFrames));
    assert_eq!(method(&[16, 0]), Ok(Method::StartEndFrames));
}

#[test]
fn every_other_method_is_refused() {
    for images in [&[][..], &[16], &[0, 8], &[0, 8, 16], &[0, 0]] {
        assert_eq!(reasons(images, None), [Reason::NotAnUnlimitedMethod], "{images:?}");
    }
}

#[test]
fn models_by_name() {
    assert_eq!(reasons(&[0], Some("ltx 2.3")), []);
    assert_eq!(reasons(&[0], Some("Use Carat Basic Video (LTX 2.3)")), []);
    assert_eq!(reasons(&[0], Some("Kling 2")), [Reason::ExternalModelNotCovered]);
    assert_eq!(reasons(&[0], Some("wan")), [Reason::UnknownModel]);
}

#[test]
fn every_reason_that_holds_is_listed_in_table_order() {
    assert_eq!(reasons(&[], Some("Veo 3")), [Reason::NotAnUnlimitedMethod, Reason::ExternalModelNotCovered]);
}

#[test]
fn policy_speaks_before_the_fields_do() {
    let bad_size = GenerationDraft { width: 65, ..draft(&[0]) };
    assert!(admit(&Ask { model: Some("Veo".into()) }, bad_size.clone(), &names()).is_err());
    let admitted = admit(&Ask::default(), bad_size, &names()).unwrap();
    assert_eq!(admitted.check().unwrap_err().field, "width");
}

#[test]
fn the_mark_says_what_the_class_is() {
    let admitted = admit(&Ask::default(), draft(&[0, 16]), &names()).unwrap().check().unwrap();
    let model = ModelIdentity { name: "tiny".into(), version: "2.3.0".into() };
    let mark = admitted.mark(&model, "node-1");
    let entry = |key| mark.entries().into_iter().find(|(k, _)| *k == key).map(|(_, v)| v);
    assert_eq!(entry("usage_class").as_deref(), Some("UNLIMITED"));
    assert_eq!(entry("credits_charged").as_deref(), Some("0"));
    assert_eq!(entry("method").as_deref(), Some("start_end_frames"));
    let json = serde_json::to_value(&mark).unwrap();
    assert_eq!(json["model_version"], "2.3.0");
    assert_eq!(json["seed"], 1);
}
