//! f32 kernels for the CPU, as candle custom operations. Threads come from rayon's pool; results do not depend on how
//! many there are.
//!
//! Must not know dtypes other than f32: callers widen first.

mod amx;
mod attention;
mod conv3d;
mod decode;
mod gelu;
mod gemm;
mod group_norm;
mod int8;
mod level;
mod linear;
mod math;
mod modulate;
mod norm;
mod packed;
mod rope;
mod shared;

pub(crate) use amx::Tiles16;
pub(crate) use attention::Attention;
pub(crate) use conv3d::{Conv3d, PackedConv, scratch_bytes};
pub(crate) use decode::{decode, decodes};
pub(crate) use gelu::Gelu;
pub(crate) use group_norm::GroupNorm;
pub(crate) use int8::{GROUP, Weights8};
pub use level::{Level, UnknownLevel};
pub(crate) use linear::{Linear, Then, Weight, panels, panels_of, with_values};
pub(crate) use modulate::{GatedResidual, NormModulate, Normalize};
pub(crate) use norm::{Gate, RmsNorm};
pub(crate) use rope::Rope;

use candle_core::{CpuStorage, Error, Layout, Result};

/// The elements of a contiguous f32 input.
fn f32_slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::msg("kernel input is not contiguous"))?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Fails a kernel whose inputs do not fit each other.
fn ensure(fits: bool, kernel: &'static str) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::msg(format!("{kernel}: input sizes do not fit each other"))) }
}
