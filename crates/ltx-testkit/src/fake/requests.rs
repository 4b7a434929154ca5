//! A small request, and the policy that admits it.
//!
//! Must not know what comes of it.

use super::FakeModels;
use ltx_policy::{KnownModel, ModelNames, PolicyConfig};
use ltx_types::{
    Defaults, FramePosition, GenerationDraft, ImageInput, ImageSource, Overrides, Schedule, Seed, Strength,
};
use std::sync::Arc;

/// The encoded picture of a golden case (PNG).
pub fn picture() -> Arc<[u8]> {
    include_bytes!("../../data/i2v_distilled/image0.png").as_slice().into()
}

/// A policy that knows and has loaded the fake model.
pub fn policy() -> PolicyConfig {
    let known = KnownModel::new(FakeModels::NAME, vec!["ltx".into()], "ltx-2.3").expect("names of LTX-2.3");
    PolicyConfig::new(ModelNames::new(vec![known], [])).with_loaded([FakeModels::NAME.to_owned()])
}

/// One image, 64×64, 9 frames, the distilled schedule.
pub fn draft(prompt: &str, seed: u64) -> GenerationDraft {
    let source = ImageSource::Bytes(picture());
    let image = ImageInput { source, position: FramePosition::First, strength: Strength::FULL };
    let said = Overrides {
        width: Some(64),
        height: Some(64),
        frames: Some(9),
        seed: Some(Seed(seed)),
        steps: Some(8),
        cfg_scale: Some(1.0),
        stg_scale: Some(0.0),
        rescale_scale: Some(0.0),
        stg_blocks: Some(vec![]),
        ..Overrides::default()
    };
    Defaults::official(Schedule::Distilled).fill(said, prompt.into(), vec![image])
}
