//! f32 kernels for the CPU, from slices to slices. Threads come from rayon's pool; results do not depend on how many there are.
//! Every kernel is told its [`Level`].
//!
//! Must not know tensors, or dtypes other than f32: callers widen first.

mod amx;
mod attention;
mod conv3d;
mod decode;
#[cfg(test)]
mod drawn;
mod gelu;
mod gemm;
mod group_norm;
mod int8;
mod level;
mod linear;
mod math;
mod modulate;
mod neighbourhood;
mod norm;
mod packed;
mod rope;
mod shared;
mod silu;

pub use amx::Tiles16;
pub use attention::{Attention, AttentionSizes};
pub use conv3d::{ChannelAffine, Conv3d, PackedConv, scratch_bytes};
pub use decode::{MOST_ROTATED, decode};
pub use gelu::gelu;
pub use gemm::{COLUMNS, panels};
pub use group_norm::GroupNorm;
pub use int8::{GROUP, Weights8};
pub use level::{Level, UnknownLevel};
pub use linear::{Linear, Then, Weight};
pub use modulate::{GatedResidual, ModulationTable, NormModulate};
pub use neighbourhood::{MOST_COLUMNS, Neighbourhood, Ring};
pub use norm::{RmsNorm, gate_heads};
pub use packed::PackedRows;
pub use rope::{Rope, RopeAngles, RopePairs};
pub use silu::silu_times;
