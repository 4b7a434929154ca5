//! What only a GPU can show: cuBLASLt's products, calls that launch several kernels, graphs, and rates. `scripts/gpu/gpu-check` runs them,
//! with `LTXD_TEST_DEVICE`; the kernels' own tests run there as well.

use super::super::{
    capture, copy_into,
    dispatch::{self, ModulationTensors, NormedRope},
    emulate::GPU,
    formulas::{self, relative_l2},
    fp8_matrix::{Fp8, Rounded},
    write_into,
};
use crate::{AttentionShape, Conv3dConfig, CudaKernels, Mask, Normalize, ShiftScale, TimePadding, e4m3, synchronize};
use candle_core::{DType, Device, Result, Tensor};
use std::time::Instant;

/// Rounding of inputs, weights and results to bf16, where no sum in f32 hides it.
const BF16: f64 = 8e-3;

fn gpu() -> &'static Device {
    GPU.as_ref().expect("LTXD_TEST_DEVICE names a GPU")
}

/// A random tensor on the CPU, of values that bf16 has.
fn randn(shape: &[usize], scale: f32) -> Result<Tensor> {
    Tensor::randn(0f32, scale, shape, &Device::Cpu)?.to_dtype(DType::BF16)?.to_dtype(DType::F32)
}

fn there(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_device(gpu())?.to_dtype(DType::BF16)
}

fn back(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)
}

fn close(found: &Tensor, expected: &Tensor, most: f64, what: &str) -> Result<()> {
    let error = relative_l2(&back(found)?, expected).unwrap_or_else(|error| panic!("{what}: {error}"));
    println!("{what}: {error:.1e}");
    assert!(error < most, "{what}: {error:.1e}");
    Ok(())
}

/// Whether two tensors hold the same bytes.
fn same(one: &Tensor, other: &Tensor) -> Result<bool> {
    Ok(back(one)?.flatten_all()?.to_vec1::<f32>()? == back(other)?.flatten_all()?.to_vec1::<f32>()?)
}

#[test]
#[ignore = "needs a GPU"]
fn products_equal_the_formula() -> Result<()> {
    for (rows, inputs, outputs) in [(6144, 4096, 4096), (77, 128, 32), (1, 256, 4096), (300, 512, 2048)] {
        let (x, weight, bias) =
            (randn(&[rows, inputs], 1.0)?, randn(&[outputs, inputs], 0.05)?, randn(&[outputs], 1.0)?);
        let plain = x.matmul(&weight.t()?)?;
        for (with_bias, gelu) in [(false, false), (true, false), (true, true)] {
            let mut expected = plain.clone();
            if with_bias {
                expected = expected.broadcast_add(&bias)?;
            }
            if gelu {
                expected = expected.gelu()?;
            }
            let bias = if with_bias { Some(there(&bias)?) } else { None };
            let found = dispatch::linear(&there(&x)?, &there(&weight)?, bias.as_ref(), gelu)?;
            let what = format!("product {rows}x{inputs}x{outputs}, bias {with_bias}, gelu {gelu}");
            close(&found.expect("cuBLASLt has an algorithm"), &expected, BF16, &what)?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn products_of_8_bits_equal_the_formula() -> Result<()> {
    let (rows, inputs, outputs, scale) = (512, 1024, 768, 0.01f32);
    let bytes: Vec<u8> =
        (0..outputs * inputs).map(|i| (i * 37 % 251) as u8).map(|b| if b & 0x7f == 0x7f { 0 } else { b }).collect();
    let values: Vec<f32> = bytes.iter().map(|byte| e4m3(*byte) * scale).collect();
    let (x, bias) = (randn(&[rows, inputs], 1.0)?, randn(&[outputs], 1.0)?);
    let weight = Tensor::from_vec(values, (outputs, inputs), &Device::Cpu)?;
    let expected = x.matmul(&weight.t()?)?.broadcast_add(&bias)?;
    let matrix =
        Fp8::new(Tensor::from_vec(bytes, (outputs, inputs), gpu())?, scale, Tensor::full(scale, outputs, gpu())?);
    let (x, bias) = (there(&x)?, there(&bias)?);
    let found = matrix.product(&x, Rounded::of(&x)?.as_ref(), Some(&bias), false)?;
    // Activations have three bits of mantissa.
    close(&found, &expected, 4e-2, "product of 8 bits")?;
    let (by_row, by_tensor) = (Rounded::by_row(&x)?, Rounded::of(&x)?.expect("the GPU multiplies 8 bits"));
    for gelu in [false, true] {
        let expected = if gelu { expected.gelu()? } else { expected.clone() };
        for (rounded, how) in [(&by_row, "by row"), (&by_tensor, "by tensor")] {
            match matrix.product_of(rounded, Some(&bias), gelu)? {
                Some(found) => close(&found, &expected, 4e-2, &format!("product of 8 bits {how}, gelu {gelu}"))?,
                None => println!("rate: cuBLASLt has no product of 8 bits {how}, gelu {gelu}"),
            }
        }
    }
    Ok(())
}

/// A convolution's weight and bias, on the CPU, and as the GPU's kernel reads them.
struct Convolution {
    config: Conv3dConfig,
    plain: [Tensor; 2],
    arranged: (Tensor, Tensor),
}

impl Convolution {
    fn new(config: Conv3dConfig) -> Result<Self> {
        let [kt, kh, kw] = config.kernel;
        let plain = [randn(&[config.outputs, config.inputs, kt, kh, kw], 0.05)?, randn(&[config.outputs], 0.05)?];
        let arranged = dispatch::arranged(&there(&plain[0])?, &there(&plain[1])?, config.unfold)?;
        Ok(Self { config, plain, arranged: arranged.expect("a kernel") })
    }

    fn on_gpu(&self, x: &Tensor, sum: Option<&Tensor>) -> Result<Tensor> {
        let (weight, bias) = &self.arranged;
        Ok(dispatch::conv3d(x, (weight, bias), &self.config, sum, CudaKernels::Newest)?.expect("a kernel"))
    }
}

#[test]
#[ignore = "needs a GPU"]
fn convolutions_equal_the_formula() -> Result<()> {
    for (inputs, outputs, unfold) in
        [(128, 128, [1, 1, 1]), (64, 256, [1, 2, 2]), (256, 512, [2, 2, 2]), (8, 48, [1, 1, 1])]
    {
        let config = Conv3dConfig::cube(inputs, outputs, TimePadding::Causal).normed(1e-8).unfolded(unfold);
        let (layer, x) = (Convolution::new(config)?, randn(&[1, 5, 18, 23, inputs], 1.0)?);
        let expected = formulas::conv3d(&x, &layer.plain[0], &layer.plain[1], &config)?;
        let found = layer.on_gpu(&there(&x)?, None)?;
        close(&found, &expected, 1e-2, &format!("convolution {inputs} to {outputs}, {unfold:?}"))?;
        let sum = randn(expected.dims(), 1.0)?;
        let found = layer.on_gpu(&there(&x)?, Some(&there(&sum)?))?;
        close(&found, &(sum + &expected)?, 1e-2, "onto a sum")?;
    }
    let x = randn(&[2, 3, 4, 5, 136], 1.0)?;
    let found = dispatch::pixel_norm(&there(&x)?, 1e-8)?.expect("a kernel");
    close(&found, &formulas::pixel_norm_silu(&x, 1e-8)?, BF16, "pixel norm")
}

fn attention(q: &Tensor, k: &Tensor, v: &Tensor, shape: &AttentionShape) -> Result<Tensor> {
    Ok(dispatch::attention([q, k, v], shape, CudaKernels::Newest)?.expect("a kernel"))
}

#[test]
#[ignore = "needs a GPU"]
fn long_attention_equals_the_formula() -> Result<()> {
    for (queries, keys, heads, head_dim) in [(2100, 2100, 2, 128), (1000, 1024, 4, 64), (333, 4097, 1, 128)] {
        let random = |tokens: usize| randn(&[1, tokens, heads * head_dim], 1.0);
        let (q, k, v) = (random(queries)?, random(keys)?, random(keys)?);
        let shape = AttentionShape { heads, kv_heads: heads, scale: 1.0 / (head_dim as f64).sqrt(), mask: Mask::Full };
        let (found, expected) =
            (attention(&there(&q)?, &there(&k)?, &there(&v)?, &shape)?, formulas::attention(&q, &k, &v, &shape)?);
        close(&found, &expected, BF16, &format!("attention of {queries} over {keys}, {heads} heads of {head_dim}"))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn a_graph_computes_what_was_noted_down() -> Result<()> {
    let (tokens, heads, head_dim) = (777, 4, 64);
    let width = heads * head_dim;
    let weight = there(&randn(&[width, width], 0.05)?)?;
    let index = Tensor::from_vec((0..tokens as u32).map(|token| token % 2).collect(), tokens, gpu())?;
    let rows = there(&randn(&[2, 3, width], 1.0)?)?;
    let by = ModulationTensors { rows: &rows, index: Some(&index) };
    let angles: Vec<f32> = (0..tokens * head_dim / 2).map(|i| i as f32 * 0.01).collect();
    let angles = Tensor::from_vec(angles, (tokens, 1, head_dim / 2), &Device::Cpu)?;
    let (cos, sin) = (angles.cos()?.to_device(gpu())?, angles.sin()?.to_device(gpu())?);
    let logits = there(&randn(&[1, tokens, heads], 1.0)?)?;
    let shape = AttentionShape { heads, kv_heads: heads, scale: 0.125, mask: Mask::Full };
    let work = |x: &Tensor| -> Result<Option<Tensor>> {
        let shift_scale = ShiftScale { shift: 0, scale: 1 };
        let Some(normed) = dispatch::norm_modulate(x, &by, shift_scale, Normalize::Rms, 1e-6)? else { return Ok(None) };
        let rope = NormedRope { cos: &cos, sin: &sin, heads, norm: None };
        let Some(q) = dispatch::norm_rope(&normed, &rope)? else { return Ok(None) };
        let Some(y) = dispatch::attention([&q, &q, &normed], &shape, CudaKernels::Newest)? else { return Ok(None) };
        let Some(y) = dispatch::gate_heads(&y, &logits)? else { return Ok(None) };
        let Some(y) = dispatch::linear(&y.reshape((tokens, width))?, &weight, None, true)? else { return Ok(None) };
        dispatch::gated_residual(x, &y.reshape((1, tokens, width))?, &by, 2)
    };
    let input = there(&randn(&[1, tokens, width], 1.0)?)?;
    let output = input.zeros_like()?;
    // Everything is loaded before it is noted down.
    write_into(&work(&input)?.expect("kernels"), &output)?;
    let graph = capture(gpu(), || write_into(&work(&input)?.expect("kernels"), &output))?;
    let mut graph = graph.expect("it can be noted down");
    for round in 0..6 {
        let x = there(&randn(&[1, tokens, width], 1.0)?)?;
        copy_into(&x, &input)?;
        graph.launch()?;
        assert!(same(&output, &work(&x)?.expect("kernels"))?, "round {round}");
    }
    Ok(())
}

/// Seconds of one of many runs, with the device idle before and after.
fn seconds(work: impl Fn() -> Result<Tensor>) -> Result<f64> {
    for _ in 0..3 {
        work()?;
    }
    synchronize(gpu())?;
    let (began, runs) = (Instant::now(), 20);
    for _ in 0..runs {
        work()?;
    }
    synchronize(gpu())?;
    Ok(began.elapsed().as_secs_f64() / f64::from(runs))
}

#[test]
#[ignore = "needs a GPU, and measures it"]
fn rates() -> Result<()> {
    let random = |shape: &[usize]| there(&randn(shape, 1.0)?);
    let rate = |name: &str, operations: usize, seconds: f64| {
        println!("rate: {name}: {:.3} ms, {:.0} TFLOP/s", seconds * 1e3, operations as f64 / seconds / 1e12)
    };
    for tokens in [6144, 13_376] {
        let x = random(&[1, tokens, 4096])?;
        for (queries, keys, heads, head_dim) in
            [(tokens, tokens, 32, 128), (tokens, 1024, 32, 128), (tokens, tokens, 64, 64)]
        {
            let k = random(&[1, keys, heads * head_dim])?;
            let shape = AttentionShape { heads, kv_heads: heads, scale: 0.1, mask: Mask::Full };
            let taken = seconds(|| attention(&x, &k, &k, &shape))?;
            rate(&format!("attention of {queries} over {keys}, heads of {head_dim}"), 4 * queries * keys * 4096, taken);
        }
        for outputs in [4096, 16_384] {
            let (rows, weight, bias) = (x.squeeze(0)?, random(&[outputs, 4096])?, random(&[outputs])?);
            let product = || Ok(dispatch::linear(&rows, &weight, Some(&bias), outputs > 4096)?.expect("an algorithm"));
            rate(&format!("product {tokens}x4096x{outputs}"), 2 * tokens * 4096 * outputs, seconds(product)?);
        }
        let (rows, index) = (random(&[2, 9, 4096])?, Tensor::from_vec(vec![1u32; tokens], tokens, gpu())?);
        let by = ModulationTensors { rows: &rows, index: Some(&index) };
        let logits = random(&[1, tokens, 32])?;
        let bytes = tokens * 4096 * 2;
        let pass = |name: &str, streams: usize, taken: f64| {
            println!(
                "rate: {name}, {tokens} tokens: {:.3} ms, {:.2} TB/s",
                taken * 1e3,
                (streams * bytes) as f64 / taken / 1e12
            );
        };
        let rows = ShiftScale { shift: 0, scale: 1 };
        let modulated = || Ok(dispatch::norm_modulate(&x, &by, rows, Normalize::Rms, 1e-6)?.expect("a kernel"));
        pass("norm and modulate", 2, seconds(modulated)?);
        pass("gated residual", 3, seconds(|| Ok(dispatch::gated_residual(&x, &x, &by, 2)?.expect("a kernel")))?);
        let angles = Tensor::zeros((tokens, 32, 64), DType::F32, gpu())?;
        let (weight, by_head) = (random(&[4096])?, NormedRope { cos: &angles, sin: &angles, heads: 32, norm: None });
        let by_head = NormedRope { norm: Some((&weight, 1e-6)), ..by_head };
        pass("norm and rope", 4, seconds(|| Ok(dispatch::norm_rope(&x, &by_head)?.expect("a kernel")))?);
        pass("norm", 2, seconds(|| Ok(dispatch::rms_norm(&x, Some(&weight), 1e-6)?.expect("a kernel")))?);
        let whole = x.squeeze(0)?;
        let rounded = || Rounded::of(&whole).map(|rounded| rounded.expect("the GPU multiplies 8 bits").bytes);
        pass("rounding to 8 bits", 2, seconds(rounded)?);
        pass("rounding to 8 bits by row", 2, seconds(|| Ok(Rounded::by_row(&whole)?.bytes))?);
        for (inputs, outputs) in [(4096, 4096), (4096, 16_384), (16_384, 4096)] {
            let bytes = Tensor::full(0x31u8, (outputs, inputs), gpu())?;
            let matrix = Fp8::new(bytes, 0.01, Tensor::full(0.01f32, outputs, gpu())?);
            let x = random(&[tokens, inputs])?;
            let by_tensor = Rounded::of(&x)?.expect("the GPU multiplies 8 bits");
            for (rounded, how) in [(Rounded::by_row(&x)?, "by row"), (by_tensor, "by tensor")] {
                let name = format!("product of 8 bits {how} {tokens}x{inputs}x{outputs}");
                if matrix.product_of(&rounded, None, false)?.is_none() {
                    println!("rate: {name}: cuBLASLt has none");
                    continue;
                }
                let product = || Ok(matrix.product_of(&rounded, None, false)?.expect("an algorithm"));
                rate(&name, 2 * tokens * inputs * outputs, seconds(product)?);
            }
        }
        pass("gate heads", 2, seconds(|| Ok(dispatch::gate_heads(&x, &logits)?.expect("a kernel")))?);
    }
    for (frames, rows, columns, channels) in [(16, 16, 24, 1024), (31, 64, 96, 512), (121, 128, 192, 128)] {
        let config = Conv3dConfig::cube(channels, channels, TimePadding::Causal);
        let (layer, x) = (Convolution::new(config)?, random(&[1, frames, rows, columns, channels])?);
        let taken = seconds(|| layer.on_gpu(&x, None))?;
        rate(
            &format!("convolution {frames}x{rows}x{columns} of {channels}"),
            54 * channels * channels * frames * rows * columns,
            taken,
        );
    }
    Ok(())
}
