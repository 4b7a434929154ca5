//! The one rule for the form of a matrix: what is stored, where it is multiplied and what for decide what a layer keeps, and
//! how many bytes that takes. Who loads and who plans ask here.
//!
//! Must not know how a form is made, or how it is multiplied.

use super::{Description, StoredKind};
use crate::{Compute, EightBitProducts, Packing, kernels::GROUP};
use candle_core::DType;

/// What a layer is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Many products: the layer stays, and the form that is multiplied fastest is worth making.
    Stays,
    /// Many products, where memory is short: the layer stays, in no more bits than it is stored in.
    Compact,
    /// One product or a few.
    Once,
    /// One pass: the layer is dropped behind it and loaded again for the next, through a staging where there is one.
    Streamed,
}

/// Where and how matrices are multiplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arithmetic {
    /// Whether the matrix lies in a GPU's memory.
    pub on_gpu: bool,
    /// The dtype of activations.
    pub dtype: DType,
    /// Which large matrices are multiplied in 8 bits; on the CPU in f32 alone.
    pub eight_bit: EightBitProducts,
    /// Whether the CPU multiplies weights of bf16 in tiles of bf16.
    pub tiles: bool,
}

impl Arithmetic {
    /// The arithmetic of a part of the model.
    pub fn of(compute: &Compute) -> Self {
        let (on_gpu, tiles) = (!compute.device.is_cpu(), compute.kernels.level.has_tiles());
        Self { on_gpu, dtype: compute.dtype, eight_bit: compute.eight_bit, tiles }
    }

    /// The form of a tensor that is no matrix: floats of the dtype.
    pub fn floats(&self) -> Form {
        if self.on_gpu { Form::GpuRows(self.dtype) } else { Form::Rows(self.dtype) }
    }
}

/// What a layer keeps a matrix as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// On the CPU: floats of this dtype, row after row.
    Rows(DType),
    /// On the CPU: f32 in the order in which products read it.
    Panels,
    /// On the CPU: bf16 in the order in which AMX reads it.
    Tiles,
    /// On the CPU: 8-bit integers, groups of which share a scale; activations are rounded as well.
    EightBit,
    /// On the CPU: packed as it is stored, decoded while it is multiplied.
    Packed(Packing),
    /// On the CPU: packed as it is stored, decoded and rounded to 8-bit integers while it is multiplied; activations as in
    /// [`Self::EightBit`], and with the same sums.
    PackedEightBit(Packing),
    /// On a GPU: floats of this dtype, row after row.
    GpuRows(DType),
    /// On a GPU: 8-bit floats as they are stored, and their scale.
    GpuFp8,
}

impl Form {
    /// Bytes of so many values. Rows that fill up the last panel or tile are not counted.
    pub fn bytes(self, values: usize) -> u64 {
        let values_of = |size: usize| (values * size) as u64;
        match self {
            Self::Rows(dtype) | Self::GpuRows(dtype) => values_of(dtype.size_in_bytes()),
            Self::Panels => values_of(4),
            Self::Tiles => values_of(2),
            // A group has a scale and an offset, of four bytes each.
            Self::EightBit => (values + values / GROUP * 8) as u64,
            Self::Packed(packing) | Self::PackedEightBit(packing) => packing.bytes(values).unwrap_or(0) as u64,
            Self::GpuFp8 => values_of(1),
        }
    }

    /// What it is called where products are counted.
    pub fn name(self) -> String {
        match self {
            Self::Rows(dtype) => format!("rows of {}", dtype.as_str()),
            Self::Panels => "panels".to_owned(),
            Self::Tiles => "tiles".to_owned(),
            Self::EightBit => "int8".to_owned(),
            Self::Packed(packing) => packing.name().to_owned(),
            Self::PackedEightBit(packing) => format!("{} in int8", packing.name()),
            Self::GpuRows(dtype) => format!("{} on a GPU", dtype.as_str()),
            Self::GpuFp8 => "fp8 on a GPU".to_owned(),
        }
    }

    /// Whether products of it are in 8 bits.
    pub fn is_eight_bit(self) -> bool {
        matches!(self, Self::EightBit | Self::PackedEightBit(_))
    }

    /// Whether values are converted or ordered anew when a matrix of it is loaded.
    pub fn is_laid_out(self) -> bool {
        match self {
            Self::Panels | Self::Tiles | Self::EightBit | Self::GpuRows(_) => true,
            Self::Rows(_) | Self::Packed(_) | Self::PackedEightBit(_) | Self::GpuFp8 => false,
        }
    }

    /// Bytes that lie beside the form, in the same memory, while it is made of what is stored.
    pub fn bytes_while_loading(self, stored: StoredKind, values: usize) -> u64 {
        match (self, stored) {
            (Self::Packed(_) | Self::PackedEightBit(_) | Self::GpuFp8, _) => 0,
            (Self::Rows(_) | Self::Panels | Self::Tiles | Self::EightBit, _) => stored.bytes(values),
            // To f32, and from blocks to anything, values are converted on the host.
            (Self::GpuRows(DType::F32), _) => 0,
            (Self::GpuRows(_), StoredKind::Packed(packing)) if !packing.is_half() => 0,
            (Self::GpuRows(dtype), _) if stored.bytes(values) == (values * dtype.size_in_bytes()) as u64 => 0,
            (Self::GpuRows(_), _) => stored.bytes(values),
        }
    }
}

/// Outputs of a layer that is worth rounding, at least.
const LEAST_OUTPUTS: usize = 64;

/// The form that a matrix takes.
pub fn form(matrix: &Description, arithmetic: &Arithmetic, usage: Use) -> Form {
    match (arithmetic.on_gpu, arithmetic.dtype) {
        (true, dtype) => on_gpu(matrix.kind, dtype),
        (false, DType::F32) => in_f32(matrix, arithmetic, usage),
        (false, dtype) => in_16_bits(matrix.kind, dtype),
    }
}

/// On a GPU everything is floats of the dtype but 8-bit floats, which it multiplies as they are.
fn on_gpu(stored: StoredKind, dtype: DType) -> Form {
    match stored {
        StoredKind::Packed(Packing::Fp8 { .. }) => Form::GpuFp8,
        StoredKind::ShapeAlone | StoredKind::Floats(_) | StoredKind::Packed(_) => Form::GpuRows(dtype),
    }
}

/// On the CPU in 16 bits, products of floats are candle's. What is packed otherwise stays so.
fn in_16_bits(stored: StoredKind, dtype: DType) -> Form {
    match stored {
        StoredKind::Packed(packing) if !packing.is_half() => Form::Packed(packing),
        StoredKind::ShapeAlone | StoredKind::Floats(_) | StoredKind::Packed(_) => Form::Rows(dtype),
    }
}

/// On the CPU in f32, floats that are multiplied often are laid out for it. What is packed otherwise is decoded while it is
/// multiplied, however often that is: memory is what it is packed for.
fn in_f32(matrix: &Description, arithmetic: &Arithmetic, usage: Use) -> Form {
    let (stays, often) = match usage {
        Use::Stays => (true, true),
        Use::Compact => (true, false),
        Use::Once | Use::Streamed => (false, false),
    };
    let packed = matches!(matrix.kind, StoredKind::Packed(packing) if !packing.is_half());
    let rounded = arithmetic.eight_bit.are_of(packed) && can_be_rounded(matrix);
    match matrix.kind {
        StoredKind::ShapeAlone => Form::Rows(DType::F32),
        StoredKind::Packed(packing) if rounded && !(packing.is_half() && stays) => Form::PackedEightBit(packing),
        StoredKind::Floats(_) | StoredKind::Packed(_) if rounded => Form::EightBit,
        StoredKind::Floats(_) if stays => Form::Panels,
        StoredKind::Floats(_) => Form::Rows(DType::F32),
        StoredKind::Packed(Packing::Bf16) if arithmetic.tiles && stays => Form::Tiles,
        StoredKind::Packed(packing) if !packing.is_half() || !often => Form::Packed(packing),
        StoredKind::Packed(_) => Form::Panels,
    }
}

/// Whether a matrix can be multiplied in 8 bits: it has rows of whole groups, and outputs enough. Pairs beside it never are.
fn can_be_rounded(matrix: &Description) -> bool {
    let [outputs, inputs] = matrix.shape;
    inputs.is_multiple_of(GROUP) && outputs >= LEAST_OUTPUTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Element, GroupScale, Groups};

    const BF16: StoredKind = StoredKind::Packed(Packing::Bf16);
    const F16: StoredKind = StoredKind::Packed(Packing::F16);
    const FP8: StoredKind = StoredKind::Packed(Packing::Fp8 { scale: 0.5 });
    const Q4_K: StoredKind = StoredKind::Packed(Packing::Blocks(Block::Q4_K));
    const NVFP4: StoredKind = StoredKind::Packed(Packing::Groups(Groups {
        element: Element::E2m1,
        size: 16,
        scale: GroupScale::E4m3,
        factor: 0.5,
        rotation: 1,
    }));
    const FLOATS: StoredKind = StoredKind::Floats(DType::F32);

    const CPU: Arithmetic =
        Arithmetic { on_gpu: false, dtype: DType::F32, eight_bit: EightBitProducts::Never, tiles: false };
    const AMX: Arithmetic = Arithmetic { tiles: true, ..CPU };
    const INT8: Arithmetic = Arithmetic { eight_bit: EightBitProducts::Always, ..CPU };
    const AUTO: Arithmetic = Arithmetic { eight_bit: EightBitProducts::WherePacked, ..CPU };
    const CPU_BF16: Arithmetic = Arithmetic { dtype: DType::BF16, ..CPU };
    const GPU: Arithmetic = Arithmetic { on_gpu: true, ..CPU_BF16 };

    fn matrix(kind: StoredKind) -> Description {
        Description { kind, shape: [64, 256], has_pairs: false }
    }

    #[test]
    fn the_table_of_forms() {
        let packed = |kind| match kind {
            StoredKind::Packed(packing) => Form::Packed(packing),
            other => panic!("{other:?}"),
        };
        let rounded = |kind| match kind {
            StoredKind::Packed(packing) => Form::PackedEightBit(packing),
            other => panic!("{other:?}"),
        };
        for (arithmetic, kind, stays, once) in [
            (CPU, FLOATS, Form::Panels, Form::Rows(DType::F32)),
            (CPU, BF16, Form::Panels, packed(BF16)),
            (CPU, F16, Form::Panels, packed(F16)),
            (CPU, FP8, packed(FP8), packed(FP8)),
            (CPU, Q4_K, packed(Q4_K), packed(Q4_K)),
            (CPU, NVFP4, packed(NVFP4), packed(NVFP4)),
            (CPU, StoredKind::ShapeAlone, Form::Rows(DType::F32), Form::Rows(DType::F32)),
            (AMX, BF16, Form::Tiles, packed(BF16)),
            (AMX, F16, Form::Panels, packed(F16)),
            (INT8, FLOATS, Form::EightBit, Form::EightBit),
            (INT8, BF16, Form::EightBit, rounded(BF16)),
            (INT8, Q4_K, rounded(Q4_K), rounded(Q4_K)),
            (INT8, NVFP4, rounded(NVFP4), rounded(NVFP4)),
            (INT8, StoredKind::ShapeAlone, Form::Rows(DType::F32), Form::Rows(DType::F32)),
            (AUTO, FLOATS, Form::Panels, Form::Rows(DType::F32)),
            (AUTO, BF16, Form::Panels, packed(BF16)),
            (AUTO, FP8, rounded(FP8), rounded(FP8)),
            (AUTO, Q4_K, rounded(Q4_K), rounded(Q4_K)),
            (CPU_BF16, FLOATS, Form::Rows(DType::BF16), Form::Rows(DType::BF16)),
            (CPU_BF16, BF16, Form::Rows(DType::BF16), Form::Rows(DType::BF16)),
            (CPU_BF16, Q4_K, packed(Q4_K), packed(Q4_K)),
            (GPU, BF16, Form::GpuRows(DType::BF16), Form::GpuRows(DType::BF16)),
            (GPU, FLOATS, Form::GpuRows(DType::BF16), Form::GpuRows(DType::BF16)),
            (GPU, Q4_K, Form::GpuRows(DType::BF16), Form::GpuRows(DType::BF16)),
            (GPU, NVFP4, Form::GpuRows(DType::BF16), Form::GpuRows(DType::BF16)),
            (GPU, FP8, Form::GpuFp8, Form::GpuFp8),
        ] {
            assert_eq!(form(&matrix(kind), &arithmetic, Use::Stays), stays, "{kind:?} {arithmetic:?}");
            assert_eq!(form(&matrix(kind), &arithmetic, Use::Once), once, "{kind:?} {arithmetic:?}");
            assert_eq!(form(&matrix(kind), &arithmetic, Use::Streamed), once, "{kind:?} {arithmetic:?}");
        }
    }

    #[test]
    fn what_stays_where_memory_is_short_has_no_more_bits_than_it_is_stored_in() {
        for (arithmetic, kind, compact) in [
            (CPU, BF16, Form::Packed(Packing::Bf16)),
            (CPU, F16, Form::Packed(Packing::F16)),
            (AMX, BF16, Form::Tiles),
            (AMX, F16, Form::Packed(Packing::F16)),
            (CPU, FLOATS, Form::Panels),
            (INT8, BF16, Form::EightBit),
            (CPU_BF16, BF16, Form::Rows(DType::BF16)),
            (GPU, BF16, Form::GpuRows(DType::BF16)),
            (GPU, FP8, Form::GpuFp8),
        ] {
            assert_eq!(form(&matrix(kind), &arithmetic, Use::Compact), compact, "{kind:?} {arithmetic:?}");
        }
        for kind in [FP8, Q4_K, NVFP4] {
            let of = |usage| form(&matrix(kind), &CPU, usage);
            assert_eq!(of(Use::Compact), of(Use::Stays), "{kind:?}");
        }
    }

    #[test]
    fn eight_bits_are_for_whole_groups_and_many_outputs() {
        for shape in [[64, 200], [63, 256]] {
            assert_eq!(form(&Description { shape, ..matrix(BF16) }, &INT8, Use::Stays), Form::Panels, "{shape:?}");
        }
        let with_pairs = Description { has_pairs: true, ..matrix(Q4_K) };
        assert_eq!(form(&with_pairs, &INT8, Use::Stays), form(&matrix(Q4_K), &INT8, Use::Stays));
    }

    #[test]
    fn bytes_of_a_form_and_beside_it_while_it_is_made() {
        let gpu_f32 = Arithmetic { dtype: DType::F32, ..GPU };
        for (arithmetic, kind, expected) in [
            (CPU, BF16, [8192, 4096]),
            (CPU, FLOATS, [8192, 8192]),
            (CPU, Q4_K, [1152, 0]),
            (CPU, NVFP4, [1152, 0]),
            (GPU, NVFP4, [4096, 0]),
            (AMX, BF16, [4096, 4096]),
            (INT8, BF16, [2176, 4096]),
            (INT8, Q4_K, [1152, 0]),
            (GPU, BF16, [4096, 0]),
            (GPU, F16, [4096, 0]),
            (GPU, FLOATS, [4096, 8192]),
            (GPU, Q4_K, [4096, 0]),
            (GPU, FP8, [2048, 0]),
            (gpu_f32, BF16, [8192, 0]),
        ] {
            let found = form(&Description { shape: [64, 128], ..matrix(kind) }, &arithmetic, Use::Stays);
            let values = 2048;
            assert_eq!([found.bytes(values), found.bytes_while_loading(kind, values)], expected, "{kind:?} {found:?}");
        }
    }
}
