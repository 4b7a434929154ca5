//! The token sequence of a stage: clean latents, denoise mask, positions; the clip's tokens first, keyframes behind.
//!
//! Must not know the transformer.

use super::ConditionedImage;
use crate::{
    Noise, Result, Sigmas,
    tokens::{Positions, patchify, unpatchify},
};
use candle_core::{Device, Tensor};
use ltx_nn::Taps;
use ltx_types::{ConditioningMode, FrameRate, LatentScale, LatentShape};

/// What the sampler works on, beside the noisy tokens themselves.
pub(crate) struct TokenState {
    pub(super) shape: LatentShape,
    /// `[1, T, C]`: zeros or the upsampled latent, images where they stand.
    pub(crate) clean: Tensor,
    /// What noise is mixed into, `[1, T, C]`; keyframes are zero here.
    pub(super) base: Tensor,
    /// 1 − strength per token.
    pub(crate) mask: Vec<f32>,
    pub(crate) positions: Positions,
    pub(super) held: Held,
}

/// How tokens are kept near their images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Predictions are blended with the clean latent; a token's timestep is its mask times sigma.
    Blended,
    /// A token's timestep is the smaller of mask and sigma; `front` tokens stand before the clip's.
    Points { front: usize },
}

impl TokenState {
    /// Lays out a stage: `base` is what the stage starts from (`[1, C, F, H, W]`; zeros in the first stage).
    pub(crate) fn new(
        base: &Tensor,
        images: &[ConditionedImage],
        mode: ConditioningMode,
        scale: LatentScale,
        rate: FrameRate,
    ) -> Result<Self> {
        let (_, _, frames, height, width) = base.dims5()?;
        let shape = LatentShape { frames, height, width };
        let base_tokens = patchify(base)?;
        let mut mask = vec![1f32; shape.tokens()];
        let mut positions = Positions::of_clip(shape, scale, rate);
        let mut first_frame = None;
        let mut keyframes = Vec::new();
        for image in images {
            let tokens = patchify(&image.latent)?;
            let kept = (1.0 - image.strength) as f32;
            if image.frame_index == 0 && mode == ConditioningMode::ReplaceFirst {
                mask[..shape.frame_tokens()].fill(kept);
                first_frame = Some(tokens);
            } else {
                positions.push_keyframe(image.frame_index, shape, scale, rate);
                mask.extend(std::iter::repeat_n(kept, shape.frame_tokens()));
                keyframes.push(tokens);
            }
        }
        let mut clean = vec![match first_frame {
            Some(first) => {
                let rest = shape.tokens() - shape.frame_tokens();
                Tensor::cat(&[first, base_tokens.narrow(1, shape.frame_tokens(), rest)?], 1)?
            }
            None => base_tokens.clone(),
        }];
        let mut noised = vec![base_tokens];
        for tokens in keyframes {
            noised.push(tokens.zeros_like()?);
            clean.push(tokens);
        }
        Ok(Self {
            shape,
            clean: Tensor::cat(&clean, 1)?,
            base: Tensor::cat(&noised, 1)?,
            mask,
            positions,
            held: Held::Blended,
        })
    }

    /// Tokens, keyframes included.
    pub(crate) fn tokens(&self) -> usize {
        self.mask.len()
    }

    /// Values that a token has.
    pub(crate) fn channels(&self) -> Result<usize> {
        Ok(self.clean.dim(2)?)
    }

    /// Values of the whole sequence.
    pub(crate) fn values(&self) -> usize {
        self.clean.elem_count()
    }

    /// Tokens of the clip's first latent frame, which lead.
    pub(crate) fn first_frame_tokens(&self) -> usize {
        self.shape.frame_tokens()
    }

    /// The mask as `[1, T, 1]`.
    pub(crate) fn mask_tensor(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.mask, (1, self.tokens(), 1), device)?)
    }

    /// Draws noise for the whole sequence and mixes it in: `lerp(base, noise, noise_scale)`, then towards the clean
    /// latent by the mask.
    pub(crate) fn noised(&self, noise: &mut Noise, noise_scale: f32, taps: &Taps) -> Result<Tensor> {
        let device = self.clean.device();
        let (_, tokens, channels) = self.clean.dims3()?;
        let noise = Tensor::from_vec(noise.draw(tokens * channels), (1, tokens, channels), device)?;
        let mask = self.mask_tensor(device)?;
        taps.record("noise_tokens", || Ok(noise.clone()))?;
        taps.record("noise_latent", || self.clip_latent(&noise))?;
        taps.record("clean_latent_tokens", || Ok(self.clean.clone()))?;
        taps.record("denoise_mask", || Ok(mask.clone()))?;
        taps.record("positions", || self.positions.to_tensor())?;
        // Both blends in the form that is exact at weight 1.
        let mixed = (&noise - ((&noise - &self.base)? * f64::from(1.0 - noise_scale))?)?;
        let towards_clean = (&mixed - &self.clean)?.broadcast_mul(&(1.0 - &mask)?)?;
        let initial = (mixed - towards_clean)?;
        taps.record("initial_tokens", || Ok(initial.clone()))?;
        Ok(initial)
    }

    /// Blends a prediction with the clean latent by the mask; where tokens are points it is as it was.
    pub(crate) fn hold(&self, denoised: &Tensor) -> Result<Tensor> {
        if self.held != Held::Blended {
            return Ok(denoised.clone());
        }
        let mask = self.mask_tensor(denoised.device())?;
        Ok((denoised.broadcast_mul(&mask)? + self.clean.broadcast_mul(&(1.0 - &mask)?)?)?)
    }

    /// Every token's timestep, 0..1, in a step at `sigma`.
    pub(crate) fn timesteps(&self, sigma: f32) -> Vec<f32> {
        match self.held {
            Held::Blended => self.mask.iter().map(|mask| mask * sigma).collect(),
            Held::Points { .. } => self.mask.iter().map(|mask| mask.min(sigma)).collect(),
        }
    }

    /// Whether guidance is of velocities, the unconditional one computed first, and not of clean predictions.
    pub(crate) fn guides_velocities(&self) -> bool {
        self.held != Held::Blended
    }

    /// The tokens behind the step at `sigma`, each its own share of the way to its clean estimate.
    ///
    /// # Shapes
    /// `x`, `clean [1, T, C]`, f32 → the same.
    pub(crate) fn towards(&self, x: &Tensor, clean: &Tensor, sigma: f32, sigmas: &Sigmas) -> Result<Tensor> {
        let shares = super::points::shares(&self.mask, sigma, sigmas);
        let shares = Tensor::from_vec(shares, (1, self.tokens(), 1), x.device())?;
        Ok((x + (clean - x)?.broadcast_mul(&shares)?)?)
    }

    /// The clip's own latent, keyframes dropped: `[1, T, C]` → `[1, C, F, H, W]`.
    pub(crate) fn clip_latent(&self, tokens: &Tensor) -> ltx_nn::Result<Tensor> {
        let front = match self.held {
            Held::Blended => 0,
            Held::Points { front } => front,
        };
        unpatchify(&tokens.narrow(1, front, self.shape.tokens())?, self.shape)
    }
}
