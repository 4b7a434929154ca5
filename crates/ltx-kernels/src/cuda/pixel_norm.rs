//! Launches of `pixel_norm.cu`: pixel norm with SiLU, and room behind the channels.
//!
//! Must not know which layer follows.

use super::launch::{Element, Launch, Module, THREADS};
use candle_core::Result;

/// Sizes of `[positions, channels] → [positions, padded]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixels {
    pub(super) positions: usize,
    pub(super) channels: usize,
    /// Channels of the result, zeros behind the input's.
    pub(super) padded: usize,
}

/// Channels behind which zeros stand, so that a position's channels are whole packs of bf16.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(Element::Bf16.pack())
}

/// `x → out`, with pixel norm and SiLU on the way where there is an `eps`. `aligned` says whether `x` begins at a multiple of 16 bytes.
pub(super) fn pixel_norm(element: Element, pixels: Pixels, eps: Option<f32>, aligned: bool) -> Result<Launch> {
    let Pixels { positions, channels, padded } = pixels;
    let lanes = padded.div_ceil(element.pack()).next_power_of_two().min(32);
    let grid = [positions.div_ceil(THREADS as usize / lanes), 1, 1];
    let whole = aligned && channels.is_multiple_of(element.pack());
    let launch = Launch::new(Module::PixelNorm, "pixel_norm", element, grid)?.tensors(2);
    let launch = launch.ints(&[channels, padded])?.long(positions).float(eps.unwrap_or(0.0));
    launch.ints(&[usize::from(eps.is_some()), lanes, usize::from(whole)])
}
