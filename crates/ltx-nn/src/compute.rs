//! Where and in which precision a part of the model computes.
//!
//! Must not know which part.

use candle_core::{DType, Device};

/// Device and dtype of a part's weights and activations.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device.
    pub device: Device,
    /// f32, bf16 or f16.
    pub dtype: DType,
}

impl Compute {
    /// f32 on the CPU: the default, and what the goldens are compared in.
    pub fn cpu_f32() -> Self {
        Self { device: Device::Cpu, dtype: DType::F32 }
    }

    /// The same device in another precision.
    #[must_use]
    pub fn with_dtype(&self, dtype: DType) -> Self {
        Self { device: self.device.clone(), dtype }
    }
}

/// A compute dtype's name that is none of the three.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dtype: {found} is not one of f32, bf16, f16")]
pub struct UnknownDType {
    /// The name given.
    pub found: String,
}

/// A compute dtype by name.
///
/// # Errors
/// The name is not `f32`, `bf16` or `f16`.
pub fn parse_dtype(name: &str) -> std::result::Result<DType, UnknownDType> {
    match name {
        "f32" => Ok(DType::F32),
        "bf16" => Ok(DType::BF16),
        "f16" => Ok(DType::F16),
        _ => Err(UnknownDType { found: name.to_owned() }),
    }
}
