//! A matrix as bytes on the host: ggml's quantised blocks, 8-bit and 16-bit floats. A product decodes 32 rows by 256 values at
//! a time, into the panel that it multiplies next; activations are never rounded.
//!
//! Must not know files, keys, or which layer multiplies.

use crate::{Compute, Level, NnError, Packing, Result, kernels};
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
    if packing.bytes(values) == Some(bytes.len()) && packing.is_sound() {
        return Ok(());
    }
    let found = format!("{} bytes, {packing:?}", bytes.len());
    Err(NnError::unsupported("packed weights", found, format!("{values} values in whole blocks")))
}

/// A packed matrix; it always has its bytes. Clones share them.
#[derive(Clone)]
pub struct Packed {
    bytes: Arc<Vec<u8>>,
    packing: Packing,
    shape: [usize; 2],
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
        Ok(Self { bytes: Arc::new(bytes), packing, shape })
    }

    /// `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// How it is packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Packed values of one byte each, as they are.
    pub(crate) fn bytes_on(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(self.bytes.as_slice(), (self.shape[0], self.shape[1]), device)?)
    }

    /// The values as a tensor of a dtype on a device, each rounded at most once. 16-bit floats are converted to other 16 bits on
    /// the device; all else on the host, where nothing of the matrix's size in f32 is made on the way to 16 bits.
    pub(crate) fn tensor(&self, compute: &Compute) -> Result<Tensor> {
        let Compute { device, dtype, kernels, .. } = compute;
        let (dtype, level) = (*dtype, kernels.level);
        let halves = |stored| Tensor::from_raw_buffer(&self.bytes, stored, &self.shape, device)?.to_dtype(dtype);
        match (self.packing, dtype) {
            (_, DType::F32) => self.widened(device, level),
            (Packing::Bf16, _) => Ok(halves(DType::BF16)?),
            (Packing::F16, _) => Ok(halves(DType::F16)?),
            (_, DType::BF16) => Ok(self.rounded_to(bf16::from_f32, level)?.to_device(device)?),
            (_, DType::F16) => Ok(self.rounded_to(f16::from_f32, level)?.to_device(device)?),
            _ => Ok(self.widened(&Device::Cpu, level)?.to_dtype(dtype)?.to_device(device)?),
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
    use crate::{Block, matrix::tests::bytes_of};
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

    #[test]
    fn every_packing_is_widened_to_the_values_of_its_blocks() -> Result<()> {
        let weight = Tensor::randn(0f32, 1f32, (33, 512), &Device::Cpu)?;
        for kind in KINDS {
            let blocks = QTensor::quantize(&weight, kind)?;
            let packed = Packed::new(blocks.data()?.to_vec(), Packing::Blocks(Block::of(kind).unwrap()), [33, 512])?;
            let expected = blocks.dequantize(&Device::Cpu)?.to_vec2::<f32>()?;
            assert_eq!(packed.widened(&Device::Cpu, Level::widest())?.to_vec2::<f32>()?, expected, "{kind:?}");
        }
        Ok(())
    }

    #[test]
    fn values_become_a_tensor_of_any_dtype_and_each_is_rounded_once() -> Result<()> {
        let weight = Tensor::randn(0f32, 1f32, (6, 64), &Device::Cpu)?;
        let blocks = QTensor::quantize(&weight, GgmlDType::Q8_0)?;
        let mut all = vec![(
            Packed::new(blocks.data()?.to_vec(), Packing::Blocks(Block::Q8_0), [6, 64])?,
            blocks.dequantize(&Device::Cpu)?,
        )];
        for (packing, dtype) in [(Packing::Bf16, DType::BF16), (Packing::F16, DType::F16)] {
            let halves = weight.to_dtype(dtype)?;
            all.push((Packed::new(bytes_of(&halves), packing, [6, 64])?, halves.to_dtype(DType::F32)?));
        }
        for (packed, wide) in all {
            for dtype in [DType::BF16, DType::F16, DType::F32] {
                let found = packed.tensor(&Compute::cpu_f32().with_dtype(dtype))?;
                let values = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.to_vec2::<f32>();
                assert_eq!(found.dtype(), dtype);
                assert_eq!(values(&found)?, values(&wide.to_dtype(dtype)?)?, "{packed:?} {dtype:?}");
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
        let q8 = Packing::Blocks(Block::Q8_0);
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
