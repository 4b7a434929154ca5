//! Halving and doubling of resolution by folding into channels.
//!
//! Must not know the blocks around it.

use super::patchify::{depth_to_space, space_to_depth};
use candle_core::Tensor;
use ltx_nn::{Conv3d, Conv3dConfig, Result, TimePadding, Vb};

/// Space-to-depth with a skip that averages groups of folded channels.
pub(super) struct Downsample {
    conv: Conv3d,
    outputs: usize,
    stride: [usize; 3],
}

impl Downsample {
    pub(super) fn load(vb: &Vb, inputs: usize, outputs: usize, stride: [usize; 3]) -> Result<Self> {
        let folded = stride.iter().product::<usize>();
        let config = Conv3dConfig::cube(inputs, outputs / folded, TimePadding::Causal);
        Ok(Self { conv: Conv3d::load(&vb.pp("conv").pp("conv"), config)?, outputs, stride })
    }

    /// A temporal stride first doubles the first frame.
    ///
    /// # Shapes
    /// `[B, inputs, F, H, W]` → `[B, outputs, F', H', W']`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = match self.stride[0] {
            2 => Tensor::cat(&[&x.narrow(2, 0, 1)?, x], 2)?,
            _ => x.clone(),
        };
        let folded = space_to_depth(&x, self.stride)?;
        let (b, channels, f, h, w) = folded.dims5()?;
        let skip = folded.reshape(vec![b, self.outputs, channels / self.outputs, f, h, w])?.mean(2)?;
        Ok((space_to_depth(&self.conv.forward(&x)?, self.stride)? + skip)?)
    }
}

/// Convolution and depth-to-space.
pub(super) struct Upsample {
    conv: Conv3d,
    stride: [usize; 3],
}

impl Upsample {
    pub(super) fn load(
        vb: &Vb,
        (inputs, outputs): (usize, usize),
        stride: [usize; 3],
        time: TimePadding,
    ) -> Result<Self> {
        let config = Conv3dConfig::cube(inputs, outputs * stride.iter().product::<usize>(), time);
        Ok(Self { conv: Conv3d::load(&vb.pp("conv").pp("conv"), config)?, stride })
    }

    /// A temporal stride drops the first frame it makes.
    ///
    /// # Shapes
    /// `[B, inputs, F, H, W]` → `[B, outputs, F', H', W']`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = depth_to_space(&self.conv.forward(x)?, self.stride)?;
        match self.stride[0] {
            2 => Ok(x.narrow(2, 1, x.dim(2)? - 1)?.contiguous()?),
            _ => Ok(x),
        }
    }
}
