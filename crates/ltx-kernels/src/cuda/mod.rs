//! Kernels for NVIDIA GPUs. Each concept is a `.cu` file and, beside it, its launch: name, grid, block, shared memory and
//! arguments, computed from sizes alone. `dispatch` takes tensors to launches; `device` performs them on a GPU (with the
//! feature `cuda`; without it there is no GPU), `emulate` on the CPU, from the same source, in tests.
//!
//! Must not know layers' weights by name. Everything but `device` is the same with and without CUDA.

mod attention;
mod carrier;
mod conv3d;
mod dispatch;
mod fp8;
mod fp8_matrix;
mod gate;
mod generation;
mod launch;
mod norm;
mod pixel_norm;
mod rope;

#[cfg(not(feature = "cuda"))]
#[path = "absent.rs"]
mod device;
#[cfg(feature = "cuda")]
mod device;
#[cfg(test)]
mod emulate;
#[cfg(test)]
mod formulas;
#[cfg(test)]
mod misuse;
#[cfg(test)]
mod tests;

pub use carrier::{Arrival, Carrier, Pinned};
pub use device::{Graph, capture, carrier, copy_into};
pub(crate) use device::{free_bytes, list, open, synchronize};
pub use dispatch::{
    ModulationTensors, NormedRope, add_table, arranged, attention, conv3d, gate_heads, gated_residual, gelu, linear,
    norm_modulate, norm_rope, pixel_norm, rms_norm, write_into,
};
pub use fp8_matrix::{Fp8, Rounded};
