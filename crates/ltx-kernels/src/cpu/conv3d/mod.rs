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

pub use packed::PackedConv;
pub use patch::ChannelAffine;
pub use plan::scratch_bytes;

use super::level::Level;
use crate::{KernelError, TimePadding};
use drive::Convolution;
use patch::Clip;
use target::Target;

/// `[B, F, H, W, I]` → `[B, F', H', W', O']`, stride 1, with bias. Unfolding by (time, rows, columns) turns `[F, H, W, O]` into
/// `[F·t − (t − 1), H·r, W·c, O / (t·r·c)]`.
#[derive(Clone, Copy)]
pub struct Conv3d<'a> {
    /// The instructions to use.
    pub level: Level,
    /// Weights, biases and sizes.
    pub packed: &'a PackedConv,
    /// Padding in time.
    pub time: TimePadding,
    /// Pixel norm with this epsilon, then SiLU, before the convolution.
    pub norm: Option<f32>,
    /// What every channel is multiplied by and what is added to it between the two.
    pub affine: Option<ChannelAffine<'a>>,
}

impl Conv3d<'_> {
    /// Writes the convolution of `x [batch, frames, height, width, inputs]`; with `add` it is added to what `out` holds.
    ///
    /// # Errors
    /// The sizes do not fit the weights, or `out` the result.
    pub fn compute(&self, x: &[f32], size: [usize; 4], out: &mut [f32], add: bool) -> Result<(), KernelError> {
        let ([batch, frames, height, width], channels) = (size, self.packed.inputs);
        let positions = frames * height * width;
        let affine_fits = self
            .affine
            .is_none_or(|by| by.scale.len() == channels && by.shift.len() == channels && self.norm.is_some());
        let fits = affine_fits
            && positions > 0
            && x.len() == batch * positions * channels
            && out.len().is_multiple_of(batch.max(1));
        KernelError::ensure(fits, "conv3d")?;
        let (len, out_len) = (positions * channels, out.len() / batch.max(1));
        for (data, out) in x.chunks(len.max(1)).zip(out.chunks_mut(out_len.max(1))) {
            let target = Target::new(out, self.packed, [frames, height, width], add);
            let mut target = target.ok_or(KernelError::Sizes { kernel: "conv3d" })?;
            let Self { packed, time, norm, affine, level } = *self;
            Convolution { packed, time, norm, affine, level }
                .run(Clip { data, frames, height, width, channels }, &mut target);
        }
        Ok(())
    }
}
