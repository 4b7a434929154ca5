//! A matrix in the form that a layer keeps.
//!
//! Must not know what it was stored as, or where its tensors lie.

use super::{Form, LowRank, Packed};
use crate::{KernelChoice, kernels};
use candle_core::Tensor;
use std::{fmt, sync::Arc};

/// A matrix `[outputs, inputs]` ready to be multiplied. `T` stands for its tensors: on the host, pinned there, or on the
/// device; products are those of tensors.
#[derive(Clone)]
pub struct Prepared<T = Tensor> {
    pub(super) shape: [usize; 2],
    pub(super) values: Values<T>,
    /// Which kernels multiply.
    pub(super) kernels: KernelChoice,
    pub(super) pairs: Vec<LowRank<T>>,
}

/// The values of a [`Prepared`].
#[derive(Clone)]
pub(super) enum Values<T> {
    /// Floats `[outputs, inputs]`.
    Rows(T),
    /// f32 on the CPU, in panels.
    Panels(T),
    /// bf16 on the CPU, in tiles.
    Tiles(Arc<kernels::Tiles16>),
    /// Rounded to 8 bits, on the CPU.
    EightBit(Arc<kernels::Weights8>),
    /// Packed, on the CPU.
    Packed(Packed),
    /// Packed, on the CPU, and rounded to 8 bits when it is multiplied.
    PackedEightBit(Packed),
    /// 8-bit floats on a GPU.
    Fp8(Fp8<T>),
}

/// 8-bit floats as a GPU multiplies them.
#[derive(Clone)]
pub(super) struct Fp8<T> {
    /// `[outputs, inputs]`, a byte each.
    pub(super) bytes: T,
    /// Multiplies every value.
    pub(super) scale: f32,
    /// The scale as a tensor on the device, once for each output: `[outputs]`.
    pub(super) scale_on_device: Tensor,
}

impl<T> Prepared<T> {
    /// `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The matrix with other tensors, each made by `each` of its own.
    ///
    /// # Errors
    /// As the first `each` that failed; nothing else of the matrix is made then.
    pub fn map<U, E>(&self, each: &mut impl FnMut(&T) -> Result<U, E>) -> Result<Prepared<U>, E> {
        let values = match &self.values {
            Values::Rows(rows) => Values::Rows(each(rows)?),
            Values::Panels(panels) => Values::Panels(each(panels)?),
            Values::Tiles(tiles) => Values::Tiles(Arc::clone(tiles)),
            Values::EightBit(matrix) => Values::EightBit(Arc::clone(matrix)),
            Values::Packed(packed) => Values::Packed(packed.clone()),
            Values::PackedEightBit(packed) => Values::PackedEightBit(packed.clone()),
            Values::Fp8(Fp8 { bytes, scale, scale_on_device }) => {
                Values::Fp8(Fp8 { bytes: each(bytes)?, scale: *scale, scale_on_device: scale_on_device.clone() })
            }
        };
        let pairs = self.pairs.iter().map(|pair| pair.map(each)).collect::<Result<_, E>>()?;
        Ok(Prepared { shape: self.shape, values, kernels: self.kernels, pairs })
    }
}

impl Prepared {
    /// The form that it has.
    pub fn form(&self) -> Form {
        match &self.values {
            Values::Rows(rows) if rows.device().is_cpu() => Form::Rows(rows.dtype()),
            Values::Rows(rows) => Form::GpuRows(rows.dtype()),
            Values::Panels(_) => Form::Panels,
            Values::Tiles(_) => Form::Tiles,
            Values::EightBit(_) => Form::EightBit,
            Values::Packed(packed) => Form::Packed(packed.packing()),
            Values::PackedEightBit(packed) => Form::PackedEightBit(packed.packing()),
            Values::Fp8(_) => Form::GpuFp8,
        }
    }

    /// Bytes of its tensors.
    pub fn tensor_bytes(&self) -> u64 {
        let mut bytes = 0;
        let counted = self.map(&mut |tensor| {
            bytes += (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64;
            Ok::<_, std::convert::Infallible>(())
        });
        match counted {
            Ok(_) => bytes,
        }
    }

    /// What its products are called in a profile.
    pub(crate) fn profile_name(&self) -> &'static str {
        if !self.pairs.is_empty() {
            return "linear";
        }
        match &self.values {
            Values::EightBit(_) | Values::PackedEightBit(_) => "linear in 8 bits",
            Values::Fp8(_) => "packed linear",
            Values::Packed(packed) if !packed.packing().is_half() => "packed linear",
            Values::Rows(_) | Values::Panels(_) | Values::Tiles(_) | Values::Packed(_) => "linear",
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({:?} {:?}, {} pairs)", self.shape, self.form(), self.pairs.len())
    }
}
