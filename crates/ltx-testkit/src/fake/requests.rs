//! A small request, and the policy that admits it.
//!
//! Must not know what comes of it.

use super::FakeModels;
use ltx_policy::{KnownModel, ModelNames, PolicyConfig};
use ltx_types::{
    ConditioningMode, GenerationDraft, Guidance, ImageCondition, ImageSource, Schedule, Seed, Stages, Strength,
};
use std::sync::Arc;

/// The encoded picture of a golden case (PNG).
pub fn picture() -> Arc<[u8]> {
    include_bytes!("../../data/i2v_distilled/image0.png").as_slice().into()
}

/// A policy that knows and has loaded the fake model.
pub fn policy() -> PolicyConfig {
    let known = KnownModel { name: FakeModels::NAME.into(), aliases: vec!["ltx".into()] };
    PolicyConfig::new(ModelNames::new(vec![known], [])).with_loaded([FakeModels::NAME.to_owned()])
}

/// One image, 64×64, 9 frames, the distilled schedule.
pub fn draft(prompt: &str, seed: u64) -> GenerationDraft {
    let source = ImageSource::Bytes(picture());
    GenerationDraft {
        prompt: prompt.into(),
        negative_prompt: String::new(),
        images: vec![ImageCondition { source, frame_index: 0, strength: Strength::FULL }],
        conditioning: ConditioningMode::ReplaceFirst,
        width: 64,
        height: 64,
        frames: 9,
        fps: 24.0,
        seed: Seed(seed),
        schedule: Schedule::Distilled,
        steps: 8,
        stages: Stages::One,
        guidance: Guidance { cfg_scale: 1.0, stg_scale: 0.0, rescale_scale: 0.0, stg_blocks: vec![] },
        image_crf: 33,
    }
}
