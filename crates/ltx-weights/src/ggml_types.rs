//! The numbers by which GGUF files name the types of their tensors. Source: `enum ggml_type` of ggml's public header.
//!
//! Must not know headers, or how a type is decoded.

use crate::weight_file::StoredType;
use candle_core::{DType, quantized::GgmlDType};
use ltx_nn::{Block, Packing};

/// The types of blocks.
const BLOCKS: [(u32, Block); 23] = [
    (2, Block::Q4_0),
    (3, Block::Q4_1),
    (6, Block::Q5_0),
    (7, Block::Q5_1),
    (8, Block::Q8_0),
    (10, Block::Q2_K),
    (11, Block::Q3_K),
    (12, Block::Q4_K),
    (13, Block::Q5_K),
    (14, Block::Q6_K),
    (16, Block::IQ2_XXS),
    (17, Block::IQ2_XS),
    (18, Block::IQ3_XXS),
    (19, Block::IQ1_S),
    (20, Block::IQ4_NL),
    (21, Block::IQ3_S),
    (22, Block::IQ2_S),
    (23, Block::IQ4_XS),
    (29, Block::IQ1_M),
    (34, Block::TQ1_0),
    (35, Block::TQ2_0),
    (39, Block::MXFP4),
    (40, Block::NVFP4),
];

/// Types of ggml, today's and former ones, that weights are not read from: those of activations, and those that were laid out for
/// one processor.
const UNREAD: [(u32, &str); 12] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (41, "Q1_0"),
    (42, "Q2_0"),
];

/// Types of ik_llama.cpp, a fork: no other program has them. Those from 200 on are for one processor.
const OF_IK_LLAMA: [(u32, &str); 50] = [
    (133, "Q6_0"),
    (134, "IQ1_BN"),
    (135, "IQ2_BN"),
    (137, "IQ2_K"),
    (138, "IQ3_K"),
    (139, "IQ4_K"),
    (140, "IQ5_K"),
    (141, "IQ6_K"),
    (144, "IQ4_KS"),
    (145, "IQ2_KS"),
    (146, "IQ4_KSS"),
    (147, "Q8_K16"),
    (148, "Q8_K32"),
    (151, "Q8_KV"),
    (152, "IQ5_KS"),
    (153, "IQ2_KT"),
    (154, "IQ3_KT"),
    (155, "IQ4_KT"),
    (156, "IQ3_KS"),
    (157, "IQ2_KL"),
    (158, "IQ1_KT"),
    (202, "Q4_0_R8"),
    (206, "Q5_0_R4"),
    (208, "Q8_0_R8"),
    (210, "Q2_K_R4"),
    (211, "Q3_K_R4"),
    (212, "Q4_K_R4"),
    (213, "Q5_K_R4"),
    (214, "Q6_K_R4"),
    (216, "IQ2_XXS_R4"),
    (217, "IQ2_XS_R4"),
    (218, "IQ3_XXS_R4"),
    (219, "IQ1_S_R4"),
    (220, "IQ4_NL_R4"),
    (221, "IQ3_S_R4"),
    (222, "IQ2_S_R4"),
    (223, "IQ4_XS_R8"),
    (229, "IQ1_M_R4"),
    (230, "BF16_R16"),
    (233, "Q6_0_R4"),
    (335, "IQ2_BN_R4"),
    (337, "IQ2_K_R4"),
    (338, "IQ3_K_R4"),
    (339, "IQ4_K_R4"),
    (340, "IQ5_K_R4"),
    (344, "IQ4_KS_R4"),
    (352, "IQ5_KS_R4"),
    (397, "Q8_K_R16"),
    (398, "Q8_KV_R8"),
    (399, "Q8_K_R8"),
];

/// A type as the header of a file needs it.
pub(crate) struct GgmlType {
    pub(crate) stored: StoredType,
    /// Values in a block, and its bytes.
    pub(crate) block: u64,
    pub(crate) size: u64,
}

/// The type of a number, if its tensors can be read or at least left alone.
pub(crate) fn type_of(number: u32) -> Option<GgmlType> {
    let float = |dtype, size| GgmlType { stored: StoredType::Float(dtype), block: 1, size };
    let other = |name, size| GgmlType { stored: StoredType::Other(name), block: 1, size };
    Some(match number {
        0 => float(DType::F32, 4),
        1 => float(DType::F16, 2),
        30 => float(DType::BF16, 2),
        24 => other("I8", 1),
        25 => other("I16", 2),
        26 => other("I32", 4),
        27 => other("I64", 8),
        28 => other("F64", 8),
        _ => {
            let (_, block) = BLOCKS.iter().find(|(known, _)| *known == number)?;
            let stored = StoredType::Packed(Packing::Blocks(*block));
            GgmlType { stored, block: block.values() as u64, size: block.bytes() as u64 }
        }
    })
}

/// What a type is called that [`type_of`] does not name.
pub(crate) fn unread_name(number: u32) -> String {
    let named = |list: &[(u32, &'static str)]| list.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    match (named(&UNREAD), named(&OF_IK_LLAMA)) {
        (Some(name), _) => format!("type {number} ({name})"),
        (None, Some(name)) => format!("type {number} ({name} of ik_llama.cpp)"),
        (None, None) => format!("type {number}"),
    }
}

/// The number by which a file names a type that is written, which is none of activations.
pub(crate) fn number_of(kind: GgmlDType) -> u32 {
    let number = |block| BLOCKS.iter().find(|(_, known)| *known == block).map(|(number, _)| *number);
    match kind {
        GgmlDType::F16 => 1,
        GgmlDType::BF16 => 30,
        kind => Block::of(kind).and_then(number).unwrap_or(0),
    }
}

/// ggml's name of a type that is written.
pub(crate) fn name_of(kind: GgmlDType) -> &'static str {
    match kind {
        GgmlDType::F16 => "F16",
        GgmlDType::BF16 => "BF16",
        kind => Block::of(kind).map_or("F32", Block::name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_number_and_what_candle_writes_is_read_again() {
        for block in Block::ALL {
            assert_eq!(BLOCKS.iter().filter(|(_, known)| *known == block).count(), 1, "{block:?}");
        }
        for number in 0..=64 {
            let unread = UNREAD.iter().filter(|(known, _)| *known == number).count();
            assert!(unread + usize::from(type_of(number).is_some()) <= 1, "{number}");
        }
        let ik = OF_IK_LLAMA.map(|(number, _)| number);
        assert!(ik.is_sorted() && ik.iter().all(|number| type_of(*number).is_none()));
        assert_eq!(unread_name(139), "type 139 (IQ4_K of ik_llama.cpp)");
        assert_eq!(unread_name(144), "type 144 (IQ4_KS of ik_llama.cpp)");
        for kind in [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16, GgmlDType::Q4_0, GgmlDType::Q8_0, GgmlDType::Q6K]
        {
            let found = type_of(number_of(kind)).unwrap();
            assert_eq!((found.block, found.size), (kind.block_size() as u64, kind.type_size() as u64));
            assert_eq!(found.stored.name(), name_of(kind));
        }
    }
}
