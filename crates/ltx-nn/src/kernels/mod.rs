//! Kernels, by device. A layer picks one by the device its input lives on; the plain formula stays beside it.
//!
//! Must not know layers' weights by name.

mod cpu;

pub(crate) use cpu::{
    Attention, Conv3d, Gate, GatedResidual, Gelu, GroupNorm, Linear, NormModulate, Normalize, PackedConv,
    PackedProduct, RmsNorm, Rope, Then, Weight, panels, scratch_bytes,
};
pub use cpu::{Level, UnknownLevel};
