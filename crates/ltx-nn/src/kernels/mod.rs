//! Kernels, by device. A layer picks one by the device its input lives on; the plain formula stays beside it.
//!
//! Must not know layers' weights by name.

mod cpu;
pub(crate) mod cuda;

pub(crate) use cpu::{
    Attention, Conv3d, Gate, GatedResidual, Gelu, Linear, NormModulate, Normalize, PackedProduct, PixelNorm, RmsNorm,
    Rope, Then, Weight, panels,
};
pub use cpu::{Level, UnknownLevel};
