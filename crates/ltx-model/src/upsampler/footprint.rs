//! What the upsampler holds at its worst moment beside weights, counted along [`super::Upsampler::forward`].
//!
//! Must not know budgets.

use super::UpsamplerConfig;
use crate::footprint::{DeviceKind, Placement};
use candle_core::DType;

/// Clips of the inner width in the compute dtype: a block's input, a convolution's output, and what the group norm makes of it.
const COPIES: u64 = 6;
/// Clips of the inner width in f32, in which the group norm computes.
const NORM_COPIES: u64 = 3;
/// Clips of the inner width that candle's convolution unfolds its input into.
const UNFOLDED: u64 = 15;

impl UpsamplerConfig {
    /// Bytes at the worst moment, for a latent of so many elements after the upsampling. On the CPU that is less than what a
    /// step of the transformer needs, and is not counted.
    pub fn bytes(&self, elements: u64, placement: Placement) -> u64 {
        match placement.device {
            DeviceKind::Cpu => 0,
            DeviceKind::Gpu => {
                let value = placement.value_bytes();
                // In other dtypes than bf16, candle's convolution unfolds its input.
                let convolution = if placement.dtype == DType::BF16 { 0 } else { UNFOLDED * value };
                // A larger result of the middle's convolution is there twice while it is blurred, once with a margin.
                let surplus = self.resampling.surplus();
                let blurring = if surplus > 1 { 2 * surplus * value } else { 0 };
                self.mid_channels as u64 * elements * (COPIES * value + NORM_COPIES * 4 + convolution + blurring)
            }
        }
    }
}
