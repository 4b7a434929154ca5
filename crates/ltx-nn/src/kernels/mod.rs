//! Kernels, by device. A layer picks one by the device its input lives on; the plain formula stays beside it.
//!
//! Must not know layers' weights by name.

mod cpu;
pub(crate) mod cuda;

pub(crate) use cpu::{
    Attention, Conv3d, GROUP, Gate, GatedResidual, Gelu, GroupNorm, Linear, NormModulate, Normalize, PackedConv,
    RmsNorm, Rope, Then, Tiles16, Weight, Weights8, decode, decodes, panels, panels_of, scratch_bytes, with_values,
};
pub use cpu::{Level, UnknownLevel};
