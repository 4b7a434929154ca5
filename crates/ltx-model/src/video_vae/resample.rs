//! Halving of resolution by folding into channels.
//!
//! Must not know the blocks around it.

use super::patchify::fold;
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

    /// A temporal stride first doubles the first frame. The convolution need not see it doubled: as its past is that frame
    /// again, what it makes of the double is what it makes of the frame.
    ///
    /// # Shapes
    /// `[B, F, H, W, inputs]` → `[B, F', H', W', outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let folded = fold(x, self.stride)?;
        let (b, f, h, w, channels) = folded.dims5()?;
        let skip = folded.reshape(vec![b, f, h, w, self.outputs, channels / self.outputs])?.mean(5)?;
        Ok((fold(&self.conv.forward(x)?, self.stride)? + skip)?)
    }
}
