//! The two layouts of a clip: channels first, as latents and pixels are handed around, and last, as layers compute.
//!
//! Must not know what the channels hold.

use candle_core::Tensor;
use ltx_nn::Result;

/// `[B, C, F, H, W]` → `[B, F, H, W, C]`.
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 2, 3, 4, 1))?.contiguous()?)
}

/// `[B, F, H, W, C]` → `[B, C, F, H, W]`, always a copy: layers may go on in the memory of `x`.
pub(crate) fn channels_first(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 4, 1, 2, 3))?.force_contiguous()?)
}
