//! A matrix taken apart into the tensors that have to be copied, and put together again on the other side.
//!
//! Must not know where the tensors are.

use crate::{Compute, LowRank, Matrix, Packed, Packing, Result};
use candle_core::{Device, Tensor};

/// What a GPU keeps a matrix as. `T` stands for its tensors: on the host, pinned there, or on the device.
pub(super) enum Form<T> {
    /// In the compute dtype.
    Dense(T),
    /// Bytes of 8-bit floats.
    Fp8 {
        bytes: T,
        /// What every value is multiplied by, and the same on the device, where it stays.
        scale: (f32, Tensor),
    },
    /// A matrix and the pairs of low rank beside it, with their scales.
    Beside(Box<Form<T>>, Vec<(T, T, f32)>),
}

impl Form<Tensor> {
    /// From a matrix on the host, in the form that a GPU is to have: blocks and wider floats become the dtype.
    pub(super) fn of(matrix: Matrix, compute: &Compute) -> Result<Self> {
        Ok(match matrix {
            Matrix::Packed(packed) => match packed.packing() {
                Packing::Fp8 { scale } => {
                    let there = Tensor::new(&[scale], &compute.device)?;
                    Self::Fp8 { bytes: packed.bytes_on(&Device::Cpu)?, scale: (scale, there) }
                }
                _ => Self::Dense(packed.rounded(compute.dtype)?),
            },
            Matrix::Beside(matrix, products) => {
                let pairs = products.iter().map(|product| product.parts());
                Self::Beside(Box::new(Self::of(*matrix, compute)?), pairs.collect())
            }
            Matrix::Dense(matrix) | Matrix::Panels(matrix) => {
                Self::Dense(matrix.to_dtype(compute.dtype)?.contiguous()?)
            }
            Matrix::Tiles(_) | Matrix::EightBit(_) => {
                return Err(crate::NnError::unsupported("a streamed matrix", "a form of the CPU's", "its stored form"));
            }
        })
    }

    /// All of its bytes.
    pub(super) fn bytes(&self) -> u64 {
        let size = |tensor: &Tensor| (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64;
        match self {
            Self::Dense(matrix) => size(matrix),
            Self::Fp8 { bytes, .. } => size(bytes),
            Self::Beside(matrix, pairs) => {
                matrix.bytes() + pairs.iter().map(|(down, up, _)| size(down) + size(up)).sum::<u64>()
            }
        }
    }

    /// The matrix that these tensors are.
    pub(super) fn matrix(self) -> Result<Matrix> {
        Ok(match self {
            Self::Dense(matrix) => Matrix::Dense(matrix),
            Self::Fp8 { bytes, scale } => Matrix::Packed(Packed::there(bytes, scale)?),
            Self::Beside(matrix, pairs) => {
                let product = |(down, up, scale)| LowRank::new(down, up, scale);
                Matrix::Beside(Box::new(matrix.matrix()?), pairs.into_iter().map(product).collect::<Result<_>>()?)
            }
        })
    }
}

impl<T> Form<T> {
    /// The same of other tensors, each made by `each`.
    pub(super) fn map<U>(&self, each: &mut impl FnMut(&T) -> Result<U>) -> Result<Form<U>> {
        let made = self.try_map(&mut |tensor| each(tensor).map(Some))?;
        made.ok_or_else(|| crate::NnError::unsupported("a streamed matrix", "nothing", "its tensors"))
    }

    /// The same; `None` as soon as `each` makes none.
    pub(super) fn try_map<U>(&self, each: &mut impl FnMut(&T) -> Result<Option<U>>) -> Result<Option<Form<U>>> {
        Ok(match self {
            Self::Dense(matrix) => each(matrix)?.map(Form::Dense),
            Self::Fp8 { bytes, scale } => each(bytes)?.map(|bytes| Form::Fp8 { bytes, scale: scale.clone() }),
            Self::Beside(matrix, pairs) => {
                let Some(matrix) = matrix.try_map(each)? else { return Ok(None) };
                let mut made = Vec::with_capacity(pairs.len());
                for (down, up, scale) in pairs {
                    let (Some(down), Some(up)) = (each(down)?, each(up)?) else { return Ok(None) };
                    made.push((down, up, *scale));
                }
                Some(Form::Beside(Box::new(matrix), made))
            }
        })
    }
}
