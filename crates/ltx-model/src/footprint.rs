//! What the memory of a part depends on beside its sizes: where it computes, and in which dtype. The counts themselves stand
//! beside the forwards that they count, in the `footprint` of each part.
//!
//! Must not know budgets, plans, or what else is in memory.

pub use crate::layers::footprint::{is_streamed, reading_bytes, streamed_bytes};

use candle_core::DType;
use ltx_nn::Compute;

/// The kind of a device, which decides how layers compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// The machine's own memory and kernels.
    Cpu,
    /// A GPU's memory: our own kernels in bf16, the plain formulas in other dtypes.
    Gpu,
}

/// Where a part computes, as far as its memory depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The kind of the device.
    pub device: DeviceKind,
    /// The dtype of weights and activations.
    pub dtype: DType,
}

impl Placement {
    /// The placement of what computes with `compute`.
    pub fn of(compute: &Compute) -> Self {
        let device = if compute.device.is_cpu() { DeviceKind::Cpu } else { DeviceKind::Gpu };
        Self { device, dtype: compute.dtype }
    }

    /// Bytes of a value in the dtype.
    pub fn value_bytes(self) -> u64 {
        self.dtype.size_in_bytes() as u64
    }

    /// Whether memory is a GPU's.
    pub fn is_gpu(self) -> bool {
        self.device == DeviceKind::Gpu
    }
}

/// A stack of layers, by the keys of its weights.
#[derive(Debug, Clone)]
pub struct Stack {
    /// What the keys of layer i begin with, in front of `i.`.
    pub keys: String,
    /// Layers.
    pub count: usize,
}

/// Queries that the plain formula of attention takes at a time.
const QUERIES: u64 = 1024;
/// Bytes of a score in the plain formula of attention: rounded, scaled, masked, their softmax.
const SCORE: u64 = 12;

/// Bytes of the scores in attention by the plain formula, which goes through the queries in slices.
pub(crate) fn plain_attention_bytes(heads: usize, tokens: u64) -> u64 {
    SCORE * heads as u64 * tokens.min(QUERIES) * tokens
}
