//! The token sequence of LTX-Video 0.9.x: appended images first, then the clip, every token at a point; a token is as noisy as its
//! image allows, and moves from there to the next sigma below.
//! Source: diffusers' `LTXConditionPipeline` and `FlowMatchEulerDiscreteScheduler`.
//!
//! Must not know the transformer.

use super::{ConditionedImage, TokenState, drawn::PassNoise, state::Held};
use crate::{
    Result, Sigmas,
    tokens::{Positions, patchify},
};
use candle_core::Tensor;
use ltx_nn::Taps;
use ltx_types::{FrameRate, LatentScale, LatentShape};

/// What a second pass begins with.
#[derive(Clone, Copy)]
pub(crate) struct Upsampled<'a> {
    /// `[1, C, F, H, W]`.
    pub(crate) latent: &'a Tensor,
    /// The first of its noise levels.
    pub(crate) sigma: f32,
}

/// What is as good as equal among sigmas.
const NEAR: f32 = 1e-6;

impl TokenState {
    /// Lays out a clip that begins as noise, or as a latent with that share of noise, and what its sampling begins with, `[1, T, C]`.
    pub(crate) fn of_points(
        drawn: &PassNoise,
        from: Option<Upsampled<'_>>,
        images: &[ConditionedImage],
        (scale, rate): (LatentScale, FrameRate),
        taps: &Taps,
    ) -> Result<(Self, Tensor)> {
        let (_, _, frames, height, width) = drawn.clip.dims5()?;
        let shape = LatentShape { frames, height, width };
        let noise = patchify(&drawn.clip)?;
        let mut clip = match from {
            None => noise.clone(),
            Some(Upsampled { latent, sigma }) => {
                let (share, latent) = (f64::from(sigma), patchify(latent)?);
                ((&noise * share)? + (latent * f64::from(1.0 - sigma))?)?
            }
        };
        let mut clip_mask = vec![1f32; shape.tokens()];
        let (mut tokens, mut noises, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        let mut positions = Positions::default();
        for (image, drawn) in images.iter().zip(&drawn.images) {
            let latent = patchify(&image.latent)?;
            let kept = 1.0 - image.strength as f32;
            match &drawn.own {
                None => {
                    let frame = shape.frame_tokens();
                    let first = lerp(&clip.narrow(1, 0, frame)?, &latent, image.strength)?;
                    clip = Tensor::cat(&[first, clip.narrow(1, frame, shape.tokens() - frame)?], 1)?;
                    clip_mask[..frame].fill(kept);
                }
                Some(own) => {
                    let own = patchify(own)?;
                    tokens.push(lerp(&own, &latent, image.strength)?);
                    noises.push(own);
                    mask.extend(std::iter::repeat_n(kept, shape.frame_tokens()));
                    positions.push_image_point(image.frame_index, shape, scale, rate);
                }
            }
        }
        let front = mask.len();
        mask.extend(clip_mask);
        positions.push_clip_points(shape, scale, rate);
        tokens.push(clip);
        noises.push(noise);
        let initial = Tensor::cat(&tokens, 1)?;
        let state = Self {
            shape,
            clean: initial.clone(),
            base: initial.clone(),
            mask,
            positions,
            held: Held::Points { front },
        };
        taps.record("noise_tokens", || Ok(Tensor::cat(&noises, 1)?))?;
        taps.record("noise_latent", || Ok(drawn.clip.clone()))?;
        let mask = state.mask_tensor(initial.device())?;
        taps.record("denoise_mask", || Ok(mask.clone()))?;
        taps.record("positions", || state.positions.to_points())?;
        taps.record("initial_tokens", || Ok(initial.clone()))?;
        Ok((state, initial))
    }
}

/// The way from `from` to `to`, in torch's form: exact at both ends.
fn lerp(from: &Tensor, to: &Tensor, weight: f64) -> Result<Tensor> {
    let way = (to - from)?;
    Ok(if weight < 0.5 { (from + (way * weight)?)? } else { (to - (way * (1.0 - weight))?)? })
}

/// How far every token goes from its value towards its clean prediction in the step at `sigma`: its share of its own noise, 0 where
/// it is not to move yet.
pub(super) fn shares(mask: &[f32], sigma: f32, sigmas: &Sigmas) -> Vec<f32> {
    let share = |mask: &f32| {
        if *mask <= 0.0 || sigma - NEAR >= *mask {
            return 0.0;
        }
        let own = mask.min(sigma);
        let below = sigmas.values().iter().filter(|sigma| **sigma < own - NEAR);
        let next = below.copied().fold(0.0, f32::max);
        (own - next) / own
    };
    mask.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_types::SigmaList;

    #[test]
    fn tokens_wait_until_the_schedule_reaches_them_and_then_go_to_the_next_sigma() {
        let sigmas = Sigmas::from(&SigmaList::new("sigmas", &[1.0, 0.8, 0.4, 0.0]).unwrap());
        let mask = [1.0, 0.0, 0.6, 0.8];
        let close = |found: Vec<f32>, expected: [f32; 4]| {
            assert!(found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-6), "{found:?}");
        };
        close(shares(&mask, 1.0, &sigmas), [0.2, 0.0, 0.0, 0.0]);
        close(shares(&mask, 0.8, &sigmas), [0.5, 0.0, 0.0, 0.5]);
        close(shares(&mask, 0.4, &sigmas), [1.0, 0.0, 1.0, 1.0]);
        // What is held does not move at a level that is as good as 0 either.
        let low = Sigmas::from(&SigmaList::new("sigmas", &[1.0, 1e-8, 0.0]).unwrap());
        close(shares(&mask, 1e-8, &low), [1.0, 0.0, 1.0, 1.0]);
    }
}
