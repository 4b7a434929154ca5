//! Residual blocks: pixel norm, SiLU, convolution, twice, around a skip.
//!
//! Must not know the resolution.

use candle_core::Tensor;
use ltx_nn::{Conv3d, Conv3dConfig, Result, TimePadding, Vb};

/// Epsilon of every pixel norm in the VAE.
pub(super) const EPS: f64 = 1e-8;

/// A run of residual blocks (`res_x`).
pub(super) struct ResidualBlocks(Vec<(Conv3d, Conv3d)>);

impl ResidualBlocks {
    pub(super) fn load(vb: &Vb, channels: usize, layers: usize, time: TimePadding) -> Result<Self> {
        let config = Conv3dConfig::cube(channels, channels, time).normed(EPS);
        let layer = |i: usize| {
            let vb = vb.pp("res_blocks").pp(i.to_string());
            let conv = |name: &str| Conv3d::load(&vb.pp(name).pp("conv"), config);
            Ok((conv("conv1")?, conv("conv2")?))
        };
        Ok(Self((0..layers).map(layer).collect::<Result<_>>()?))
    }

    /// In the memory of `x`, which nothing else may hold.
    ///
    /// # Shapes
    /// `[B, F, H, W, channels]` → the same.
    pub(super) fn forward(&self, mut x: Tensor) -> Result<Tensor> {
        for (conv1, conv2) in &self.0 {
            let y = conv1.forward(&x)?;
            x = conv2.forward_onto(x, &y)?;
        }
        Ok(x)
    }
}
