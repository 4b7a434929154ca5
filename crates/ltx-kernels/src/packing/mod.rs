//! How values of a weight are packed in memory: 8-bit and 16-bit floats, ggml's blocks, and groups with a scale each.
//! Source of the 8-bit floats: Micikevicius et al., “FP8 Formats for Deep Learning” (2022), e4m3.
//!
//! Must not know matrices, or how values are decoded.

mod block;
mod groups;

pub use block::Block;
pub use groups::{Element, GroupScale, Groups};

/// How values are packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Packing {
    /// Blocks of ggml: each holds a few values and their common scale.
    Blocks(Block),
    /// Groups of 4-bit or 8-bit values with a scale each.
    Groups(Groups),
    /// One byte a value, e4m3 without infinities, times a scale that the whole tensor shares.
    Fp8 {
        /// Multiplies every value.
        scale: f32,
    },
    /// Two bytes a value: the upper half of an f32.
    Bf16,
    /// Two bytes a value, IEEE 754 half precision.
    F16,
}

impl Packing {
    /// Values in a block or group; rows hold whole ones.
    pub fn block(self) -> usize {
        match self {
            Self::Blocks(kind) => kind.values(),
            Self::Groups(groups) => usize::from(groups.size).max(1),
            Self::Fp8 { .. } | Self::Bf16 | Self::F16 => 1,
        }
    }

    /// Bytes of `values` values, which are whole blocks; `None` if they are not.
    pub fn bytes(self, values: usize) -> Option<usize> {
        let size = match self {
            Self::Blocks(kind) => kind.bytes(),
            Self::Groups(groups) => groups.bytes(),
            Self::Fp8 { .. } => 1,
            Self::Bf16 | Self::F16 => 2,
        };
        values.is_multiple_of(self.block()).then(|| (values / self.block()).checked_mul(size)).flatten()
    }

    /// Whether it can be decoded.
    pub fn is_sound(self) -> bool {
        match self {
            Self::Groups(groups) => groups.is_sound(),
            Self::Blocks(_) | Self::Fp8 { .. } | Self::Bf16 | Self::F16 => true,
        }
    }

    /// The name that files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks(kind) => kind.name(),
            Self::Groups(groups) => groups.name(),
            Self::Fp8 { .. } => "F8_E4M3",
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
        }
    }

    /// Whether values are plain 16-bit floats, whose wide form is exact.
    pub fn is_half(self) -> bool {
        matches!(self, Self::Bf16 | Self::F16)
    }
}

/// The value of an e4m3 byte: sign, four bits of exponent (bias 7), three of mantissa; no infinities, all ones is not a number.
pub fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (byte >> 3 & 15, f32::from(byte & 7));
    let magnitude = match exponent {
        15 if byte & 7 == 7 => f32::NAN,
        0 => mantissa / 512.0,
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(i32::from(exponent) - 7),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_floats_are_what_the_paper_says() {
        for (byte, value) in [(0x00, 0.0), (0x01, 0.001953125), (0x08, 0.015625), (0x38, 1.0), (0x7e, 448.0)] {
            assert_eq!(e4m3(byte), value);
            assert_eq!(e4m3(byte | 0x80), -value);
        }
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
    }
}
