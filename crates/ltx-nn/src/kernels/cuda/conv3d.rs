//! Launches of `conv3d.cu`: 3-D convolution in bf16, channels last in, channels first out.
//!
//! Must not know whether it encodes or decodes.

use super::{
    launch::{Element, Launch, Module},
    pixel_norm::padded,
};
use crate::TimePadding;
use candle_core::Result;

/// As in `conv3d.cu`: a tile's positions, outputs and channels, and the tiles under way.
const POSITIONS: usize = 128;
const OUTPUTS: usize = 128;
const CHANNELS: usize = 64;
const STAGES: usize = 3;

/// Sizes of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) samples: usize,
    /// Frames, rows and columns.
    pub(super) volume: [usize; 3],
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 3],
}

/// `x [samples, frames, height, width, padded(inputs)], weight [taps, outputs, padded(inputs)], bias [outputs] → out
/// [samples, outputs, frames, height, width]`.
pub(super) fn conv3d(sizes: Sizes, time: TimePadding) -> Result<Launch> {
    let Sizes { samples, volume: [frames, height, width], inputs, outputs, kernel: [kt, kh, kw] } = sizes;
    let grid = [(frames * height * width).div_ceil(POSITIONS), outputs.div_ceil(OUTPUTS), samples];
    let time = match time {
        TimePadding::Causal => 0,
        TimePadding::Replicate => 1,
        TimePadding::Zeros => 2,
    };
    let launch = Launch::new(Module::Conv3d, "conv3d", Element::Bf16, grid)?.tensors(4);
    let launch = launch.ints(&[frames, height, width, padded(inputs), outputs, kt, kh, kw, time])?;
    Ok(launch.shared((STAGES * (POSITIONS + OUTPUTS) * CHANNELS * 2) as u32))
}
