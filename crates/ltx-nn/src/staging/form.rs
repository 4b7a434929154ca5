//! A matrix taken apart into the tensors that have to be copied, and put together again on the other side.
//!
//! Must not know where the tensors are.

use crate::{Compute, LowRank, Matrix, NnError, Packed, Packing, Result};
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
                _ => Self::Dense(packed.rounded(compute.dtype, compute.kernels.level)?),
            },
            Matrix::Beside(matrix, products) => {
                let pairs = products.iter().map(|product| product.parts());
                Self::Beside(Box::new(Self::of(*matrix, compute)?), pairs.collect())
            }
            Matrix::Dense(matrix) => Self::Dense(matrix.to_dtype(compute.dtype)?.contiguous()?),
            Matrix::Panels(_) | Matrix::Tiles(_) | Matrix::EightBit(_) => {
                return Err(NnError::unsupported("a streamed matrix", "a form of the CPU's", "its stored form"));
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
        made.ok_or_else(|| NnError::unsupported("a streamed matrix", "nothing", "its tensors"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{
        DType,
        quantized::{GgmlDType, QTensor},
    };

    fn bf16() -> Compute {
        Compute::cpu_f32().with_dtype(DType::BF16)
    }

    fn randn(rows: usize, columns: usize) -> Tensor {
        Tensor::randn(0f32, 1f32, (rows, columns), &Device::Cpu).unwrap()
    }

    /// Counts its tensors on the way.
    fn through(form: &Form<Tensor>) -> (Matrix, usize) {
        let mut count = 0;
        let there = form.map(&mut |tensor| {
            count += 1;
            Ok(tensor.copy()?)
        });
        (there.unwrap().matrix().unwrap(), count)
    }

    #[test]
    fn blocks_and_wide_floats_become_the_dtype_and_each_value_is_rounded_once() {
        let weight = randn(6, 64);
        let blocks = QTensor::quantize(&weight, GgmlDType::Q8_0).unwrap();
        let packed = Packed::new(blocks.data().unwrap().to_vec(), Packing::Blocks(GgmlDType::Q8_0), [6, 64]).unwrap();
        let widened = blocks.dequantize(&Device::Cpu).unwrap();
        for (matrix, expected) in [(Matrix::Dense(weight.clone()), weight), (Matrix::Packed(packed), widened)] {
            for dtype in [DType::BF16, DType::F16, DType::F32] {
                let form = Form::of(matrix.clone(), &Compute::cpu_f32().with_dtype(dtype)).unwrap();
                assert_eq!(form.bytes(), (6 * 64 * dtype.size_in_bytes()) as u64);
                let (Matrix::Dense(found), 1) = through(&form) else { panic!("not dense") };
                let values = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
                assert_eq!(found.dtype(), dtype);
                assert_eq!(values(&found), values(&expected.to_dtype(dtype).unwrap()), "{dtype:?}");
            }
        }
    }

    #[test]
    fn eight_bit_floats_stay_bytes_and_pairs_of_low_rank_come_along() {
        let packed = Packed::new((0..128).collect(), Packing::Fp8 { scale: 0.5 }, [4, 32]).unwrap();
        let pair = |rank| LowRank::new(randn(rank, 32), randn(4, rank), 2.0).unwrap();
        let beside = Matrix::Beside(Box::new(Matrix::Packed(packed)), [pair(2), pair(3)].into());
        let form = Form::of(beside, &bf16()).unwrap();
        assert_eq!(form.bytes(), 128 + 4 * (5 * 32 + 5 * 4));
        let (Matrix::Beside(matrix, pairs), 5) = through(&form) else { panic!("not beside") };
        let Matrix::Packed(matrix) = *matrix else { panic!("not packed") };
        assert_eq!((matrix.shape(), matrix.packing(), pairs.len()), ([4, 32], Packing::Fp8 { scale: 0.5 }, 2));
        assert_eq!(pairs[1].parts().0.dims(), [3, 32]);
    }

    #[test]
    fn what_one_tensor_has_no_room_for_is_not_made_by_halves() {
        let pair = LowRank::new(randn(2, 8), randn(4, 2), 1.0).unwrap();
        let form = Form::of(Matrix::Beside(Box::new(Matrix::Dense(randn(4, 8))), [pair].into()), &bf16()).unwrap();
        for room in 0..4 {
            let mut left = room;
            let made = form.try_map(&mut |tensor| {
                left -= 1;
                Ok((left >= 0).then(|| tensor.clone()))
            });
            assert_eq!(made.unwrap().is_some(), room >= 3, "{room}");
        }
        assert!(
            Form::of(Matrix::Dense(randn(2, 2)).ready(crate::Level::widest()).unwrap(), &bf16()).is_err(),
            "panels have another order"
        );
    }
}
