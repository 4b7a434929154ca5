//! Every hot operator at LTX-2.3's widths with few tokens, and at the small model's: `cargo bench -p ltx-nn`.
//!
//! Must not know a checkpoint: weights are random. Tests do not run it; lints compile it.

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use divan::{Bencher, black_box, counter::ItemsCount};
use ltx_nn::{
    AttentionShape, Block, Compute, Conv3d, Conv3dConfig, EightBitProducts, FrequencyPrecision, KernelChoice, Linear,
    Mask, Modulation, NeighbourhoodAttention, NeighbourhoodShape, Packing, Result, RmsNorm, ShiftScale, Sides,
    TimePadding, TokenIndex, Vb, Weights, attention, fractional_rope_table, gelu,
    matrix::{self, Packed, Use},
    rms_norm_modulate,
};
use std::sync::Arc;

fn main() {
    divan::main();
}

/// Tensors of random values under every name.
struct Random;

impl Weights for Random {
    fn tensor(&self, _: &str, shape: &[usize], _: &Compute) -> Result<Tensor> {
        Ok(Tensor::randn(0f32, 0.02f32, shape, &Device::Cpu)?)
    }

    fn rows(&self, _: &str, shape: [usize; 2], rows: &[u32], _: &Compute) -> Result<Tensor> {
        Ok(Tensor::randn(0f32, 0.02f32, (rows.len(), shape[1]), &Device::Cpu)?)
    }

    fn check(&self, _: &str, _: &[usize]) -> Result<()> {
        Ok(())
    }
}

fn vb() -> Vb {
    Vb::new(Arc::new(Random), Compute::cpu_f32())
}

fn kernels() -> KernelChoice {
    KernelChoice::fastest()
}

fn randn(shape: impl Into<candle_core::Shape>) -> Tensor {
    Tensor::randn(0f32, 1f32, shape, &Device::Cpu).expect("random values")
}

/// Runs `work` and counts `operations` (a product and a sum are two), so that the table shows operations a second.
fn run(bencher: Bencher<'_, '_>, operations: usize, work: impl Fn() -> Result<Tensor> + Sync) {
    bencher.counter(ItemsCount::new(operations)).bench_local(|| black_box(work().expect("sizes that fit")));
}

/// Tokens and widths: two of the full model's layers, one of the mid one's, one of the shipped model's.
#[divan::bench(args = [(384, 4096, 4096), (128, 4096, 16_384), (384, 2048, 8192), (1000, 1152, 6912), (48, 64, 256)], max_time = 4)]
fn linear(bencher: Bencher<'_, '_>, (tokens, inputs, outputs): (usize, usize, usize)) {
    let layer = Linear::load(&vb(), inputs, outputs).expect("random weights");
    let x = randn((1, tokens, inputs));
    run(bencher, 2 * tokens * inputs * outputs, || layer.forward(&x));
}

/// What a matrix is stored as, and how it is multiplied.
#[derive(Debug, Clone, Copy)]
enum Stored {
    /// 16-bit floats, widened while they are multiplied: a layer that is used once.
    Passing,
    /// bf16, in the form that a layer keeps that stays.
    Staying,
    /// bf16 in a layer that is used once.
    PassingBf16,
    /// Quantised blocks, decoded while they are multiplied.
    Blocks(GgmlDType),
    /// Quantised blocks, rounded to 8 bits while they are multiplied, as activations are.
    EightBit(GgmlDType),
}

/// The type of block that candle writes.
fn block(kind: GgmlDType) -> Block {
    Block::of(kind).expect("a type for weights")
}

impl Weights for Stored {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> Result<Tensor> {
        Random.tensor(key, shape, compute)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> Result<matrix::Stored> {
        let wide = self.tensor(key, &shape, compute)?;
        let (bytes, packing) = match self {
            Self::Passing => {
                let halves = wide.to_dtype(DType::F16)?.flatten_all()?.to_vec1::<half::f16>()?;
                (halves.into_iter().flat_map(half::f16::to_le_bytes).collect(), Packing::F16)
            }
            Self::Staying | Self::PassingBf16 => {
                let halves = wide.to_dtype(DType::BF16)?.flatten_all()?.to_vec1::<half::bf16>()?;
                (halves.into_iter().flat_map(half::bf16::to_le_bytes).collect(), Packing::Bf16)
            }
            Self::Blocks(kind) | Self::EightBit(kind) => {
                (QTensor::quantize(&wide, *kind)?.data()?.to_vec(), Packing::Blocks(block(*kind)))
            }
        };
        Ok(matrix::Stored::packed(Packed::new(bytes, packing, shape)?))
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> Result<Tensor> {
        Random.rows(key, shape, rows, compute)
    }

    fn check(&self, _: &str, _: &[usize]) -> Result<()> {
        Ok(())
    }
}

/// What the matrix is stored as; tokens and widths of the full model's blocks, of Gemma-3-1B's and of the projection.
#[divan::bench(
    args = [
        (Stored::Blocks(GgmlDType::Q8_0), 384, 4096, 4096), (Stored::Blocks(GgmlDType::Q4K), 384, 4096, 4096),
        (Stored::EightBit(GgmlDType::Q8_0), 384, 4096, 4096), (Stored::EightBit(GgmlDType::Q4K), 384, 4096, 4096),
        (Stored::Blocks(GgmlDType::Q4K), 32, 4096, 4096), (Stored::EightBit(GgmlDType::Q4K), 32, 4096, 4096),
        (Stored::Staying, 384, 4096, 4096), (Stored::Staying, 1536, 2048, 8192), (Stored::PassingBf16, 1000, 1152, 6912),
        (Stored::Passing, 384, 4096, 4096), (Stored::Passing, 64, 1152, 6912),
        (Stored::Passing, 1000, 1152, 6912), (Stored::Passing, 1000, 6912, 1152), (Stored::Passing, 1000, 31_104, 1024),
    ],
    max_time = 4
)]
fn packed_linear(bencher: Bencher<'_, '_>, (stored, tokens, inputs, outputs): (Stored, usize, usize, usize)) {
    let eight_bit =
        if matches!(stored, Stored::EightBit(_)) { EightBitProducts::Always } else { EightBitProducts::Never };
    let compute = Compute { eight_bit, ..Compute::cpu_f32() };
    let usage = if matches!(stored, Stored::Staying) { Use::Stays } else { Use::Once };
    let layer = Linear::load(&Vb::new(Arc::new(stored), compute).used(usage), inputs, outputs).expect("random weights");
    let x = randn((1, tokens, inputs));
    run(bencher, 2 * tokens * inputs * outputs, || layer.forward(&x));
}

/// Heads, queries, keys and width of a head: self-attention, text cross-attention, the shipped model.
#[divan::bench(args = [(32, 384, 384, 128), (32, 384, 1024, 128), (16, 1536, 1536, 128), (4, 48, 1024, 16)], max_time = 4)]
fn attention_full(bencher: Bencher<'_, '_>, (heads, queries, keys, width): (usize, usize, usize, usize)) {
    attend(bencher, (heads, heads), (queries, keys, width), Mask::Full);
}

/// Gemma-3-1B's and Gemma-3-12B's sliding layers.
#[divan::bench(args = [(4, 1, 1000, 256), (16, 8, 1000, 256), (4, 1, 64, 256)], max_time = 4)]
fn attention_causal(bencher: Bencher<'_, '_>, (heads, kv_heads, tokens, width): (usize, usize, usize, usize)) {
    attend(bencher, (heads, kv_heads), (tokens, tokens, width), Mask::Causal { window: 512 });
}

/// A frame after the other of a clip of frames, rows and columns, each position seeing so many of each: LTX-2.5's diffusion decoder.
#[divan::bench(args = [(4, 11, 12, 24, 24), (8, 5, 9, 24, 24)], max_time = 8)]
fn neighbourhood_attention(
    bencher: Bencher<'_, '_>,
    (heads, kernel, frames, rows, columns): (usize, usize, usize, usize, usize),
) {
    let shape = NeighbourhoodShape {
        heads,
        head_dim: 64,
        kernel: [kernel; 3],
        clip: [frames, rows, columns],
        sides: Sides::Shifted,
    };
    let (qkv, norm) = (randn((rows * columns, 3 * heads * 64)), randn(64));
    run(bencher, shape.operations() as usize, || {
        let mut clip = NeighbourhoodAttention::new(shape, [&norm, &norm], kernels())?;
        let mut last = None;
        for _ in 0..frames {
            while clip.wanted().is_some() {
                clip.put(&qkv)?;
            }
            last = Some(clip.answer()?);
        }
        Ok(last.expect("a clip has frames"))
    });
}

fn attend(
    bencher: Bencher<'_, '_>,
    (heads, kv_heads): (usize, usize),
    (queries, keys, width): (usize, usize, usize),
    mask: Mask,
) {
    let shape = AttentionShape { heads, kv_heads, scale: (width as f64).powf(-0.5), mask };
    let q = randn((1, queries, heads * width));
    let (k, v) = (randn((1, keys, kv_heads * width)), randn((1, keys, kv_heads * width)));
    run(bencher, 4 * heads * queries * keys * width, || attention(&q, &k, &v, &shape, kernels()));
}

/// Channels in and out, frames, rows, columns: the decoder from its coarsest to its finest level, half width, the shipped one;
/// with pixel norm and SiLU before it.
#[divan::bench(
    args = [(1024, 1024, 2, 8, 8), (512, 512, 5, 16, 16), (256, 256, 9, 32, 32), (128, 128, 9, 64, 64), (64, 64, 9, 64, 96), (16, 16, 9, 24, 32)],
    max_time = 4
)]
fn conv3d(bencher: Bencher<'_, '_>, (inputs, outputs, frames, rows, columns): (usize, usize, usize, usize, usize)) {
    let config = Conv3dConfig::cube(inputs, outputs, TimePadding::Replicate).normed(1e-8);
    let layer = Conv3d::load(&vb(), config).expect("random weights");
    let x = randn((1, frames, rows, columns, inputs));
    run(bencher, 54 * inputs * outputs * frames * rows * columns, || layer.forward(&x));
}

#[divan::bench(args = [(384, 16_384), (384, 8192), (48, 256)], max_time = 2)]
fn gelu_tanh(bencher: Bencher<'_, '_>, (tokens, width): (usize, usize)) {
    let x = randn((1, tokens, width));
    run(bencher, tokens * width, || gelu(&x, kernels()));
}

#[divan::bench(args = [(384, 4096), (384, 2048), (48, 64)], max_time = 2)]
fn norm_and_modulate(bencher: Bencher<'_, '_>, (tokens, width): (usize, usize)) {
    let index = TokenIndex::new((0..tokens as u32).map(|token| token % 2).collect(), &Device::Cpu).expect("an index");
    let by = Modulation::new(&randn((2, 9, width)), Some(index)).expect("two values");
    let (x, rows) = (randn((1, tokens, width)), ShiftScale { shift: 0, scale: 1 });
    run(bencher, tokens * width, || rms_norm_modulate(&x, &by, rows, 1e-6, kernels()));
}

#[divan::bench(args = [(384, 4096), (384, 2048), (48, 64)], max_time = 2)]
fn norm_of_queries(bencher: Bencher<'_, '_>, (tokens, width): (usize, usize)) {
    let (norm, x) = (RmsNorm::load(&vb(), width, 1e-6).expect("random weights"), randn((1, tokens, width)));
    run(bencher, tokens * width, || norm.forward(&x));
}

#[divan::bench(args = [(384, 32, 128), (384, 16, 128), (48, 4, 16)], max_time = 2)]
fn rope(bencher: Bencher<'_, '_>, (tokens, heads, width): (usize, usize, usize)) {
    let positions = vec![(0..tokens).map(|t| t as f32).collect::<Vec<_>>(); 3];
    let (grid, size) = ((10_000.0, FrequencyPrecision::F64), (heads * width, heads));
    let compute = Compute::cpu_f32();
    let table = fractional_rope_table(&positions, &[20.0, 2048.0, 2048.0], grid, size, &compute).expect("a table");
    let x = randn((1, tokens, heads * width));
    run(bencher, tokens * heads * width, || table.apply(&x, heads));
}
