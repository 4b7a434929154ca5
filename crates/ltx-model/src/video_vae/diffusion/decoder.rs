//! Latent to features, and features with noise to pixels.
//!
//! Must not know how tiles are cut or blended.

use super::{
    block::{Block, EPS},
    config::{DiffusionConfig, RAISING},
    features::{Features, TilePlace},
    frames::Frames,
    geometry::WHOLE,
    modulation::STATED,
    upsample::Upsample,
};
use crate::{
    timestep_embedding::TimestepEmbedder,
    video_vae::{
        LatentStatistics,
        patchify::{patchify, unpatchify},
    },
};
use candle_core::{DType, Device, Tensor};
use ltx_nn::{Compute, Linear, NnError, Result, RmsNorm, Sides, Taps, Vb};
use ltx_types::LatentShape;

/// The timestep of the one step: pure noise.
const TIMESTEP: f64 = 1.0;

/// A block of the last stage, with what it adds of the features first.
struct Guided {
    context: Linear,
    block: Block,
}

/// The decoder. It computes in f32, on the CPU.
pub struct DiffusionDecoder {
    config: DiffusionConfig,
    statistics: LatentStatistics,
    conv_in: Linear,
    raising: Vec<(Vec<Block>, Upsample)>,
    timestep: Timestep,
    noise_in: Linear,
    drawing: Vec<Guided>,
    norm_out: RmsNorm,
    conv_out: Linear,
}

/// Noise of a tile, in f32: `[3, F, H, W]` values for frames of so many rows and columns.
pub type TileNoise<'a> = &'a mut dyn FnMut([usize; 3]) -> Vec<f32>;

impl DiffusionDecoder {
    /// Reads all of it from the root of its file.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`]; or layers are to lie on a GPU.
    pub(in crate::video_vae) fn load(root: &Vb, config: &DiffusionConfig) -> Result<Self> {
        if !root.compute().device.is_cpu() {
            let supported = "the CPU; on a GPU the convolutional video VAE of LTX-2.5";
            return Err(NnError::unsupported("device of a video VAE with a diffusion decoder", "a GPU", supported));
        }
        let vae = root.with_dtype(DType::F32).exact().pp("vae");
        let vb = vae.pp("decoder");
        let numbered = |name: &str, i: usize| vb.pp(name).pp(i.to_string());
        let mut raising = Vec::with_capacity(RAISING);
        for (i, stage) in config.raising.into_iter().enumerate() {
            let at = numbered("det_stages", i);
            let block = |j: usize| Block::load(&at.pp(j.to_string()), stage);
            let blocks = (0..stage.depth).map(block).collect::<Result<Vec<_>>>()?;
            let next = config.raising.get(i + 1).map_or(config.context, |stage| stage.channels);
            let upsample = Upsample::load(&numbered("upsamples", i), (stage.channels, next), config.strides[i])?;
            raising.push((blocks, upsample));
        }
        let stage = config.drawing;
        let guided = |i: usize| {
            let vb = numbered("diff_blocks", i);
            Ok(Guided {
                context: Linear::load(&vb.pp("context_proj"), config.context, stage.channels)?,
                block: Block::load_told(&vb, stage)?,
            })
        };
        Ok(Self {
            statistics: LatentStatistics::load(&vae, config.latent_channels)?,
            conv_in: Linear::load(&vb.pp("conv_in"), config.latent_channels, config.raising[0].channels)?,
            raising,
            timestep: Timestep::load(&vb, config)?,
            noise_in: Linear::load(&vb.pp("conv_in_x_t"), config.folded(), stage.channels)?,
            drawing: (0..stage.depth).map(guided).collect::<Result<Vec<_>>>()?,
            norm_out: RmsNorm::load(&vb.pp("norm_out"), stage.channels, EPS)?,
            conv_out: Linear::load(&vb.pp("conv_out"), stage.channels, config.folded())?,
            config: config.clone(),
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &DiffusionConfig {
        &self.config
    }

    /// Features of a clip, continued to what positions see. `before_frame` may stop it.
    ///
    /// # Shapes
    /// `[1, latent_channels, F, H, W]`, normalised.
    ///
    /// # Errors
    /// The channels do not fit, or `before_frame` failed.
    pub fn features<E: From<NnError>>(
        &self,
        latent: &Tensor,
        taps: &Taps,
        before_frame: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<Features, E> {
        let (mut x, content) = self.begin(latent)?;
        taps.record("conv_in", || x.whole())?;
        for (i, (blocks, upsample)) in self.raising[..WHOLE].iter().enumerate() {
            for block in blocks {
                block.forward(&mut x, (Sides::Shifted, None), before_frame)?;
            }
            x = upsample.forward(x, true)?;
            taps.record(&format!("up{i}"), || x.whole())?;
        }
        Ok(Features { cells: x, content })
    }

    /// The latent's frames in the first stage's channels, and frames of cells that are the clip's own.
    fn begin(&self, latent: &Tensor) -> Result<(Frames, usize)> {
        let latent = self.statistics.unnormalize(latent)?;
        let (_, channels, frames, height, width) = latent.dims5()?;
        let padded = self.config.padded(LatentShape { frames, height, width });
        let axes = [(padded.latent.height, height), (padded.latent.width, width)];
        let latent = latent.squeeze(0)?.permute((1, 2, 3, 0))?.contiguous()?;
        let mut latent = latent;
        for (axis, ((length, given), before)) in axes.into_iter().zip(padded.before).enumerate() {
            if length != given {
                let places = (0..length).map(|at| (at.saturating_sub(before)).min(given - 1) as u32);
                let places = Tensor::from_vec(places.collect(), length, &Device::Cpu)?;
                latent = latent.index_select(&places, axis + 1)?;
            }
        }
        let positions = padded.latent.height * padded.latent.width;
        let frame = |at: usize| {
            let frame = latent.get(at.min(frames - 1))?.reshape((1, positions, channels))?;
            self.conv_in.forward(&frame.contiguous()?)
        };
        let all = padded.latent.frames + self.config.ghosts();
        let frames = (0..all).map(frame).collect::<Result<Vec<_>>>()?;
        let clip = Frames { frames, rows: padded.latent.height, columns: padded.latent.width };
        Ok((clip, self.config.cells(padded.latent)[0]))
    }

    /// Pixels of a tile. `noise` is asked once; `before_frame` may stop it.
    ///
    /// # Shapes
    /// `[1, 3, F, H, W]`, f32, about −1..1, not clamped; two frames a cell, the clip's first cell one.
    ///
    /// # Errors
    /// The tile lies outside the features or is smaller than what its positions see, or `before_frame` failed.
    pub fn tile<E: From<NnError>>(
        &self,
        features: &Features,
        place: &TilePlace,
        noise: TileNoise<'_>,
        taps: &Taps,
        before_frame: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<Tensor, E> {
        let (is_first, is_last) = (place.frames.start == 0, place.frames.end == features.content);
        let cells = self.guide(features, place, is_last, taps, before_frame)?;
        let mut x = self.noise(&cells, (place, is_first), noise)?;
        taps.record("conv_in_x_t", || x.whole())?;
        let rows = self.timestep.rows()?;
        for (i, Guided { context, block }) in self.drawing.iter().enumerate() {
            self.add_context(&mut x, &cells, context, is_first, before_frame)?;
            block.forward(&mut x, (Sides::Repeated, Some(&rows)), before_frame)?;
            taps.record(&format!("diff{i}"), || x.whole())?;
        }
        Ok(self.pixels(x, self.frames_of(place))?)
    }

    /// A tile's cells through the last raising stage, without those of the copies.
    fn guide<E: From<NnError>>(
        &self,
        features: &Features,
        place: &TilePlace,
        is_last: bool,
        taps: &Taps,
        before_frame: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<Frames, E> {
        let [frames, rows, columns] = features.clip();
        let within = place.frames.end <= frames && place.rows.end <= rows && place.columns.end <= columns;
        let lengths = [place.frames.len(), place.rows.len(), place.columns.len()];
        let drawn = place.columns.len() * self.config.strides[WHOLE][2];
        let seen = lengths.iter().zip(self.config.least_tile()).all(|(length, least)| *length >= least);
        if !within || !seen || !self.config.stretches_over(drawn) {
            let supported = format!("at least {:?} within {:?}", self.config.least_tile(), features.clip());
            return Err(NnError::unsupported("cells of a decoder's tile", format!("{place:?}"), supported).into());
        }
        let end = if is_last { features.cells.frames.len() } else { place.frames.end };
        let mut cells = features.cells.part(place.frames.start..end, place.rows.clone(), place.columns.clone())?;
        for block in &self.raising[WHOLE].0 {
            block.forward(&mut cells, (Sides::Shifted, None), before_frame)?;
        }
        taps.record("stage3", || cells.whole())?;
        cells.frames.truncate(self.config.kept_cells(cells.frames.len(), is_last));
        Ok(cells)
    }

    /// Frames that a tile's pixels have, as many as the kept ones of its cells.
    fn frames_of(&self, place: &TilePlace) -> usize {
        place.frames.len() * self.config.strides[WHOLE][0] - usize::from(place.frames.start == 0)
    }

    /// The tile's noise in the last stage's channels.
    fn noise(&self, cells: &Frames, (place, is_first): (&TilePlace, bool), noise: TileNoise<'_>) -> Result<Frames> {
        let ([time, sr, sc], patch) = (self.config.strides[WHOLE], self.config.patch_size);
        let (rows, columns) = (cells.rows * sr, cells.columns * sc);
        let frames = cells.frames.len() * time - usize::from(is_first);
        debug_assert!(frames >= self.frames_of(place));
        let (height, width) = (rows * patch, columns * patch);
        let values = Tensor::from_vec(noise([frames, height, width]), (1, 3, frames, height, width), &Device::Cpu)?;
        let frame = |at: usize| {
            let folded = patchify(&values.narrow(2, at, 1)?, patch)?.contiguous()?;
            self.noise_in.forward(&folded.reshape((1, rows * columns, self.config.folded()))?)
        };
        Ok(Frames { frames: (0..frames).map(frame).collect::<Result<Vec<_>>>()?, rows, columns })
    }

    /// Adds to every frame what a block makes of the features there.
    fn add_context<E: From<NnError>>(
        &self,
        x: &mut Frames,
        cells: &Frames,
        context: &Linear,
        is_first: bool,
        before_frame: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let upsample = &self.raising[WHOLE].1;
        let mut targets = x.frames.iter_mut();
        for (i, cell) in cells.frames.iter().enumerate() {
            before_frame()?;
            let raised = upsample.frame(cell, cells.rows, cells.columns)?;
            for raised in raised.into_iter().skip(upsample.dropped(is_first && i == 0)) {
                if let Some(target) = targets.next() {
                    *target = (&*target + context.forward(&raised)?).map_err(NnError::from)?;
                }
            }
        }
        Ok(())
    }

    /// The first `count` frames as pixels.
    fn pixels(&self, x: Frames, count: usize) -> Result<Tensor> {
        let Frames { frames, rows, columns } = x;
        let pixels = |frame: Tensor| {
            let folded = self.conv_out.forward(&self.norm_out.forward(&frame)?)?;
            unpatchify(&folded.reshape((1, 1, rows, columns, self.config.folded()))?, self.config.patch_size)
        };
        let frames = frames.into_iter().take(count).map(pixels).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&frames, 2)?)
    }
}

/// What the last stage is told of the one timestep.
struct Timestep {
    embedder: TimestepEmbedder,
    rows: Linear,
    /// As it is embedded.
    scaled: f32,
    channels: usize,
    compute: Compute,
}

impl Timestep {
    fn load(vb: &Vb, config: &DiffusionConfig) -> Result<Self> {
        let (mlp, channels) = (vb.pp("t_embedder").pp("mlp"), config.drawing.channels);
        Ok(Self {
            embedder: TimestepEmbedder::of_layers([&mlp.pp("0"), &mlp.pp("2")], config.embedding)?,
            rows: Linear::load(&vb.pp("shared_adaln").pp("proj"), config.embedding, STATED * channels)?,
            scaled: (config.multiplier * TIMESTEP) as f32,
            channels,
            compute: vb.compute().clone(),
        })
    }

    /// Its rows before a block's own table, `[7, channels]`.
    fn rows(&self) -> Result<Tensor> {
        let embedded = self.embedder.forward(&[self.scaled], &self.compute)?;
        Ok(self.rows.forward(&embedded.silu()?)?.reshape((STATED, self.channels))?)
    }
}
