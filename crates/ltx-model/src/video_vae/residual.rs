//! Residual blocks: pixel norm, SiLU, convolution, twice, around a skip.
//!
//! Must not know the resolution.

use super::{
    config::Padding,
    timestep::{RowEmbedder, table},
};
use candle_core::Tensor;
use ltx_nn::{Conv3d, Result, Vb};

/// Epsilon of every pixel norm in the VAE.
pub(super) const EPS: f64 = 1e-8;

/// Shift and scale of the first layer, then of the second.
const ROWS: usize = 4;

/// A run of residual blocks (`res_x`).
pub(super) struct ResidualBlocks {
    layers: Vec<(Conv3d, Conv3d)>,
    /// Where blocks are told a timestep: its embedder, and the table of every block.
    timestep: Option<(RowEmbedder, Vec<Tensor>)>,
}

impl ResidualBlocks {
    pub(super) fn load(vb: &Vb, channels: usize, layers: usize, padding: Padding) -> Result<Self> {
        let config = padding.cube(channels, channels).normed(EPS);
        let layer = |i: usize| {
            let vb = vb.pp("res_blocks").pp(i.to_string());
            let conv = |name: &str| Conv3d::load(&vb.pp(name).pp("conv"), config);
            Ok((conv("conv1")?, conv("conv2")?))
        };
        Ok(Self { layers: (0..layers).map(layer).collect::<Result<_>>()?, timestep: None })
    }

    /// The same with blocks that are told a timestep.
    pub(super) fn load_conditioned(vb: &Vb, channels: usize, layers: usize, padding: Padding) -> Result<Self> {
        let blocks = vb.pp("res_blocks");
        let table = |i: usize| table(&blocks.pp(i.to_string()), "scale_shift_table", ROWS, channels);
        let tables = (0..layers).map(table).collect::<Result<_>>()?;
        let embedder = RowEmbedder::load(vb, "time_embedder", ROWS, channels)?;
        Ok(Self { timestep: Some((embedder, tables)), ..Self::load(vb, channels, layers, padding)? })
    }

    /// In the memory of `x`, which nothing else may hold. A timestep (0..1000) is read by blocks that are told one.
    ///
    /// # Shapes
    /// `[B, F, H, W, channels]` → the same.
    pub(super) fn forward(&self, mut x: Tensor, timestep: f32) -> Result<Tensor> {
        let Some((embedder, tables)) = &self.timestep else { return self.plain(x) };
        let rows = embedder.rows(timestep)?;
        for ((conv1, conv2), table) in self.layers.iter().zip(tables) {
            let by = (&rows + table)?;
            let y = conv1.modulated(&by.narrow(0, 0, 2)?)?.forward(&x)?;
            x = conv2.modulated(&by.narrow(0, 2, 2)?)?.forward_onto(x, &y)?;
        }
        Ok(x)
    }

    fn plain(&self, mut x: Tensor) -> Result<Tensor> {
        for (conv1, conv2) in &self.layers {
            let y = conv1.forward(&x)?;
            x = conv2.forward_onto(x, &y)?;
        }
        Ok(x)
    }
}
