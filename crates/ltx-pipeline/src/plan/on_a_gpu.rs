//! Tests of plans for a GPU, without one: what is counted, and what a budget makes of it.
//!
//! Must not know how a GPU computes.

use crate::{Engine, EngineOptions, PlanShape};
use candle_core::DType;
use ltx_engine::{Axis, MemoryBudget, MemoryPlan, TileSizes};
use ltx_nn::Compute;
use ltx_testkit::tiny;
use ltx_types::{FrameCount, ModelFiles, Part, PixelShape, Stage, Stages};

fn engine(memory: Option<u64>, options: EngineOptions) -> Engine {
    let files = ModelFiles {
        checkpoint: tiny("ltx-2.3-tiny-dev.safetensors"),
        components: vec![],
        text_encoder: tiny("gemma"),
        upscaler: Some(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors")),
        loras: vec![],
    };
    let memory = memory.map(|bytes| MemoryBudget { bytes, firm: true });
    let compute = Compute::cpu_f32().with_dtype(DType::BF16);
    let options = EngineOptions { compute, memory, previews: false, ..options };
    Engine::open(&files, options).unwrap().planned_for_a_gpu()
}

fn shape() -> PlanShape {
    let pixels = PixelShape::new(768, 512, Stages::One).unwrap();
    PlanShape::of_clip(pixels, FrameCount::new(121).unwrap(), Stages::One)
}

fn plan(memory: Option<u64>) -> MemoryPlan {
    engine(memory, EngineOptions::default()).plan_shape(&shape())
}

fn of(plan: &MemoryPlan, stage: Stage) -> u64 {
    plan.stages.iter().find(|need| need.stage == stage).map_or(0, |need| need.bytes() + plan.process)
}

#[test]
fn weights_are_counted_as_a_gpu_keeps_them() {
    let engine = engine(None, EngineOptions::default());
    let report = &engine.reports()[0];
    let parameters = |part: Part| report.used[&part].parameters;
    let denoising = plan(None).stages.into_iter().find(|need| need.stage == Stage::Denoising).unwrap();
    // Stored in bf16, so nothing else lies there while it is loaded.
    assert_eq!(denoising.weights, 2 * parameters(Part::Transformer));
    let decoding = plan(None).stages.into_iter().find(|need| need.stage == Stage::Decoding).unwrap();
    assert_eq!(decoding.weights, 2 * parameters(Part::VideoDecoder));
    assert!(
        plan(None).gpu && engine.sizes.larger.small > 0 && engine.sizes.larger.small < parameters(Part::Transformer)
    );
}

#[test]
fn the_whole_clip_is_one_piece_where_it_fits_and_tiles_follow_the_budget() {
    let most = of(&plan(Some(u64::MAX)), Stage::Decoding);
    for (bytes, whole) in [(u64::MAX, true), (most, true), (most - 1, false)] {
        let plan = plan(Some(bytes));
        assert!(plan.fits());
        assert_eq!(plan.decoding.count == 1, whole, "{bytes}: {:?}", plan.decoding);
    }
    // Without a budget nothing is known of the memory: the official ones.
    assert_eq!(plan(None).decoding.tiles, TileSizes::default());
    // Less room never makes larger tiles, and whatever is chosen is what is counted.
    let mut last = u64::MAX;
    for share in 1..20 {
        let plan = plan(Some(most - most / 20 * share));
        let decoding = of(&plan, Stage::Decoding);
        assert!(decoding <= last && (decoding <= most - most / 20 * share || !plan.fits()), "{share}: {plan:?}");
        last = decoding;
    }
    // Tiles that were asked for are taken, whatever the budget.
    let axis = Axis { size: 128, overlap: 32 };
    let tiles = TileSizes { frames: Axis { size: 40, overlap: 16 }, height: axis, width: axis };
    for memory in [None, Some(u64::MAX), Some(0)] {
        let asked = engine(memory, EngineOptions { tiles: Some(tiles), ..EngineOptions::default() });
        assert_eq!(asked.plan_shape(&shape()).decoding.tiles, tiles);
    }
}

#[test]
fn what_does_not_fit_is_streamed_and_the_least_is_named() {
    let free = plan(None);
    assert_eq!(free.blocks.held, 3);
    let least = plan(Some(0));
    assert!(!least.fits() && least.blocks.held == 0);
    let exact = plan(Some(least.peak()));
    assert!(exact.fits(), "{least:?} {exact:?}");
    assert!(!plan(Some(least.peak() - 1)).fits());
    // Of a step that needs all of it, one byte less streams a block. The clip is then smaller than the step.
    let small =
        PlanShape::of_clip(PixelShape::new(64, 64, Stages::One).unwrap(), FrameCount::new(9).unwrap(), Stages::One);
    let whole = engine(None, EngineOptions::default()).plan_shape(&small);
    let step = of(&whole, Stage::Denoising);
    let short = engine(Some(step - 1), EngineOptions::default()).plan_shape(&small);
    assert!(short.blocks.held < 3 && of(&short, Stage::Denoising) < step, "{short:?}");
}

/// What `scripts/gpu/gpu-check memory` relies on, in both dtypes that it runs.
#[test]
fn blocks_of_the_small_model_can_be_streamed_in_a_small_clip() {
    let small = |name: &str| tiny("../small").join(name);
    let files = ModelFiles {
        checkpoint: small("ltx-2.3-small.safetensors"),
        components: vec![],
        text_encoder: small("gemma"),
        upscaler: None,
        loras: vec![],
    };
    let shape = PlanShape {
        prompts: vec![10],
        ..PlanShape::of_clip(PixelShape::new(64, 64, Stages::One).unwrap(), FrameCount::new(9).unwrap(), Stages::One)
    };
    for dtype in [DType::BF16, DType::F32] {
        let plan = |memory| {
            let compute = Compute::cpu_f32().with_dtype(dtype);
            let options = EngineOptions { compute, memory, previews: false, ..EngineOptions::default() };
            Engine::open(&files, options).unwrap().planned_for_a_gpu().plan_shape(&shape)
        };
        let step = of(&plan(None), Stage::Denoising);
        let within = plan(Some(MemoryBudget { bytes: step - 1, firm: true }));
        assert!(within.fits() && within.blocks.held < within.blocks.all, "{dtype:?} {within:?}");
    }
}

#[test]
fn parts_that_stay_leave_the_decoder_less_room_but_never_tiles_below_the_official() {
    let options = || EngineOptions { resident_bytes: u64::MAX, ..EngineOptions::default() };
    let plan = |bytes| engine(Some(bytes), options()).plan_shape(&shape());
    let most = of(&plan(u64::MAX), Stage::Decoding);
    let stay = |plan: &MemoryPlan| plan.stages.iter().any(|need| need.resident > 0);
    assert!(stay(&plan(most)));
    for share in 1..20 {
        let plan = plan(most / 20 * share);
        if stay(&plan) {
            assert!(plan.decoding.tiles.frames.size >= 80 && plan.decoding.tiles.width.size >= 768, "{plan:?}");
        }
    }
}
