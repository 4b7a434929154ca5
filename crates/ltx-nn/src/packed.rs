//! Matrices that stay packed in memory: ggml's quantised blocks (decoded by candle) and 8-bit floats. A layer widens a panel
//! of rows at a time to f32 and multiplies that; activations are never rounded.
//! Source of the 8-bit floats: Micikevicius et al., “FP8 Formats for Deep Learning” (2022), e4m3.
//!
//! Must not know files, keys, or which layer multiplies.

use crate::{Compute, Matrix, NnError, Result, kernels};
use candle_core::{
    CpuStorage, DType, Device, Tensor,
    quantized::{GgmlDType, QuantizedType},
};
use rayon::prelude::*;
use std::{borrow::Cow, fmt, sync::Arc};

/// Values that are decoded at once.
const TILE: usize = 1 << 16;
/// Values of a widened panel: 16 MiB, which is what a packed product needs beside its output.
const PANEL: usize = 1 << 22;

/// How values are packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Packing {
    /// Blocks of ggml: each holds a few values and their common scale.
    Blocks(GgmlDType),
    /// One byte a value, e4m3 without infinities, times a scale that the whole tensor shares.
    Fp8 {
        /// Multiplies every value.
        scale: f32,
    },
}

impl Packing {
    /// Values in a block; rows hold whole blocks.
    pub fn block(self) -> usize {
        match self {
            Self::Blocks(kind) => kind.block_size(),
            Self::Fp8 { .. } => 1,
        }
    }

    /// Bytes of `values` values, which are whole blocks; `None` if they are not.
    pub fn bytes(self, values: usize) -> Option<usize> {
        let size = match self {
            Self::Blocks(kind) => kind.type_size(),
            Self::Fp8 { .. } => 1,
        };
        values.is_multiple_of(self.block()).then(|| (values / self.block()).checked_mul(size)).flatten()
    }
}

/// Packed values in reading order to f32.
///
/// # Errors
/// `bytes` does not hold `values` values in whole blocks.
pub fn unpack(bytes: &[u8], packing: Packing, values: usize) -> Result<Vec<f32>> {
    let mut wide = vec![0f32; values];
    let tiles = tiles(bytes, packing, TILE / packing.block() * packing.block(), values)?;
    wide.par_chunks_mut(TILE / packing.block() * packing.block())
        .zip(&tiles)
        .try_for_each(|(wide, tile)| tile.widen(wide))?;
    Ok(wide)
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

/// Some rows, decoded together.
enum Tile {
    Blocks(Box<dyn QuantizedType>),
    Fp8(Box<[u8]>, f32),
}

impl Tile {
    fn widen(&self, wide: &mut [f32]) -> Result<()> {
        match self {
            Self::Blocks(blocks) => {
                if let CpuStorage::F32(values) = blocks.dequantize(wide.len())? {
                    wide.copy_from_slice(&values);
                }
            }
            Self::Fp8(bytes, scale) => {
                let table: [f32; 256] = std::array::from_fn(|byte| e4m3(byte as u8) * scale);
                wide.iter_mut().zip(bytes).for_each(|(value, byte)| *value = table[usize::from(*byte)]);
            }
        }
        Ok(())
    }
}

/// Cuts `bytes` into tiles of `values` values each, the last one shorter. Copies them.
fn tiles(bytes: &[u8], packing: Packing, values: usize, all: usize) -> Result<Vec<Tile>> {
    let size = packing.bytes(values).filter(|size| *size > 0);
    let (Some(size), true) = (size, packing.bytes(all) == Some(bytes.len())) else {
        let found = format!("{} bytes", bytes.len());
        return Err(NnError::unsupported("packed weights", found, format!("{all} values in whole blocks")));
    };
    let aligned = bytes.is_empty() || bytes.as_ptr().addr().is_multiple_of(4);
    if matches!(packing, Packing::Blocks(_)) && !aligned {
        return Err(NnError::unsupported("packed weights", "an odd address", "alignment of four bytes"));
    }
    let tile = |bytes: &[u8]| match packing {
        Packing::Blocks(kind) => Tile::Blocks(kind.from_data(Cow::Borrowed(bytes))),
        Packing::Fp8 { scale } => Tile::Fp8(bytes.into(), scale),
    };
    Ok(bytes.chunks(size).map(tile).collect())
}

/// A packed matrix.
#[derive(Clone)]
pub struct Packed {
    tiles: Arc<[Tile]>,
    tile_rows: usize,
    packing: Packing,
    shape: [usize; 2],
    /// On a GPU, in place of the tiles.
    there: Option<kernels::cuda::Fp8>,
}

impl Packed {
    /// Copies a matrix `[outputs, inputs]`, row after row.
    ///
    /// # Errors
    /// A row is not whole blocks, or `bytes` does not hold that matrix.
    pub fn new(bytes: &[u8], packing: Packing, shape: [usize; 2]) -> Result<Self> {
        let [outputs, inputs] = shape;
        if inputs == 0 || packing.bytes(inputs).is_none() {
            return Err(NnError::unsupported("packed weights", format!("rows of {inputs}"), "whole blocks"));
        }
        let tile_rows = (TILE / inputs).clamp(1, outputs.max(1));
        let tiles = tiles(bytes, packing, tile_rows * inputs, outputs * inputs)?.into();
        Ok(Self { tiles, tile_rows, packing, shape, there: None })
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
        let Compute { device, dtype } = compute;
        let Packing::Fp8 { scale } = self.packing else {
            return Ok(Matrix::Dense(self.widened(device)?.to_dtype(*dtype)?));
        };
        let mut bytes = Vec::with_capacity(self.shape[0] * self.shape[1]);
        for tile in self.tiles.iter() {
            if let Tile::Fp8(values, _) = tile {
                bytes.extend_from_slice(values);
            }
        }
        let there = kernels::cuda::Fp8::new(Tensor::from_vec(bytes, (self.shape[0], self.shape[1]), device)?, scale)?;
        Ok(Matrix::Packed(Self { tiles: Arc::from([]), there: Some(there), ..self }))
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
    pub fn product(&self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            let wide = x.to_dtype(DType::F32)?.contiguous()?;
            return Ok(wide.apply_op1_no_bwd(&kernels::PackedProduct { weight: self.clone() })?.to_dtype(x.dtype())?);
        }
        match self.product_on_gpu(x, None, false)? {
            Some(y) => Ok(y),
            None => self.product_formula(x),
        }
    }

    /// The plain formula on any device: everything widened.
    fn product_formula(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.matmul(&self.widened(x.device())?.to_dtype(x.dtype())?.t()?)?)
    }

    /// The whole matrix in f32.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn widened(&self, device: &Device) -> Result<Tensor> {
        let mut wide = vec![0f32; self.shape[0] * self.shape[1]];
        self.widen(0, &mut wide)?;
        Ok(Tensor::from_vec(wide, (self.shape[0], self.shape[1]), device)?)
    }

    /// Rows of a panel: whole tiles.
    pub(crate) fn panel_rows(&self) -> usize {
        let tile = self.tile_rows * self.shape[1];
        (PANEL / tile).max(1) * self.tile_rows
    }

    /// Rows from `start` on, which begins a tile, to f32.
    pub(crate) fn widen(&self, start: usize, wide: &mut [f32]) -> Result<()> {
        let tiles = self.tiles.get(start / self.tile_rows..).unwrap_or_default();
        wide.par_chunks_mut(self.tile_rows * self.shape[1]).zip(tiles).try_for_each(|(wide, tile)| tile.widen(wide))
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
    use candle_core::quantized::QTensor;

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
    fn kernel_equals_the_formula_whatever_the_threads() -> Result<()> {
        let weight = Tensor::randn(0f32, 1f32, (333, 512), &Device::Cpu)?;
        let x = Tensor::randn(0f32, 1f32, (37, 512), &Device::Cpu)?;
        let mut packed = Vec::new();
        for kind in KINDS {
            let blocks = QTensor::quantize(&weight, kind)?;
            packed.push(Packed::new(&blocks.data()?, Packing::Blocks(kind), [333, 512])?);
            let expected = blocks.dequantize(&Device::Cpu)?.to_vec2::<f32>()?;
            assert_eq!(packed.last().unwrap().widened(&Device::Cpu)?.to_vec2::<f32>()?, expected, "{kind:?}");
        }
        let bytes: Vec<u8> = (0..333 * 512).map(|i| (i * 7 % 120) as u8).collect();
        packed.push(Packed::new(&bytes, Packing::Fp8 { scale: 0.5 }, [333, 512])?);
        for weight in packed {
            let product = weight.product(&x)?;
            let size = product.abs()?.max_all()?.to_scalar::<f32>()?;
            let error = (&product - weight.product_formula(&x)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(error <= 2e-6 * size, "{weight:?}: {error} of {size}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let alone = pool.install(|| weight.product(&x))?;
            assert_eq!(alone.to_vec2::<f32>()?, product.to_vec2::<f32>()?, "{weight:?}");
        }
        Ok(())
    }

    #[test]
    fn eight_bit_floats_are_what_the_paper_says() {
        for (byte, value) in [(0x00, 0.0), (0x01, 0.001953125), (0x08, 0.015625), (0x38, 1.0), (0x7e, 448.0)] {
            assert_eq!(e4m3(byte), value);
            assert_eq!(e4m3(byte | 0x80), -value);
        }
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        assert_eq!(unpack(&[0x38, 0xb8], Packing::Fp8 { scale: 3.0 }, 2).unwrap(), [3.0, -3.0]);
    }

    #[test]
    fn what_is_not_whole_blocks_is_refused() {
        let q8 = Packing::Blocks(GgmlDType::Q8_0);
        let bytes = vec![0u8; 68];
        assert!(Packed::new(&bytes, q8, [2, 32]).is_ok());
        assert!(Packed::new(&bytes, q8, [1, 64]).is_ok());
        for (length, shape) in [(67, [2, 32]), (68, [4, 16]), (68, [3, 32]), (0, [0, 0])] {
            assert!(Packed::new(&bytes[..length], q8, shape).is_err(), "{shape:?}");
        }
        assert!(unpack(&bytes, q8, 63).is_err());
        assert!(unpack(&[], q8, 0).unwrap().is_empty());
    }
}
