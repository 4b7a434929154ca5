//! Launches of `pixel_norm.cu`: pixel norm, and channels last.
//!
//! Must not know which layer follows.

use super::launch::{Element, Launch, Module};
use candle_core::Result;

/// As in `pixel_norm.cu`: positions a block, warps, channels of a slice and their pitch.
const POSITIONS: usize = 32;
const WARPS: u32 = 8;
const PITCH: u32 = 64 + 2;

/// Sizes of `[samples, channels, positions]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixels {
    pub(super) samples: usize,
    pub(super) channels: usize,
    pub(super) positions: usize,
}

/// `x → out`.
pub(super) fn pixel_norm(element: Element, pixels: Pixels, eps: f32, silu: bool) -> Result<Launch> {
    let grid = [pixels.positions.div_ceil(POSITIONS), pixels.samples, 1];
    let launch = Launch::new(Module::PixelNorm, "pixel_norm", element, grid)?.tensors(2).ints(&[pixels.channels])?;
    Ok(launch.long(pixels.positions).float(eps).ints(&[usize::from(silu)])?.shared(WARPS * 32 * 4))
}

/// Channels behind which zeros stand, so that a position's channels are whole packs.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(8)
}

/// `x → out [samples, positions, padded(channels)]`, with pixel norm and SiLU on the way where there is an `eps`.
pub(super) fn channels_last(pixels: Pixels, eps: Option<f32>) -> Result<Launch> {
    let grid = [pixels.positions.div_ceil(POSITIONS), pixels.samples, 1];
    let launch = Launch::new(Module::PixelNorm, "channels_last", Element::Bf16, grid)?.tensors(2);
    let launch = launch.ints(&[pixels.channels, padded(pixels.channels)])?.long(pixels.positions);
    let shared = WARPS * 32 * 4 + POSITIONS as u32 * PITCH * 2;
    Ok(launch.float(eps.unwrap_or(0.0)).ints(&[usize::from(eps.is_some())])?.shared(shared))
}
