//! Launches of `fp8.cu`: 8-bit floats widened, and activations rounded to them.
//!
//! Must not know what is multiplied.

use super::launch::{Element, Launch, Module, SUMS, blocks};
use candle_core::Result;

/// `bytes → out`, each times `scale`; here and below `whole` says that all begin at aligned addresses.
pub(super) fn widen(element: Element, count: usize, scale: f32, whole: bool) -> Result<Launch> {
    let grid = [blocks(count, 8), 1, 1];
    Launch::new(Module::Fp8, "e4m3_widen", element, grid)?.tensors(2).float(scale).long(count).ints(&[whole.into()])
}

/// `x → most`, one `u32` that holds 0 at first: the bits of the largest magnitude.
pub(super) fn range(count: usize, whole: bool) -> Result<Launch> {
    let grid = [blocks(count, 8), 1, 1];
    let launch = Launch::new(Module::Fp8, "e4m3_range", Element::Bf16, grid)?.tensors(2).long(count);
    Ok(launch.ints(&[whole.into()])?.shared(SUMS))
}

/// `x, most → bytes, scale`, one f32.
pub(super) fn round(count: usize, whole: bool) -> Result<Launch> {
    let grid = [blocks(count, 8), 1, 1];
    Launch::new(Module::Fp8, "e4m3_round", Element::Bf16, grid)?.tensors(4).long(count).ints(&[whole.into()])
}

/// `x → bytes, scales`, one f32 for each of the rows.
#[cfg(test)]
pub(super) fn round_rows([rows, width]: [usize; 2], whole: bool) -> Result<Launch> {
    let launch = Launch::new(Module::Fp8, "e4m3_round_rows", Element::Bf16, [rows, 1, 1])?.tensors(3);
    let launch = launch.ints(&[width, whole.into()])?.shared(SUMS);
    Ok(launch.row_of(width.div_ceil(Element::Bf16.pack())))
}
