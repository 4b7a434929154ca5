//! Matrix products in f32: packed panels, one micro-kernel per instruction set, blocks that a core's caches hold.
//!
//! The left matrix is packed in panels of [`ROWS`] rows (`[k, ROWS]` each), the right one in panels of [`COLUMNS`] columns
//! (`[k, COLUMNS]` each); the layout is the same on every level. An element is summed over `k` in order, [`DEPTH`] products
//! at a time, and these partial sums in order: how rows and columns are cut, and by how many threads, changes no bit.
//! Source of the blocking: Goto & van de Geijn, “Anatomy of High-Performance Matrix Multiplication” (2008).
//!
//! Must not know what is multiplied.

mod left;
mod product;
mod right;
mod tile;
mod transpose;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

pub(crate) use left::{LeftPanels, Packing, Strided};
#[cfg(test)]
pub(crate) use product::as_is;
pub(crate) use product::{BLOCK_ROWS_ON_DEMAND, Finish, Out, Product};
pub use right::panels;
pub(crate) use right::{OnDemand, Right, RightPanels};
pub(crate) use tile::{Tile, TileOut, multiply_tile};
pub(crate) use transpose::transpose_words;

/// Rows of a panel of the left matrix.
pub(crate) const ROWS: usize = 12;
/// Columns of a panel of the right matrix.
pub const COLUMNS: usize = 32;
/// Products that are summed in registers before they are added to the output.
pub(crate) const DEPTH: usize = 256;
