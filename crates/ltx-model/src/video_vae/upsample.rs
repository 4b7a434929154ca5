//! Doubling of resolution by unfolding channels, where the configuration says so beside a skip of the input unfolded alike.
//!
//! Must not know the blocks around it.

use super::config::Padding;
use candle_core::Tensor;
use ltx_nn::{Conv3d, Result, Vb};

/// Depth-to-space. Where time is doubled, the first frame is dropped.
pub(super) struct Upsample {
    conv: Conv3d,
    stride: [usize; 3],
    outputs: usize,
    residual: bool,
}

impl Upsample {
    pub(super) fn load(
        vb: &Vb,
        (inputs, outputs): (usize, usize),
        stride: [usize; 3],
        (padding, residual): (Padding, bool),
    ) -> Result<Self> {
        let folded = outputs * stride.iter().product::<usize>();
        let config = padding.cube(inputs, folded).unfolded(stride);
        Ok(Self { conv: Conv3d::load(&vb.pp("conv").pp("conv"), config)?, stride, outputs, residual })
    }

    /// # Shapes
    /// `[B, F, H, W, inputs]` → `[B, F', H', W', outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.residual { self.conv.forward_onto(self.skip(x)?, x) } else { self.conv.forward(x) }
    }

    /// The input unfolded, its channels repeated as a whole until they are as many as the outputs.
    fn skip(&self, x: &Tensor) -> Result<Tensor> {
        let (b, f, h, w, inputs) = x.dims5()?;
        let [st, sh, sw] = self.stride;
        let channels = inputs / (st * sh * sw);
        let times = self.outputs / channels.max(1);
        let unfolded = x.reshape(vec![b, f, h, w, channels, st, sh, sw])?.permute(vec![0, 1, 5, 2, 6, 3, 7, 4])?;
        let unfolded = unfolded.reshape((b, f * st, h * sh, w * sw, channels))?;
        let (f, h, w) = (f * st - (st - 1), h * sh, w * sw);
        let kept = unfolded.narrow(1, st - 1, f)?.unsqueeze(4)?.expand(vec![b, f, h, w, times, channels])?;
        Ok(kept.reshape((b, f, h, w, times * channels))?)
    }
}
