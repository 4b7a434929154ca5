//! Products of f32 activations with bf16 weights on AMX tiles.
//!
//! A weight that is stored as bf16 is one exactly. An activation becomes two: the nearest bf16, and the nearest to what is left
//! ([`split`]). Together they are 17 of its 24 bits: it is off by 7.6e-6 of itself at most, and the product by a few 1e-6 (relative
//! L2), where a sum in f32 alone is off by a few 1e-7; the level `avx512` stays with those. So `x W` is two products of bf16, each
//! exact, summed in f32, and a tile does sixteen times the work of a vector in the same time. A third part would be exact; its work
//! took the gain away on a machine whose tiles are shared. An element is summed over `k` in order, whatever the cuts and the
//! threads. Values above 3.39e38 have no nearest bf16; what is no number stays none.
//! Source of the tiles: Intel 64 and IA-32 Architectures Optimization Reference Manual, “Intel AMX”.
//!
//! Must not know what is multiplied.

#[cfg(target_arch = "x86_64")]
mod config;
mod permission;
mod product;
mod split;
mod tile;
mod tiles;

#[cfg(target_arch = "x86_64")]
pub(crate) use config::Config;
pub(crate) use permission::granted;
#[cfg(target_arch = "x86_64")]
pub(crate) use permission::granted_in_8_bits;
pub(crate) use product::product;
pub(crate) use tiles::HalfRight;
pub use tiles::Tiles16;

/// Rows, or columns, of a tile of sums.
const SIDE: usize = 16;
/// Rows and columns that are summed in registers at once: two tiles each way.
const BLOCK: usize = 2 * SIDE;
/// Products of an element in one tile instruction.
const STEP: usize = 32;
/// Steps that are summed before others: 32 rows of them, 32 KiB, stay in a core's first cache while the weights of some panels go by.
const STEPS: usize = 8;
