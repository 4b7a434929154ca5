//! The types of ggml's blocks that weights are stored in. Source: ggml's public `block_*` layouts.
//!
//! Must not know how a block is decoded, or by which number a file names its type.

use candle_core::quantized::GgmlDType;

/// A type of block: each holds a few values and what they are scaled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, missing_docs)]
pub enum Block {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S,
    IQ1_S,
    IQ1_M,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
    MXFP4,
    NVFP4,
}

impl Block {
    /// Every type.
    pub const ALL: [Self; 23] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ2_XXS,
        Self::IQ2_XS,
        Self::IQ2_S,
        Self::IQ3_XXS,
        Self::IQ3_S,
        Self::IQ1_S,
        Self::IQ1_M,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::TQ1_0,
        Self::TQ2_0,
        Self::MXFP4,
        Self::NVFP4,
    ];

    /// The type that candle writes, if it is one for weights.
    pub const fn of(kind: GgmlDType) -> Option<Self> {
        Some(match kind {
            GgmlDType::Q4_0 => Self::Q4_0,
            GgmlDType::Q4_1 => Self::Q4_1,
            GgmlDType::Q5_0 => Self::Q5_0,
            GgmlDType::Q5_1 => Self::Q5_1,
            GgmlDType::Q8_0 => Self::Q8_0,
            GgmlDType::Q2K => Self::Q2_K,
            GgmlDType::Q3K => Self::Q3_K,
            GgmlDType::Q4K => Self::Q4_K,
            GgmlDType::Q5K => Self::Q5_K,
            GgmlDType::Q6K => Self::Q6_K,
            GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 | GgmlDType::Q8_1 | GgmlDType::Q8K => return None,
        })
    }

    /// ggml's own name.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Values in a block; rows hold whole blocks.
    pub const fn values(self) -> usize {
        self.facts().1
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        self.facts().2
    }

    /// Name, values and bytes.
    const fn facts(self) -> (&'static str, usize, usize) {
        match self {
            Self::Q4_0 => ("Q4_0", 32, 18),
            Self::Q4_1 => ("Q4_1", 32, 20),
            Self::Q5_0 => ("Q5_0", 32, 22),
            Self::Q5_1 => ("Q5_1", 32, 24),
            Self::Q8_0 => ("Q8_0", 32, 34),
            Self::Q2_K => ("Q2_K", 256, 84),
            Self::Q3_K => ("Q3_K", 256, 110),
            Self::Q4_K => ("Q4_K", 256, 144),
            Self::Q5_K => ("Q5_K", 256, 176),
            Self::Q6_K => ("Q6_K", 256, 210),
            Self::IQ2_XXS => ("IQ2_XXS", 256, 66),
            Self::IQ2_XS => ("IQ2_XS", 256, 74),
            Self::IQ2_S => ("IQ2_S", 256, 82),
            Self::IQ3_XXS => ("IQ3_XXS", 256, 98),
            Self::IQ3_S => ("IQ3_S", 256, 110),
            Self::IQ1_S => ("IQ1_S", 256, 50),
            Self::IQ1_M => ("IQ1_M", 256, 56),
            Self::IQ4_NL => ("IQ4_NL", 32, 18),
            Self::IQ4_XS => ("IQ4_XS", 256, 136),
            Self::TQ1_0 => ("TQ1_0", 256, 54),
            Self::TQ2_0 => ("TQ2_0", 256, 66),
            Self::MXFP4 => ("MXFP4", 32, 17),
            Self::NVFP4 => ("NVFP4", 64, 36),
        }
    }
}
