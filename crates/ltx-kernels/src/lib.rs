//! Kernels: for the CPU, from slices to slices, on every level of its instructions; for NVIDIA GPUs, the launches and what performs
//! them. Beside them the devices themselves: which there are, and how one is opened.
//!
//! Must not know layers, weights by name, or models. The home of unsafe code: every other crate but `ltx-weights` (the map of a
//! file) and `ltxd` (the allocator) forbids it.
#![deny(unsafe_code)]

mod choice;
pub mod cpu;
pub mod cuda;
mod device;
mod error;
mod packing;
mod shapes;

pub use choice::{CudaKernels, KernelChoice, UnknownKernels};
pub use cpu::{Level, UnknownLevel};
pub use device::{DeviceChoice, DeviceError, Opened, gpu_memory, gpu_name, is_out_of_memory, synchronize};
pub use error::KernelError;
pub use packing::{Block, Element, GroupScale, Groups, Packing, e4m3};
pub use shapes::{AttentionShape, Conv3dConfig, Mask, NeighbourhoodShape, Normalize, ShiftScale, Sides, TimePadding};
