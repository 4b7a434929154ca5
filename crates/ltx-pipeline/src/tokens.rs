//! Tokens: patchify and unpatchify (patch size 1), and where each token sits in time and space.
//!
//! Must not know images or noise.

use candle_core::Tensor;
use ltx_nn::Result;
use ltx_types::{FrameRate, LatentScale, LatentShape};

/// `[1, C, F, H, W]` → `[1, F·H·W, C]`.
pub(crate) fn patchify(latent: &Tensor) -> Result<Tensor> {
    Ok(latent.flatten_from(2)?.transpose(1, 2)?.contiguous()?)
}

/// `[1, F·H·W, C]` → `[1, C, F, H, W]`.
pub(crate) fn unpatchify(tokens: &Tensor, shape: LatentShape) -> Result<Tensor> {
    let channels = tokens.dim(2)?;
    let latent = tokens.transpose(1, 2)?.contiguous()?;
    Ok(latent.reshape((1, channels, shape.frames, shape.height, shape.width))?)
}

/// Start and end of every token on three axes: seconds, pixels, pixels. f32, as rounding them further costs quality.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions {
    axes: [Vec<[f32; 2]>; 3],
}

impl Positions {
    /// The clip's own tokens: latent frame 0 covers frame 0, latent frame k the frames 8k−7 … 8k.
    pub(crate) fn of_clip(shape: LatentShape, scale: LatentScale, rate: FrameRate) -> Self {
        let mut positions = Self::default();
        for frame in 0..shape.frames {
            let first = (frame * scale.time + 1).saturating_sub(scale.time);
            positions.push_frame([first, frame * scale.time + 1], shape, scale, rate);
        }
        positions
    }

    /// A keyframe's tokens, appended: it covers the one frame it stands for.
    pub(crate) fn push_keyframe(&mut self, frame: usize, shape: LatentShape, scale: LatentScale, rate: FrameRate) {
        self.push_frame([frame, frame + 1], shape, scale, rate);
    }

    fn push_frame(&mut self, frames: [usize; 2], shape: LatentShape, scale: LatentScale, rate: FrameRate) {
        let seconds = frames.map(|frame| frame as f32 / rate.fps() as f32);
        let span = |i: usize, step: usize| [(i * step) as f32, ((i + 1) * step) as f32];
        for row in 0..shape.height {
            for column in 0..shape.width {
                self.axes[0].push(seconds);
                self.axes[1].push(span(row, scale.height));
                self.axes[2].push(span(column, scale.width));
            }
        }
    }

    /// The clip's own tokens as points: where their ranges begin, in seconds and pixels.
    pub(crate) fn push_clip_points(&mut self, shape: LatentShape, scale: LatentScale, rate: FrameRate) {
        for frame in 0..shape.frames {
            self.push_points((frame * scale.time + 1).saturating_sub(scale.time), shape, scale, rate);
        }
    }

    /// An appended image's tokens as points.
    pub(crate) fn push_image_point(&mut self, frame: usize, shape: LatentShape, scale: LatentScale, rate: FrameRate) {
        self.push_points(frame, shape, scale, rate);
    }

    fn push_points(&mut self, frame: usize, shape: LatentShape, scale: LatentScale, rate: FrameRate) {
        // A product with the reciprocal, as the reference has it.
        let seconds = frame as f32 * (1.0 / rate.fps()) as f32;
        for row in 0..shape.height {
            for column in 0..shape.width {
                let point = [seconds, (row * scale.height) as f32, (column * scale.width) as f32];
                self.axes.iter_mut().zip(point).for_each(|(axis, at)| axis.push([at, at]));
            }
        }
    }

    /// Points as the goldens hold them: `[1, 3, T]`.
    pub(crate) fn to_points(&self) -> Result<Tensor> {
        let values: Vec<f32> = self.axes.iter().flatten().map(|[start, _]| *start).collect();
        Ok(Tensor::from_vec(values, (1, 3, self.axes[0].len()), &candle_core::Device::Cpu)?)
    }

    /// The middle of every token's range, axis by axis.
    pub(crate) fn middles(&self) -> [Vec<f32>; 3] {
        self.axes.each_ref().map(|axis| axis.iter().map(|[start, end]| (start + end) / 2.0).collect())
    }

    /// `[1, 3, T, 2]`, as the goldens hold them.
    pub(crate) fn to_tensor(&self) -> Result<Tensor> {
        let values: Vec<f32> = self.axes.iter().flatten().flatten().copied().collect();
        Ok(Tensor::from_vec(values, (1, 3, self.axes[0].len(), 2), &candle_core::Device::Cpu)?)
    }
}
