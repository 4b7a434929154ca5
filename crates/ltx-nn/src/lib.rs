//! Layers and kernels on candle tensors, and the trait that weights are read through.
//!
//! Must not know: requests, policy, jobs, files, or which model a layer belongs to. The only home of kernels.
#![deny(unsafe_code)]

mod attention;
mod compare;
mod compute;
mod conv3d;
mod device;
mod error;
mod feed_forward;
mod kernels;
mod linear;
mod low_rank;
mod modulate;
mod modulation;
mod norm;
mod packed;
pub mod profile;
mod recording;
mod rope;
mod staging;
mod taps;
mod weights;

pub use attention::{AttentionShape, Mask, attention};
pub use compare::{CompareError, relative_l2};
pub use compute::{Compute, DTYPES, UnknownDType};
pub use conv3d::{Conv3d, Conv3dConfig, TimePadding};
pub use device::{DeviceChoice, DeviceError, Opened, gpu_memory, gpu_name, synchronize};
pub use error::{NnError, Result};
pub use feed_forward::FeedForward;
pub use kernels::{Level, UnknownLevel};
pub use linear::Linear;
pub use low_rank::{LowRank, merge_low_rank};
pub use modulate::{ShiftScale, gate_heads, gated_residual, gelu, layer_norm_modulate, modulate, rms_norm_modulate};
pub use modulation::{Modulation, TokenIndex};
pub use norm::{GroupNorm, RmsNorm, rms_norm};
pub use packed::{Packed, Packing, e4m3, unpack};
pub use recording::Recorder;
pub use rope::{FrequencyPrecision, RopeTable, fractional_rope_table};
pub use staging::{Arrival, Carrier, Pinned, Staging, carrier};
pub use taps::Taps;
pub use weights::{EightBit, Matrix, Tiles, Vb, Weights};
