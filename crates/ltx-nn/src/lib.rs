//! Layers on candle tensors, and the trait that weights are read through.
//!
//! Must not know: requests, policy, jobs, files, or which model a layer belongs to.
#![forbid(unsafe_code)]

mod activations;
mod compare;
mod compute;
mod conv3d;
mod error;
mod feed_forward;
mod kernels;
mod linear;
pub mod matrix;
mod modulation;
mod neighbourhood;
mod norm;
mod ops;
pub mod profile;
mod recording;
mod rope;
mod staging;
mod taps;
mod weights;

pub use activations::Activations;
pub use compare::{CompareError, relative_l2};
pub use compute::{Compute, DTYPES, EightBitProducts, UnknownDType, synchronize, threads};
pub use conv3d::Conv3d;
pub use error::{NnError, Result};
pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use ltx_kernels::{
    AttentionShape, Block, Conv3dConfig, CudaKernels, DeviceChoice, DeviceError, Element, GroupScale, Groups,
    KernelChoice, Level, Mask, NeighbourhoodShape, Opened, Packing, ShiftScale, Sides, TimePadding, UnknownKernels,
    UnknownLevel,
    cpu::{MOST_COLUMNS, RopePairs},
    cuda::{Arrival, Carrier, Pinned},
    e4m3, gpu_memory, gpu_name,
};
pub use modulation::{Modulation, TokenIndex};
pub use neighbourhood::{NeighbourhoodAttention, neighbourhood_bytes};
pub use norm::{GroupNorm, RmsNorm, rms_norm};
pub use ops::{
    attention, gate_heads, gated_residual, gelu, layer_norm_modulate, modulate, rms_norm_modulate, silu_times,
};
pub use recording::Recorder;
pub use rope::{FrequencyPrecision, RopeTable, fractional_rope_table};
pub use staging::{Staging, carrier};
pub use taps::Taps;
pub use weights::{Vb, Weights, in_one_piece};
