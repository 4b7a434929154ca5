//! 3-D convolution without an unrolled copy of its input: patches that a core's cache holds are copied with their padding, and
//! multiplied with packed weights, position by position or in Winograd's way.
//!
//! Must not know whether it encodes or decodes.

mod direct;
mod drive;
mod packed;
mod patch;
mod plan;
mod scratch;
mod target;
mod winograd;

pub(crate) use packed::PackedConv;
pub(crate) use plan::scratch_bytes;

use super::{ensure, f32_slice, level::Level};
use crate::TimePadding;
use candle_core::{CpuStorage, CustomOp1, Error, InplaceOp2, Layout, Result, Shape};
use drive::Convolution;
use patch::Clip;
use target::Target;

/// `[B, F, H, W, I]` → `[B, F', H', W', O']`, stride 1, with bias; as an in-place operation it adds to what is there.
/// Unfolding by (time, rows, columns) turns `[F, H, W, O]` into `[F·t − (t − 1), H·r, W·c, O / (t·r·c)]`.
pub(crate) struct Conv3d<'a> {
    pub(crate) packed: &'a PackedConv,
    pub(crate) time: TimePadding,
    /// Pixel norm with this epsilon, then SiLU, before the convolution.
    pub(crate) norm: Option<f32>,
    pub(crate) level: Level,
}

impl CustomOp1 for Conv3d<'_> {
    fn name(&self) -> &'static str {
        "conv3d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = self.output_shape(layout)?;
        let mut out = vec![0f32; shape.elem_count()];
        self.batch(f32_slice(x, layout)?, layout, &mut out, false)?;
        Ok((CpuStorage::F32(out), shape))
    }
}

impl InplaceOp2 for Conv3d<'_> {
    fn name(&self) -> &'static str {
        "conv3d-add"
    }

    fn cpu_fwd(&self, sum: &mut CpuStorage, sum_layout: &Layout, x: &CpuStorage, layout: &Layout) -> Result<()> {
        ensure(sum_layout.shape() == &self.output_shape(layout)?, "conv3d")?;
        let offsets = sum_layout.contiguous_offsets().ok_or_else(|| Error::msg("conv3d: the sum is not contiguous"))?;
        let CpuStorage::F32(sum) = sum else { return Err(Error::msg("conv3d: the sum is not f32")) };
        self.batch(f32_slice(x, layout)?, layout, &mut sum[offsets.0..offsets.1], true)
    }
}

impl Conv3d<'_> {
    fn output_shape(&self, layout: &Layout) -> Result<Shape> {
        let (batch, frames, height, width, inputs) = layout.shape().dims5()?;
        ensure(inputs == self.packed.inputs && frames * height * width > 0, "conv3d")?;
        let [t, r, c] = self.packed.unfold;
        let channels = self.packed.outputs / (t * r * c);
        Ok(Shape::from((batch, frames * t - (t - 1), height * r, width * c, channels)))
    }

    fn batch(&self, x: &[f32], layout: &Layout, out: &mut [f32], add: bool) -> Result<()> {
        let (batch, frames, height, width, channels) = layout.shape().dims5()?;
        let (size, out_size) = (x.len() / batch.max(1), out.len() / batch.max(1));
        for (data, out) in x.chunks(size.max(1)).zip(out.chunks_mut(out_size.max(1))) {
            let target = Target::new(out, self.packed, [frames, height, width], add);
            let mut target = target.ok_or_else(|| Error::msg("conv3d: the output has another size"))?;
            let Self { packed, time, norm, level } = *self;
            Convolution { packed, time, norm, level }.run(Clip { data, frames, height, width, channels }, &mut target);
        }
        Ok(())
    }
}
