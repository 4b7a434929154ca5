//! Launches of `conv3d.cu`: 3-D convolution in bf16, channels last, with the unfolding or the sum behind it.
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
    /// Factors of frames, rows and columns.
    pub(super) unfold: [usize; 3],
}

impl Sizes {
    /// The result's `[samples, frames, height, width, channels]`.
    pub(super) fn result(&self) -> [usize; 5] {
        let ([frames, height, width], [st, sh, sw]) = (self.volume, self.unfold);
        [self.samples, frames * st - (st - 1), height * sh, width * sw, self.channels()]
    }

    fn channels(&self) -> usize {
        self.outputs / self.unfold.iter().product::<usize>()
    }
}

/// `x [samples, frames, height, width, padded(inputs)], weight [taps, outputs, padded(inputs)], bias [outputs] → out`, outputs
/// ordered (time, row, column of the unfolding, channel). With `add` it is added to what `out` holds. `aligned` says whether bias
/// and result begin at multiples of 16 bytes.
pub(super) fn conv3d(sizes: Sizes, time: TimePadding, add: bool, aligned: bool) -> Result<Launch> {
    let Sizes { samples, volume: [frames, height, width], inputs, outputs, kernel: [kt, kh, kw], unfold } = sizes;
    let grid = [(frames * height * width).div_ceil(POSITIONS), outputs.div_ceil(OUTPUTS), samples];
    let time = match time {
        TimePadding::Causal => 0,
        TimePadding::Replicate => 1,
        TimePadding::Zeros => 2,
    };
    let launch = Launch::new(Module::Conv3d, "conv3d", Element::Bf16, grid)?.tensors(4);
    let launch = launch.ints(&[frames, height, width, padded(inputs), outputs, kt, kh, kw, time])?.ints(&unfold)?;
    let whole = aligned && sizes.channels().is_multiple_of(Element::Bf16.pack());
    let launch = launch.ints(&[usize::from(add), usize::from(whole)])?;
    Ok(launch.shared((STAGES * (POSITIONS + OUTPUTS) * CHANNELS * 2) as u32))
}
