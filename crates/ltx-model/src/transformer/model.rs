//! The transformer from latent tokens to velocities.
//!
//! Must not know guidance: an unconditional or perturbed pass is one more call.

use super::{
    TransformerConfig,
    adaln::AdaLnSingle,
    block::{Block, Shared},
    captions::CaptionProjection,
    timesteps::TokenTimesteps,
};
use crate::{layers::Layers, part::Module};
use candle_core::{DType, Tensor};
use ltx_nn::{
    Compute, Linear, Modulation, NnError, Recorder, Result, RopePairs, RopeTable, ShiftScale, Taps, Vb,
    fractional_rope_table, layer_norm_modulate, matrix::Use,
};
use ltx_types::Part;

/// Blocks that stay in memory between passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBlocks {
    /// How many; the others are loaded anew in every pass.
    pub count: usize,
    /// What they are loaded for: [`Use::Stays`], or [`Use::Compact`] where memory is short. Results are the same.
    pub usage: Use,
}

/// The blocks whose self-attention one pass skips.
#[derive(Debug, Clone, Copy)]
pub struct BlockSkips<'a>(pub &'a [usize]);

impl BlockSkips<'_> {
    /// Skips nothing.
    pub const NONE: Self = Self(&[]);
}

/// One pass' inputs.
pub struct TransformerInput<'a> {
    /// Noisy tokens, `[1, T, in_channels]`, f32.
    pub tokens: &'a Tensor,
    /// Timestep of every token: denoise mask × sigma, 0..1.
    pub timesteps: &'a TokenTimesteps,
    /// The step's sigma; the text context is modulated by it whatever the mask.
    pub sigma: f32,
    /// Text context, `[1, S, context_width]`.
    pub context: &'a Tensor,
    /// From [`Transformer::rope`].
    pub rope: &'a RopeTable,
    /// How many tokens, the first ones, are of the clip's first latent frame.
    pub first_frame: usize,
    /// Self-attentions to skip (STG).
    pub skips: BlockSkips<'a>,
}

/// The video stream of a transformer.
pub struct Transformer {
    patchify_proj: Linear,
    /// Added to the tokens of the first latent frame, where the family does so: `[1, dim]`.
    keyframe_mark: Option<Tensor>,
    adaln_single: AdaLnSingle,
    prompt_adaln_single: Option<AdaLnSingle>,
    caption_projection: Option<CaptionProjection>,
    blocks: Layers<Block>,
    scale_shift_table: Tensor,
    proj_out: Linear,
    config: TransformerConfig,
    compute: Compute,
    /// Whether all blocks are nothing but launches of kernels.
    repeats: bool,
    recorder: Recorder,
}

impl Module for Transformer {
    const PART: Part = Part::Transformer;
    const MARK: &'static str = "model.diffusion_model.transformer_blocks.";
    type Config = TransformerConfig;

    fn load(root: &Vb, config: &TransformerConfig) -> Result<Self> {
        let all = HeldBlocks { count: config.num_layers, usage: Use::Stays };
        let transformer = Self::open(root, config, all)?;
        transformer.load_held()?;
        Ok(transformer)
    }
}

impl Transformer {
    /// Where the official keys of the transformer begin, and with them those of the text connector; a dot follows.
    pub const PREFIX: &'static str = "model.diffusion_model";

    /// Loads the blocks that stay, ahead of the first pass.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    pub fn load_held(&self) -> Result<()> {
        self.blocks.load_held()
    }

    /// Loads all but the blocks from the root of a checkpoint. The first pass loads those; `held` of them stay from then on,
    /// the others are loaded anew in every pass, each while the one before it computes.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    pub fn open(root: &Vb, config: &TransformerConfig, held: HeldBlocks) -> Result<Self> {
        let vb = root.pp(Self::PREFIX);
        let (dim, layers) = (config.inner_dim(), config.num_layers);
        let blocks = {
            let config = config.clone();
            let vb = vb.pp("transformer_blocks").used(held.usage);
            Layers::new(vb, (layers, held.count), move |vb, _| Block::load(vb, &config))
        };
        // What is before and behind the blocks stays exact: it is little work, and everything follows from it.
        let vb = vb.exact();
        let prompt_adaln = || AdaLnSingle::load(&vb.pp("prompt_adaln_single"), dim, 2);
        let keyframe_mark = || vb.tensor("keyframes_abs_pos_embedding", [1, dim]);
        let captions = |width| CaptionProjection::load(&vb.pp("caption_projection"), width, dim);
        Ok(Self {
            keyframe_mark: config.use_keyframes_abs_pos_embedding.then(keyframe_mark).transpose()?,
            patchify_proj: Linear::load(&vb.pp("patchify_proj"), config.in_channels, dim)?,
            adaln_single: AdaLnSingle::load(&vb.pp("adaln_single"), dim, config.adaln_rows())?,
            prompt_adaln_single: config.prompt_adaln().then(prompt_adaln).transpose()?,
            caption_projection: config.caption_projection.map(captions).transpose()?,
            blocks,
            scale_shift_table: vb.tensor("scale_shift_table", [2, dim])?,
            proj_out: Linear::load(&vb.pp("proj_out"), dim, config.out_channels)?,
            config: config.clone(),
            // Neighbours are rotated by the plain formula there.
            repeats: vb.compute().device.is_cuda()
                && vb.compute().dtype == DType::BF16
                && config.rope_pairs == RopePairs::Halves,
            recorder: Recorder::new(vb.compute().graphs),
            compute: vb.compute().clone(),
        })
    }

    /// The configuration it was loaded with.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// RoPE of a token sequence, computed once per request.
    ///
    /// # Shapes
    /// `positions[axis][token]`: where each token sits (the middle of its range, where it has one), in seconds, pixels and pixels.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn rope(&self, positions: &[Vec<f32>; 3]) -> Result<RopeTable> {
        let config = &self.config;
        let grid = (config.positional_embedding_theta, config.frequency_precision());
        let width = (config.inner_dim(), config.num_attention_heads);
        let maxima = &config.positional_embedding_max_pos;
        Ok(fractional_rope_table(positions, maxima, grid, width, &self.compute)?.of_pairs(config.rope_pairs))
    }

    /// The velocity of every token. `before_block` is told each block's number and may stop the pass.
    ///
    /// # Shapes
    /// `[1, T, out_channels]`, f32.
    ///
    /// # Errors
    /// The inputs' sizes do not fit each other; a block cannot be loaded; `before_block` failed.
    pub fn forward<E: From<NnError>>(
        &self,
        input: &TransformerInput<'_>,
        taps: &Taps,
        before_block: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Tensor, E> {
        let (x, embedded, shared) = self.begin(input, taps)?;
        let x = match self.blocks.all() {
            Some(blocks) if self.repeats && !taps.is_on() => {
                self.all_blocks(&blocks, (x, &shared), input.skips, before_block)?
            }
            _ => self.each_block(x, &shared, input.skips, taps, before_block)?,
        };
        Ok(self.output(&x, &embedded, input.timesteps)?)
    }

    /// All blocks as one computation, whose launches a GPU is told once and then repeats. They are in its queue long before
    /// it is done with them, so whoever may stop the pass is asked beforehand.
    fn all_blocks<E: From<NnError>>(
        &self,
        blocks: &[&Block],
        (x, shared): (Tensor, &Shared),
        skips: BlockSkips<'_>,
        mut before_block: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Tensor, E> {
        (0..blocks.len()).try_for_each(&mut before_block)?;
        let inputs: Vec<_> = [x].into_iter().chain(shared.tensors()).collect();
        let work = |inputs: &[Tensor]| {
            let shared = shared.with_tensors(&inputs[1..])?;
            let pass = |x: Tensor, (i, block): (usize, &&Block)| {
                block.forward(&x, &shared, skips.0.contains(&i), &Taps::off())
            };
            blocks.iter().enumerate().try_fold(inputs[0].clone(), pass)
        };
        Ok(self.recorder.run(skips.0, &inputs, work)?)
    }

    fn each_block<E: From<NnError>>(
        &self,
        mut x: Tensor,
        shared: &Shared,
        skips: BlockSkips<'_>,
        taps: &Taps,
        before_block: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Tensor, E> {
        self.blocks.for_each(before_block, |i, block| {
            x = block.forward(&x, shared, skips.0.contains(&i), &taps.within(format!("block{i}_")))?;
            Ok(())
        })?;
        Ok(x)
    }

    /// What the blocks work on: the projected tokens, the embedded timesteps, and what all blocks share.
    fn begin(&self, input: &TransformerInput<'_>, taps: &Taps) -> Result<(Tensor, Tensor, Shared)> {
        let dim = self.config.inner_dim();
        let scaled = |timestep: f32| timestep * self.config.timestep_scale_multiplier as f32;
        let timesteps: Vec<f32> = input.timesteps.values().iter().map(|t| scaled(*t)).collect();
        let modulation = self.adaln_single.forward(&timesteps, &self.compute)?;
        let prompt =
            self.prompt_adaln_single.as_ref().map(|adaln| adaln.forward(&[scaled(input.sigma)], &self.compute));
        let prompt = prompt.transpose()?.map(|prompt| prompt.rows);
        let x = self.patchify_proj.forward(&input.tokens.to_dtype(self.compute.dtype)?)?;
        let x = self.marked(x, input.first_frame)?;
        taps.record("patchify_out", || Ok(x.clone()))?;
        taps.record("adaln", || input.timesteps.spread(&modulation.rows))?;
        taps.record("embedded_timestep", || input.timesteps.spread(&modulation.embedded))?;
        if let Some(rows) = &prompt {
            taps.record("prompt_adaln", || Ok(rows.unsqueeze(0)?))?;
        }

        let prompt = prompt.map(|rows| Modulation::new(&rows.reshape((1, 2, dim))?, None)).transpose()?;
        let context = input.context.to_dtype(self.compute.dtype)?;
        let shared = Shared {
            modulation: input.timesteps.modulation(&modulation.rows.reshape(((), self.config.adaln_rows(), dim))?)?,
            prompt,
            context: match &self.caption_projection {
                Some(captions) => captions.forward(&context)?,
                None => context,
            },
            rope: input.rope.clone(),
        };
        Ok((x, modulation.embedded, shared))
    }

    /// The projected tokens, the first `count` with the mark of a single frame, where the family has one.
    fn marked(&self, x: Tensor, count: usize) -> Result<Tensor> {
        let Some(mark) = &self.keyframe_mark else { return Ok(x) };
        let rest = x.dim(1)? - count;
        let first = x.narrow(1, 0, count)?.broadcast_add(mark)?;
        Ok(Tensor::cat(&[first, x.narrow(1, count, rest)?], 1)?)
    }

    /// Layer norm, modulated by the embedded timestep, projected to latent channels.
    fn output(&self, x: &Tensor, embedded: &Tensor, timesteps: &TokenTimesteps) -> Result<Tensor> {
        // Both rows begin as the embedded timestep itself.
        let (rows, kernels) = (Tensor::stack(&[embedded, embedded], 1)?, self.compute.kernels);
        let by = timesteps.modulation(&rows)?.plus(&self.scale_shift_table, kernels)?;
        let x = layer_norm_modulate(x, &by, ShiftScale { shift: 0, scale: 1 }, self.config.norm_eps, kernels)?;
        Ok(self.proj_out.forward(&x)?.to_dtype(DType::F32)?)
    }
}
