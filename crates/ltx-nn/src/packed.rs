//! Matrices that stay packed in memory: ggml's quantised blocks, 8-bit and 16-bit floats. A product decodes 32 rows by 256 values at a
//! time, into the panel that it multiplies next; activations are never rounded.
//!
//! Must not know files, keys, or which layer multiplies.

use crate::{Compute, Level, Matrix, NnError, Packing, Result, kernels};
use candle_core::{DType, Device, Tensor, WithDType};
use half::{bf16, f16};
use rayon::prelude::*;
use std::{fmt, sync::Arc};

/// Values that are decoded at once.
const TILE: usize = 1 << 16;

/// Packed values in reading order to f32.
///
/// # Errors
/// `bytes` does not hold `values` values in whole blocks.
pub fn unpack(level: Level, bytes: &[u8], packing: Packing, values: usize) -> Result<Vec<f32>> {
    check(bytes, packing, values)?;
    let mut wide = vec![0f32; values];
    let tile = TILE / packing.block() * packing.block();
    let size = packing.bytes(tile).unwrap_or(1);
    wide.par_chunks_mut(tile)
        .zip(bytes.par_chunks(size))
        .for_each(|(wide, bytes)| kernels::decode(level, packing, bytes, wide));
    Ok(wide)
}

/// Fails unless `bytes` holds `values` values in whole blocks of a kind that is decoded here.
fn check(bytes: &[u8], packing: Packing, values: usize) -> Result<()> {
    if packing.bytes(values) == Some(bytes.len()) && kernels::decodes(packing) {
        return Ok(());
    }
    let found = format!("{} bytes, {packing:?}", bytes.len());
    Err(NnError::unsupported("packed weights", found, format!("{values} values in whole blocks")))
}

/// A packed matrix.
#[derive(Clone)]
pub struct Packed {
    bytes: Arc<Vec<u8>>,
    packing: Packing,
    shape: [usize; 2],
    /// On a GPU, in place of the bytes.
    there: Option<kernels::cuda::Fp8>,
}

impl Packed {
    /// A matrix `[outputs, inputs]`, row after row.
    ///
    /// # Errors
    /// A row is not whole blocks, or `bytes` does not hold that matrix.
    pub fn new(bytes: Vec<u8>, packing: Packing, shape: [usize; 2]) -> Result<Self> {
        let [outputs, inputs] = shape;
        if inputs == 0 || packing.bytes(inputs).is_none() {
            return Err(NnError::unsupported("packed weights", format!("rows of {inputs}"), "whole blocks"));
        }
        check(&bytes, packing, outputs * inputs)?;
        Ok(Self { bytes: Arc::new(bytes), packing, shape, there: None })
    }

    /// `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// How it is packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// As a layer keeps it on a GPU: 8-bit floats are uploaded, blocks widened. The packed copy here goes.
    pub(crate) fn on(self, compute: &Compute) -> Result<Matrix> {
        let Compute { device, dtype, kernels, .. } = compute;
        let Packing::Fp8 { scale } = self.packing else {
            return Ok(Matrix::Dense(self.rounded(*dtype, kernels.level)?.to_device(device)?));
        };
        Ok(Matrix::Packed(Self::there(self.bytes_on(device)?, (scale, Tensor::new(&[scale], device)?))?))
    }

    /// 8-bit floats `[outputs, inputs]` that lie on a GPU, and their scale here and there.
    pub(crate) fn there(bytes: Tensor, (scale, scale_there): (f32, Tensor)) -> Result<Self> {
        let (outputs, inputs) = bytes.dims2()?;
        let there = Some(kernels::cuda::Fp8::new(bytes, scale, scale_there));
        Ok(Self { bytes: Arc::default(), packing: Packing::Fp8 { scale }, shape: [outputs, inputs], there })
    }

    /// Packed values of one byte each, as they are.
    pub(crate) fn bytes_on(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(self.bytes.as_slice(), (self.shape[0], self.shape[1]), device)?)
    }

    /// The whole matrix on the CPU in a dtype, each value rounded once. Nothing of its size in f32 is made on the way to 16
    /// bits.
    pub(crate) fn rounded(&self, dtype: DType, level: Level) -> Result<Tensor> {
        match dtype {
            DType::BF16 => self.rounded_to(bf16::from_f32, level),
            DType::F16 => self.rounded_to(f16::from_f32, level),
            _ => Ok(self.widened(&Device::Cpu, level)?.to_dtype(dtype)?),
        }
    }

    fn rounded_to<T: WithDType>(&self, round: impl Fn(f32) -> T + Sync, level: Level) -> Result<Tensor> {
        let values = self.shape[0] * self.shape[1];
        check(&self.bytes, self.packing, values)?;
        let tile = TILE / self.packing.block() * self.packing.block();
        let size = self.packing.bytes(tile).unwrap_or(1);
        let mut rounded = vec![round(0.0); values];
        rounded.par_chunks_mut(tile).zip(self.bytes.par_chunks(size)).for_each_init(
            || vec![0f32; tile],
            |wide, (rounded, bytes)| {
                let wide = &mut wide[..rounded.len()];
                kernels::decode(level, self.packing, bytes, wide);
                rounded.iter_mut().zip(wide).for_each(|(rounded, value)| *rounded = round(*value));
            },
        );
        Ok(Tensor::from_vec(rounded, (self.shape[0], self.shape[1]), &Device::Cpu)?)
    }

    /// `x Wᵀ + b`, then GELU if asked for, where the matrix lies on a GPU.
    pub(crate) fn product_on_gpu(&self, x: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Result<Option<Tensor>> {
        Ok(self.there.as_ref().map(|there| there.product(x, bias, gelu)).transpose()?)
    }

    /// `x Wᵀ`.
    ///
    /// # Shapes
    /// `[rows, inputs]` → `[rows, outputs]`, in the dtype of `x`; the sum is in f32 on the CPU.
    ///
    /// # Errors
    /// `x` has another width.
    pub fn product(&self, x: &Tensor, level: Level) -> Result<Tensor> {
        if x.device().is_cpu() {
            let wide = x.to_dtype(DType::F32)?.contiguous()?;
            let (weight, outputs) = (kernels::Weight::Packed(self.clone()), self.shape[0]);
            let op = kernels::Linear { level, weight, outputs, bias: None, then: kernels::Then::Nothing };
            return Ok(wide.apply_op1_no_bwd(&op)?.to_dtype(x.dtype())?);
        }
        match self.product_on_gpu(x, None, false)? {
            Some(y) => Ok(y),
            None => self.product_formula(x, level),
        }
    }

    /// The plain formula on any device: everything widened.
    fn product_formula(&self, x: &Tensor, level: Level) -> Result<Tensor> {
        Ok(x.matmul(&self.widened(x.device(), level)?.to_dtype(x.dtype())?.t()?)?)
    }

    /// The panels of a matrix that is multiplied often, in f32.
    pub(crate) fn panels(&self, level: Level) -> Result<Tensor> {
        Ok(kernels::panel_tensor(self.rows(level)?.panels(), self.shape)?)
    }

    /// The whole matrix in f32.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn widened(&self, device: &Device, level: Level) -> Result<Tensor> {
        let wide = unpack(level, &self.bytes, self.packing, self.shape[0] * self.shape[1])?;
        Ok(Tensor::from_vec(wide, (self.shape[0], self.shape[1]), device)?)
    }

    /// The rows as a kernel of the CPU reads them.
    pub(crate) fn rows(&self, level: Level) -> candle_core::Result<kernels::PackedRows<'_>> {
        Ok(kernels::PackedRows::new(level, &self.bytes, self.packing, self.shape)?)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({:?} {:?})", self.shape, self.packing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::{GgmlDType, QTensor};

    const KINDS: [GgmlDType; 7] = [
        GgmlDType::Q8_0,
        GgmlDType::Q6K,
        GgmlDType::Q5K,
        GgmlDType::Q4K,
        GgmlDType::Q4_0,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
    ];

    fn bytes_of(halves: &Tensor) -> Vec<u8> {
        let bits = |x: f32| (x.to_bits() >> 16) as u16;
        match halves.dtype() {
            DType::BF16 => {
                let values = halves.to_dtype(DType::F32).and_then(|x| x.flatten_all()?.to_vec1::<f32>()).unwrap();
                values.into_iter().flat_map(|x| bits(x).to_le_bytes()).collect()
            }
            _ => {
                let values = halves.flatten_all().and_then(|x| x.to_vec1::<half::f16>()).unwrap();
                values.into_iter().flat_map(half::f16::to_le_bytes).collect()
            }
        }
    }

    #[test]
    fn halves_that_are_multiplied_often_become_the_panels_or_tiles_of_their_wide_form() -> Result<()> {
        let weight = Tensor::randn(0f32, 1f32, (70, 333), &Device::Cpu)?;
        for (packing, dtype) in [(Packing::Bf16, DType::BF16), (Packing::F16, DType::F16)] {
            let halves = weight.to_dtype(dtype)?;
            let packed = Packed::new(bytes_of(&halves), packing, [70, 333])?;
            let wide = halves.to_dtype(DType::F32)?;
            assert_eq!(packed.widened(&Device::Cpu, Level::widest())?.to_vec2::<f32>()?, wide.to_vec2::<f32>()?);
            let Matrix::Panels(expected) = Matrix::Dense(wide).ready(Level::widest())? else { panic!("no panels") };
            for level in Level::available() {
                let ready = Matrix::Packed(packed.clone()).ready(level).unwrap();
                assert_eq!(matches!(ready, Matrix::Tiles(_)), level.has_tiles() && packing == Packing::Bf16);
                let found = match ready {
                    Matrix::Panels(panels) => panels,
                    Matrix::Tiles(tiles) => kernels::panel_tensor(tiles.0.panels(), [70, 333]).unwrap(),
                    other => panic!("{level:?} {packing:?}: {other:?}"),
                };
                let values = |tensor: &Tensor| tensor.to_vec3::<f32>().unwrap();
                assert_eq!(values(&found), values(&expected), "{level:?} {packing:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn kernel_equals_the_formula_whatever_the_threads() -> Result<()> {
        let weight = Tensor::randn(0f32, 1f32, (333, 512), &Device::Cpu)?;
        let x = Tensor::randn(0f32, 1f32, (37, 512), &Device::Cpu)?;
        let mut packed = Vec::new();
        for kind in KINDS {
            let blocks = QTensor::quantize(&weight, kind)?;
            packed.push(Packed::new(blocks.data()?.to_vec(), Packing::Blocks(kind), [333, 512])?);
            let expected = blocks.dequantize(&Device::Cpu)?.to_vec2::<f32>()?;
            assert_eq!(
                packed.last().unwrap().widened(&Device::Cpu, Level::widest())?.to_vec2::<f32>()?,
                expected,
                "{kind:?}"
            );
        }
        let bytes: Vec<u8> = (0..333 * 512).map(|i| (i * 7 % 120) as u8).collect();
        packed.push(Packed::new(bytes, Packing::Fp8 { scale: 0.5 }, [333, 512])?);
        for (packing, halves) in [(Packing::Bf16, DType::BF16), (Packing::F16, DType::F16)] {
            packed.push(Packed::new(bytes_of(&weight.to_dtype(halves)?), packing, [333, 512])?);
        }
        for level in Level::available() {
            for weight in &packed {
                let largest = |x: Tensor| x.abs().and_then(|x| x.max_all()?.to_scalar::<f32>()).unwrap();
                let product = weight.product(&x, level).unwrap();
                let error = largest((&product - weight.product_formula(&x, level).unwrap()).unwrap());
                let size = largest(product.clone());
                let split = level.has_tiles() && weight.packing == Packing::Bf16;
                assert!(error <= if split { 4e-6 } else { 2e-6 } * size, "{level:?} {weight:?}: {error} of {size}");
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                let alone = pool.install(|| weight.product(&x, level)).unwrap();
                assert_eq!(alone.to_vec2::<f32>().unwrap(), product.to_vec2::<f32>().unwrap(), "{level:?} {weight:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_scale_multiplies_every_value() {
        assert_eq!(unpack(Level::PORTABLE, &[0x38, 0xb8], Packing::Fp8 { scale: 3.0 }, 2).unwrap(), [3.0, -3.0]);
    }

    #[test]
    fn what_is_not_whole_blocks_is_refused() {
        let q8 = Packing::Blocks(GgmlDType::Q8_0);
        let bytes = vec![0u8; 68];
        assert!(Packed::new(bytes.clone(), q8, [2, 32]).is_ok());
        assert!(Packed::new(bytes.clone(), q8, [1, 64]).is_ok());
        for (length, shape) in [(67, [2, 32]), (68, [4, 16]), (68, [3, 32]), (0, [0, 0])] {
            assert!(Packed::new(bytes[..length].to_vec(), q8, shape).is_err(), "{shape:?}");
        }
        assert!(unpack(Level::PORTABLE, &bytes, q8, 63).is_err());
        assert!(unpack(Level::PORTABLE, &[], q8, 0).unwrap().is_empty());
    }
}
