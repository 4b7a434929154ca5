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
    /// Which large matrices are multiplied in 8 bits.
    pub eight_bit: EightBitProducts,
    /// Which kernels compute.
    pub kernels: KernelChoice,
    /// Whether a GPU is told launches that are repeated as one (a CUDA graph).
    pub graphs: bool,
}

/// Which large matrices of the transformer's blocks and of the language model's layers are multiplied in 8 bits, on the CPU in f32 alone: weights and activations are
/// rounded in groups of 128 along the sum, each with its scale, and a group's products are summed exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EightBitProducts {
    /// None.
    Never,
    /// Those whose weights are stored in about 8 bits a value, or fewer.
    WherePacked,
    /// All of the transformer's; of the language model's those that are stored so.
    Always,
}

impl EightBitProducts {
    /// Whether a matrix is so, of which `packed` says whether it is stored in about 8 bits or fewer.
    pub fn are_of(self, packed: bool) -> bool {
        match self {
            Self::Never => false,
            Self::WherePacked => packed,
            Self::Always => true,
        }
    }
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
pub const DTYPES: [&str; 5] = ["auto", "f32", "bf16", "f16", "int8"];

impl Compute {
    /// f32 on the CPU by the fastest kernels: the default, and what the goldens are compared in.
    pub fn cpu_f32() -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F32,
            eight_bit: EightBitProducts::Never,
            kernels: KernelChoice::fastest(),
            graphs: true,
        }
    }

    /// This device in another precision.
    #[must_use]
    pub fn with_dtype(&self, dtype: DType) -> Self {
        Self { dtype, ..self.clone() }
    }

    /// On the CPU, by a name of [`DTYPES`]: `int8` is f32 with 8-bit products, `auto` is f32 with 8-bit products where weights are
    /// stored in 8 bits or fewer.
    ///
    /// # Errors
    /// The name is not known.
    pub fn named(name: &str) -> std::result::Result<Self, UnknownDType> {
        let compute = Self::cpu_f32();
        match name {
            "f32" => Ok(compute),
            "bf16" => Ok(compute.with_dtype(DType::BF16)),
            "f16" => Ok(compute.with_dtype(DType::F16)),
            "int8" => Ok(Self { eight_bit: EightBitProducts::Always, ..compute }),
            "auto" => Ok(Self { eight_bit: EightBitProducts::WherePacked, ..compute }),
            _ => Err(UnknownDType { found: name.to_owned() }),
        }
    }

    /// This device and precision with every product exact.
    #[must_use]
    pub fn exact(&self) -> Self {
        Self { eight_bit: EightBitProducts::Never, ..self.clone() }
    }

    /// This device and precision with every product exact but those of weights that are stored in about 8 bits a value, or fewer, if
    /// any is in 8 bits.
    #[must_use]
    pub fn exact_unless_packed(&self) -> Self {
        match self.eight_bit {
            EightBitProducts::Never | EightBitProducts::WherePacked => self.clone(),
            EightBitProducts::Always => Self { eight_bit: EightBitProducts::WherePacked, ..self.clone() },
        }
    }
}

/// A compute dtype's name that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dtype: {found} is not one of auto, f32, bf16, f16, int8")]
pub struct UnknownDType {
    /// The name given.
    pub found: String,
}
