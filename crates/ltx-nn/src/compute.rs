//! Where and in which precision a part of the model computes.
//!
//! Must not know which part.

use candle_core::{DType, Device};
use ltx_kernels::KernelChoice;

/// Device and dtype of a part's weights and activations.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device.
    pub device: Device,
    /// f32, bf16 or f16.
    pub dtype: DType,
    /// Whether large layers multiply in 8 bits: weights and activations rounded in groups, on the CPU in f32 alone.
    pub eight_bit: bool,
    /// Which kernels compute.
    pub kernels: KernelChoice,
    /// Whether a GPU is told launches that are repeated as one (a CUDA graph).
    pub graphs: bool,
}

/// Waits until a device has done everything it was given.
///
/// # Errors
/// Something of it failed.
pub fn synchronize(device: &Device) -> crate::Result<()> {
    Ok(ltx_kernels::synchronize(device)?)
}

/// How many threads compute on the CPU.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// The names that [`Compute::named`] knows.
pub const DTYPES: [&str; 4] = ["f32", "bf16", "f16", "int8"];

impl Compute {
    /// f32 on the CPU by the fastest kernels: the default, and what the goldens are compared in.
    pub fn cpu_f32() -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F32,
            eight_bit: false,
            kernels: KernelChoice::fastest(),
            graphs: true,
        }
    }

    /// This device in another precision.
    #[must_use]
    pub fn with_dtype(&self, dtype: DType) -> Self {
        Self { dtype, ..self.clone() }
    }

    /// On the CPU, by a name of [`DTYPES`]; `int8` is f32 with large layers in 8 bits.
    ///
    /// # Errors
    /// The name is not known.
    pub fn named(name: &str) -> std::result::Result<Self, UnknownDType> {
        let compute = Self::cpu_f32();
        match name {
            "f32" => Ok(compute),
            "bf16" => Ok(compute.with_dtype(DType::BF16)),
            "f16" => Ok(compute.with_dtype(DType::F16)),
            "int8" => Ok(Self { eight_bit: true, ..compute }),
            _ => Err(UnknownDType { found: name.to_owned() }),
        }
    }

    /// This device and precision with every product exact.
    #[must_use]
    pub fn exact(&self) -> Self {
        Self { eight_bit: false, ..self.clone() }
    }
}

/// A compute dtype's name that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dtype: {found} is not one of f32, bf16, f16, int8")]
pub struct UnknownDType {
    /// The name given.
    pub found: String,
}
