//! 3-D convolution, stride 1, the same size out as in.
//!
//! Must not know whether it encodes or decodes.

use crate::{NnError, Result, Vb, kernels, pixel_norm, profile};
use candle_core::{DType, Tensor};

/// What stands before the first and after the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimePadding {
    /// The first frame, repeated in front: a frame sees itself and the past.
    Causal,
    /// The first frame in front and the last one behind.
    Replicate,
    /// Zeros on both sides.
    Zeros,
}

/// Sizes of a convolution. Space is always padded with zeros.
#[derive(Debug, Clone, Copy)]
pub struct Conv3dConfig {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Frames, rows and columns of the kernel; odd.
    pub kernel: [usize; 3],
    /// Padding in time.
    pub time: TimePadding,
}

impl Conv3dConfig {
    /// A 3×3×3 kernel.
    pub fn cube(inputs: usize, outputs: usize, time: TimePadding) -> Self {
        Self { inputs, outputs, kernel: [3, 3, 3], time }
    }
}

/// A 3-D convolution with bias.
#[derive(Debug, Clone)]
pub struct Conv3d {
    weight: Tensor,
    bias: Tensor,
    config: Conv3dConfig,
    /// Whether the weight is kept as the GPU's kernel reads it, and no longer as the file has it.
    arranged: bool,
}

impl Conv3d {
    /// Reads `weight [outputs, inputs, kt, kh, kw]` (a 2-D kernel: `[outputs, inputs, kh, kw]`) and `bias [outputs]`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`]; or a kernel side is even.
    pub fn load(vb: &Vb, config: Conv3dConfig) -> Result<Self> {
        let Conv3dConfig { inputs, outputs, kernel: [kt, kh, kw], .. } = config;
        if kt % 2 == 0 || kh % 2 == 0 || kw % 2 == 0 {
            return Err(NnError::unsupported("kernel_size", format!("{:?}", config.kernel), "odd sizes"));
        }
        let weight = match kt {
            1 => vb.tensor("weight", [outputs, inputs, kh, kw])?.unsqueeze(2)?,
            _ => vb.tensor("weight", [outputs, inputs, kt, kh, kw])?,
        };
        let bias = vb.tensor("bias", [outputs])?;
        Ok(match kernels::cuda::arranged(&weight)? {
            Some(weight) => Self { weight, bias, config, arranged: true },
            None => Self { weight, bias, config, arranged: false },
        })
    }

    /// # Shapes
    /// `[B, inputs, F, H, W]` → `[B, outputs, F, H, W]`.
    ///
    /// # Errors
    /// The channels are not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        profile::timed("conv3d", || self.operations(x), || self.dispatch(x))
    }

    /// Behind a pixel norm of that epsilon and SiLU.
    ///
    /// # Shapes
    /// As [`Self::forward`].
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_normed(&self, x: &Tensor, eps: f64) -> Result<Tensor> {
        match profile::timed("conv3d", || self.operations(x), || self.on_gpu(x, Some(eps)))? {
            Some(y) => Ok(y),
            None => self.forward(&pixel_norm(x, eps, true)?),
        }
    }

    fn operations(&self, x: &Tensor) -> usize {
        let Conv3dConfig { inputs, outputs, kernel, .. } = self.config;
        2 * kernel.iter().product::<usize>() * outputs * inputs * (x.elem_count() / inputs.max(1))
    }

    fn on_gpu(&self, x: &Tensor, eps: Option<f64>) -> Result<Option<Tensor>> {
        if !self.arranged {
            return Ok(None);
        }
        Ok(kernels::cuda::conv3d(x, (&self.weight, &self.bias), &self.config, eps)?)
    }

    fn dispatch(&self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            let wide = |t: &Tensor| t.to_dtype(DType::F32)?.contiguous();
            let op = kernels::Conv3d { kernel: self.config.kernel, time: self.config.time };
            let y = wide(x)?.apply_op3_no_bwd(&wide(&self.weight)?, &wide(&self.bias)?, &op)?;
            return Ok(y.to_dtype(x.dtype())?);
        }
        match self.on_gpu(x, None)? {
            Some(y) => Ok(y),
            None => self.forward_formula(x),
        }
    }

    /// The plain formula on any device: one 2-D convolution per kernel frame, summed.
    fn forward_formula(&self, x: &Tensor) -> Result<Tensor> {
        let [kt, kh, _] = self.config.kernel;
        let (b, _, frames, h, w) = x.dims5()?;
        let padded = self.pad_time(x)?;
        let mut sum: Option<Tensor> = None;
        for offset in 0..kt {
            let slice = padded.narrow(2, offset, frames)?.transpose(1, 2)?.flatten(0, 1)?.contiguous()?;
            let kernel = self.weight.narrow(2, offset, 1)?.squeeze(2)?.contiguous()?;
            let part = slice.conv2d(&kernel, kh / 2, 1, 1, 1)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        let sum = sum.ok_or_else(|| NnError::unsupported("kernel_size", 0, "at least 1"))?;
        let y = sum.reshape((b, frames, self.config.outputs, h, w))?.transpose(1, 2)?;
        Ok(y.broadcast_add(&self.bias.reshape((1, self.config.outputs, 1, 1, 1))?)?.contiguous()?)
    }

    fn pad_time(&self, x: &Tensor) -> Result<Tensor> {
        let kt = self.config.kernel[0];
        let (front, back) = match self.config.time {
            TimePadding::Causal => (kt - 1, 0),
            TimePadding::Replicate | TimePadding::Zeros => (kt / 2, kt / 2),
        };
        Ok(match self.config.time {
            TimePadding::Causal | TimePadding::Replicate => x.pad_with_same(2, front, back)?,
            TimePadding::Zeros => x.pad_with_zeros(2, front, back)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn kernel_equals_the_formula() -> Result<()> {
        for (kernel, time) in [
            ([3, 3, 3], TimePadding::Causal),
            ([3, 3, 3], TimePadding::Replicate),
            ([3, 3, 3], TimePadding::Zeros),
            ([1, 3, 3], TimePadding::Zeros),
            ([1, 1, 1], TimePadding::Zeros),
        ] {
            let [kt, kh, kw] = kernel;
            let config = Conv3dConfig { inputs: 5, outputs: 7, kernel, time };
            let weight = Tensor::randn(0f32, 1f32, (7, 5, kt, kh, kw), &Device::Cpu)?;
            let conv = Conv3d { weight, bias: Tensor::randn(0f32, 1f32, 7, &Device::Cpu)?, config, arranged: false };
            for (frames, height, width) in [(1, 1, 1), (4, 6, 9), (2, 3, 1), (3, 46, 61)] {
                let x = Tensor::randn(0f32, 1f32, (2, 5, frames, height, width), &Device::Cpu)?;
                let difference = (conv.forward(&x)? - conv.forward_formula(&x)?)?;
                let error = difference.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(error < 5e-5, "{kernel:?} {time:?} {frames}x{height}x{width}: {error}");
            }
        }
        Ok(())
    }
}
