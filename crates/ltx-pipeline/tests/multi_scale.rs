//! The flow `multi_scale` in an engine: guidance of either pass brings the contexts that it reads, also where a clip goes on within
//! the second; models that it is not of are refused by name.

mod common;

use common::Recording;
use ltx_engine::{Encodings, EngineError, Generator, LatentStore, Outcome, Run};
use ltx_pipeline::{Engine, EngineOptions};
use ltx_policy::{Admitted, Ask, ModelNames, PolicyConfig, admit};
use ltx_testkit::{data, tiny};
use ltx_types::{
    CancelToken, Defaults, Flow, FramePosition, Generation, Guidance, GuidanceSchedule, ImageInput, ImageSource,
    ModelFiles, ModelRules, Overrides, PassGuidance, Schedule, Stage, Strength,
};

fn files(checkpoint: &str, text_encoder: &str) -> ModelFiles {
    ModelFiles {
        checkpoint: tiny(checkpoint),
        components: vec![],
        text_encoder: tiny(text_encoder),
        upscaler: Some(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors")),
        loras: vec![],
    }
}

/// Three steps and two; without guidance the authors'.
fn request(pass_guidance: Option<PassGuidance>) -> Admitted<Generation> {
    let image = ImageInput {
        source: ImageSource::Path(data("ltxv09/i2v_distilled").join("image0.png")),
        position: FramePosition::First,
        strength: Strength::FULL,
    };
    let said = Overrides {
        flow: Some(Flow::MultiScale),
        negative_prompt: Some("blurry".into()),
        width: Some(64),
        height: Some(64),
        frames: Some(9),
        sigmas: Some(vec![1.0, 0.99, 0.5, 0.0]),
        refine_sigmas: Some(vec![0.9, 0.5, 0.0]),
        ..Overrides::default()
    };
    let model = Defaults { pass_guidance, ..Defaults::official(Schedule::Guided) };
    let policy = PolicyConfig::new(ModelNames::new(vec![], []));
    let draft = model.fill(said, "A lake".into(), vec![image]);
    admit(&Ask::default(), draft, &policy).unwrap().check(&ModelRules::LTX).unwrap()
}

fn made(files: &ModelFiles, request: &Admitted<Generation>, store: &dyn LatentStore) -> Result<Outcome, EngineError> {
    let mut engine = Engine::open(files, EngineOptions::default()).unwrap();
    let cancel = CancelToken::new();
    engine.generate(request, &mut [], &Run { store, ..Run::quiet(&cancel) })
}

/// CFG in the one pass and STG in the other.
fn guided(cfg_in_first: bool) -> PassGuidance {
    let of = |cfg: bool| {
        let (cfg_scale, stg_scale) = if cfg { (3.0, 0.0) } else { (1.0, 1.0) };
        GuidanceSchedule::constant(Guidance { cfg_scale, stg_scale, rescale_scale: 0.0, stg_blocks: vec![1] })
    };
    PassGuidance { first: of(cfg_in_first), second: of(!cfg_in_first) }
}

#[test]
fn a_pass_has_the_contexts_that_its_guidance_reads_wherever_it_goes_on() {
    let files = files("../ltxv-tiny", "../ltxv-tiny/text_encoder");
    for cfg_in_first in [true, false] {
        let (request, store) = (request(Some(guided(cfg_in_first))), Recording::default());
        let whole = made(&files, &request, &store).unwrap();
        assert_eq!(whole.contexts, Encodings { cached: 0, encoded: 2 });
        let states = store.saved.into_inner().unwrap();
        assert_eq!(states.len(), 5);
        for state in states {
            let needed = if state.stage == Stage::Refining && cfg_in_first { 1 } else { 2 };
            let again = made(&files, &request, &Recording { resume: Some(state), ..Recording::default() }).unwrap();
            assert_eq!(again.contexts, Encodings { cached: 0, encoded: needed });
            assert_eq!(again.frames_sha256, whole.frames_sha256);
        }
    }
}

#[test]
fn models_that_it_is_not_of_are_refused_by_name() {
    let refused = |files: ModelFiles, passes| made(&files, &request(passes), &Recording::default()).unwrap_err();
    let few = refused(files("../ltxv-tiny", "../ltxv-tiny/text_encoder"), None).to_string();
    assert!(few.contains("flow: multi_scale skips block 22"), "{few}");
    let other = refused(files("ltx-2.3-tiny-dev.safetensors", "gemma"), Some(guided(true))).to_string();
    assert!(other.contains("flow: multi_scale is the flow of LTX-Video 0.9.8 13B dev"), "{other}");
}
