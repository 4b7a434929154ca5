//! A request and a node that the tests vary.
//!
//! Must not know what is tested.
#![allow(dead_code)]

use ltx_policy::{Ask, KnownModel, ModelNames, PolicyConfig, Reason, Refusal, admit};
use ltx_types::{
    Defaults, FramePosition, GenerationDraft, ImageInput, ImageSource, Overrides, Schedule, Seed, Strength,
};

/// Seventeen frames with images at the given ones. The prompt names everything that is excluded.
pub(crate) fn draft(frames_of_images: &[usize]) -> GenerationDraft {
    let image = |&frame: &usize| ImageInput {
        source: ImageSource::Path("image.png".into()),
        position: FramePosition::Index(frame),
        strength: Strength::FULL,
    };
    let size = |pixels| Overrides { width: Some(pixels), height: Some(pixels), ..Overrides::default() };
    let prompt = "Use Seedance or Kling; sound effects, music; edit the hat in this video; Agent 2.0, no credits";
    let said = Overrides { frames: Some(17), seed: Some(Seed(1)), ..size(64) };
    let images = frames_of_images.iter().map(image).collect();
    Defaults::official(Schedule::Distilled).fill(said, prompt.into(), images)
}

/// Knows dev and distilled, has loaded distilled, and its operator excludes Hailuo too.
pub(crate) fn node() -> PolicyConfig {
    let known = |name: &str, aliases: &[&str]| {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        KnownModel::new(name, aliases, "ltx-2.3").unwrap()
    };
    let distilled = ["ltx", "LTX 2.3", "Carat Video", "Carat Basic Video", "Use Carat Basic Video (LTX 2.3)"];
    let known = vec![known("ltx-2.3-dev", &["LTX dev"]), known("ltx-2.3-distilled", &distilled)];
    PolicyConfig::new(ModelNames::new(known, ["Hailuo".to_owned()])).with_loaded(["ltx-2.3-distilled".to_owned()])
}

pub(crate) fn naming(model: &str) -> Ask {
    Ask { model: Some(model.to_owned()), ..Ask::default() }
}

/// The reasons of a refusal; none when it is unlimited.
pub(crate) fn reasons(images: &[usize], ask: &Ask) -> Vec<Reason> {
    match admit(ask, draft(images), &node()) {
        Ok(_) => vec![],
        Err(refusal) => listed(&refusal),
    }
}

pub(crate) fn listed(refusal: &Refusal) -> Vec<Reason> {
    refusal.grounds().map(|ground| ground.reason).collect()
}

/// The remedy of the one reason that holds.
pub(crate) fn remedy(images: &[usize], ask: &Ask) -> String {
    let refusal = admit(ask, draft(images), &node()).unwrap_err();
    assert_eq!(refusal.grounds().count(), 1, "{refusal}");
    refusal.grounds().map(|ground| ground.remedy.clone()).collect()
}
