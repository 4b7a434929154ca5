//! What the stages of a request hold of a GPU's memory beside weights, counted along the code that runs there. CUDA's own
//! context and the kernels' code are not in it: they lie there before anybody asks what is free.
//!
//! Must not know budgets.

use super::PlanShape;
use crate::{Engine, decode::Cut, rgb};
use candle_core::DType;
use ltx_engine::TileSizes;
use ltx_model::{text_encoder::MAX_TOKENS, video_vae::ClipShape};
use ltx_types::LatentShape;

/// What cuBLASLt (`ltx-nn`) and cuBLAS (candle) work in.
const WORKSPACES: u64 = 64 << 20;
/// Queries that the plain formula of attention takes at a time, and its bytes of a score: rounded, scaled, masked, their
/// softmax.
const QUERIES: u64 = 1024;
const SCORE: u64 = 12;

impl Engine {
    /// What lies there in every stage.
    pub(super) fn gpu_process_bytes(&self) -> u64 {
        WORKSPACES + self.sizes.small
    }

    /// Bytes alive at once in a step, in a block's feed-forward: what a function of the block has named stays until its end.
    pub(super) fn step_bytes_on_gpu(&self, latent: LatentShape, shape: &PlanShape) -> u64 {
        let transformer = &self.ltx.transformer;
        let (width, value) = (transformer.inner_dim() as u64, self.value_bytes());
        let tokens = (latent.tokens() + shape.images * latent.frame_tokens()) as u64;
        // The stream before the block, and behind each of its attentions; what those added to it; the input normalised, four times
        // its width inside, once more rounded to 8 bits, and the output.
        let block = (3 + 2 + 1 + 4 + 2 + 1) * tokens;
        let recorded = self.options.compute.dtype == DType::BF16;
        let plain = if recorded { 0 } else { 6 * tokens };
        // The context modulated, and as it is in the compute dtype.
        let context = 2 * MAX_TOKENS as u64;
        // Each prompt's context, and the rotations, in f32.
        let wide = MAX_TOKENS as u64 * shape.prompts.len() as u64 + tokens;
        // A recording holds what goes into it and what comes out of it, once more.
        let copies = if recorded { (2 * tokens + MAX_TOKENS as u64) * value + tokens * 4 } else { 0 };
        let scores = if plain > 0 { self.scores(transformer.num_attention_heads, tokens) } else { 0 };
        ((block + plain + context) * value + wide * 4 + copies) * width + scores
    }

    /// Attention by the plain formula: the scores of a slice of the queries.
    fn scores(&self, heads: usize, tokens: u64) -> u64 {
        SCORE * heads as u64 * tokens.min(QUERIES) * tokens
    }

    /// A layer of the language model beside the states that are kept: its attention is the plain formula.
    pub(super) fn text_layer_bytes_on_gpu(&self, tokens: usize) -> u64 {
        let gemma = &self.text.config;
        let attention = (gemma.num_attention_heads * gemma.head_dim) as u64;
        // Queries, keys and values, each as projected, rotated, by head and repeated; the result in slices, joined, in order.
        let around = 12 * attention + 4 * gemma.hidden_size as u64;
        // Gate, its GELU, up, their product; the stream, the input normalised, the output.
        let inside = 4 * gemma.intermediate_size as u64 + 4 * gemma.hidden_size as u64;
        let tokens = tokens as u64;
        let attend = around * tokens * self.value_bytes() + self.scores(gemma.num_attention_heads, tokens);
        attend.max(inside * tokens * self.value_bytes())
    }

    /// The upscaler, whose result has this shape; the CPU's is not counted apart.
    pub(super) fn upsampling_bytes(&self, latent: LatentShape) -> u64 {
        match self.upscaler_config() {
            Some(config) if self.gpu => config.bytes_on_gpu(latent.tokens() as u64, self.options.compute.dtype),
            _ => 0,
        }
    }

    /// Decoding the largest tile, beside what the tiles before it left; or blending it, or converting pixels.
    pub(super) fn decoding_bytes_on_gpu(&self, latent: LatentShape, shape: &PlanShape, tiles: &TileSizes) -> u64 {
        let scale = self.ltx.vae.scale();
        let lengths = tiles.lengths([latent.frames, latent.height, latent.width], scale);
        let [frames, height, width] = lengths.map(|axis| axis.longest as u64);
        let of = |frames: u64, height: u64, width: u64| 3 * 4 * frames * height * width;
        let frame = (shape.pixels.height * shape.pixels.width) as u64;
        let pixels = |frames: u64| (frames * scale.time as u64).min(shape.frames.get() as u64);
        let tile = of(pixels(frames), height * scale.height as u64, width * scale.width as u64);
        let decoder = self.decoder_activations(ClipShape { frames, height, width });
        if lengths.iter().all(|axis| axis.count == 1) {
            // The pixels; their magnitudes, which are summed, or what converts them.
            return decoder.max(tile + tile.max(rgb::bytes_on_device(tile, frame)));
        }
        let stretch = of(pixels(frames), frame, 1);
        let waiting = if lengths[0].count > 1 { of(tiles.frames.overlap as u64 + 1, frame, 1) } else { 0 };
        // A tile as it is, weighted, and summed with what waits; of a stretch in pieces the same, and joining them.
        let pieces = lengths[1].count * lengths[2].count > 1;
        let (alive, blending) = if pieces { (stretch, (3 * tile).max(2 * stretch)) } else { (0, 3 * tile) };
        waiting + alive + decoder.max(blending).max(stretch + rgb::bytes_on_device(stretch, frame))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Engine, EngineOptions, PlanShape};
    use candle_core::DType;
    use ltx_engine::{Axis, MemoryBudget, MemoryPlan, TileSizes};
    use ltx_nn::Compute;
    use ltx_testkit::tiny;
    use ltx_types::{FrameCount, ModelFiles, PixelShape, Stage, Stages};

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
        let parameters = |part: &str| report.used[part].parameters;
        let denoising = plan(None).stages.into_iter().find(|need| need.stage == Stage::Denoising).unwrap();
        // Stored in bf16, so nothing else lies there while it is loaded.
        assert_eq!(denoising.weights, 2 * parameters("transformer"));
        let decoding = plan(None).stages.into_iter().find(|need| need.stage == Stage::Decoding).unwrap();
        assert_eq!(decoding.weights, 2 * parameters("video VAE decoder"));
        assert!(plan(None).gpu && engine.sizes.small > 0 && engine.sizes.small < parameters("transformer"));
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

    /// What `scripts/gpu-check memory` relies on, in both dtypes that it runs.
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
            ..PlanShape::of_clip(
                PixelShape::new(64, 64, Stages::One).unwrap(),
                FrameCount::new(9).unwrap(),
                Stages::One,
            )
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
}
