//! Products of f32 activations with bf16 weights on AMX tiles, as exact as in f32.
//!
//! An f32 has 24 significant bits, a bf16 eight: every activation is the sum of three bf16 ([`split`]), without a rest. A weight that
//! is stored as bf16 is one already. So `x W` is three products of bf16, each exact, summed in f32, and a tile does sixteen times the
//! work of a vector in the same time. An element is summed over `k` in order, whatever the cuts and the threads. Two parts would do
//! with two thirds of the work, but 17 bits of an activation are not f32.
//! Source of the tiles: Intel 64 and IA-32 Architectures Optimization Reference Manual, “Intel AMX”.
//!
//! Must not know what is multiplied.

mod permission;
mod product;
mod split;
mod tile;
mod tiles;

pub(crate) use permission::granted;
pub(crate) use product::product;
pub(crate) use tiles::{HalfRight, Tiles16};

/// Rows, or columns, of a tile of sums.
const SIDE: usize = 16;
/// Rows and columns that are summed in registers at once: two tiles each way.
const BLOCK: usize = 2 * SIDE;
/// Products of an element in one tile instruction.
const STEP: usize = 32;
