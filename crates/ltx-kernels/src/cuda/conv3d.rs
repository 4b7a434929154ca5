//! Launches of `conv3d.cu` and `conv3d_hopper.cu`: 3-D convolution in bf16, channels last, with the unfolding or the sum behind it.
//!
//! Must not know whether it encodes or decodes.

use super::{
    generation::Generation,
    launch::{Element, Launch, Module, PANEL_ALIGNMENT, THREADS},
    pixel_norm::padded,
};
use crate::TimePadding;
use candle_core::{Error, Result};

/// As in both kernels: a tile's outputs and channels.
const OUTPUTS: usize = 128;
const CHANNELS: usize = 64;
/// As in `conv3d.cu`: a tile's positions, and the tiles under way.
const POSITIONS: usize = 128;
const STAGES: usize = 3;

/// As in `conv3d_hopper.cu`.
mod hopper {
    pub(super) const POSITIONS: usize = 256;
    pub(super) const STAGES: usize = 4;
    pub(super) const THREADS: u32 = 512;
    pub(super) const BARRIERS: usize = 2 * STAGES * 8;
}

/// Bytes of the tiles under way.
const fn tiles(positions: usize, stages: usize) -> usize {
    stages * (positions + OUTPUTS) * CHANNELS * 2
}

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
pub(super) fn conv3d(
    generation: Generation,
    sizes: Sizes,
    time: TimePadding,
    add: bool,
    aligned: bool,
) -> Result<Launch> {
    let Sizes { samples, volume: [frames, height, width], inputs, outputs, kernel: [kt, kh, kw], unfold } = sizes;
    let positions = frames * height * width;
    // The kernels count positions in 31 bits and packs of a sample in 32.
    if positions > i32::MAX as usize || positions * padded(inputs) / Element::Bf16.pack() >= u32::MAX as usize {
        return Err(Error::msg(format!("conv3d: a sample of {positions} positions of {inputs} channels is too large")));
    }
    let (module, name, tile, shared, block) = match generation {
        Generation::Ampere => (Module::Conv3d, "conv3d", POSITIONS, tiles(POSITIONS, STAGES), THREADS),
        Generation::Hopper => {
            use hopper::{BARRIERS, POSITIONS, STAGES, THREADS};
            let shared = PANEL_ALIGNMENT + tiles(POSITIONS, STAGES) + BARRIERS;
            (Module::Conv3dHopper, "conv3d_hopper", POSITIONS, shared, THREADS)
        }
    };
    let grid = [positions.div_ceil(tile), outputs.div_ceil(OUTPUTS), samples];
    let time = match time {
        TimePadding::Causal => 0,
        TimePadding::Replicate => 1,
        TimePadding::Zeros => 2,
    };
    let launch = Launch::new(module, name, Element::Bf16, grid)?.tensors(4);
    let launch = launch.ints(&[frames, height, width, padded(inputs), outputs, kt, kh, kw, time])?.ints(&unfold)?;
    let whole = aligned && sizes.channels().is_multiple_of(Element::Bf16.pack());
    let launch = launch.ints(&[usize::from(add), usize::from(whole)])?;
    Ok(Launch { block, ..launch.shared(shared as u32) })
}
