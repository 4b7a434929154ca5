//! What only a GPU can show: cuBLASLt's products, layers that launch several kernels, recordings, and rates.
//! `scripts/gpu/gpu-check` runs them, with `LTXD_TEST_DEVICE`; the kernels' own tests run there as well.

use super::super::{
    dispatch::{self, Fp8},
    emulate::GPU,
};
use crate::{
    AttentionShape, Compute, Conv3d, Conv3dConfig, Mask, Modulation, Recorder, RopeTable, ShiftScale, TimePadding,
    TokenIndex, Vb, Weights, attention, e4m3, gate_heads, gated_residual, norm::pixel_norm_silu, relative_l2,
    rms_norm_modulate, synchronize,
};
use candle_core::{DType, Device, Tensor};
use std::{sync::Arc, time::Instant};

/// Rounding of inputs, weights and results to bf16, where no sum in f32 hides it.
const BF16: f64 = 8e-3;

fn gpu() -> &'static Device {
    GPU.as_ref().expect("LTXD_TEST_DEVICE names a GPU")
}

/// A random tensor on the CPU, of values that bf16 has.
fn randn(shape: &[usize], scale: f32) -> candle_core::Result<Tensor> {
    Tensor::randn(0f32, scale, shape, &Device::Cpu)?.to_dtype(DType::BF16)?.to_dtype(DType::F32)
}

fn there(tensor: &Tensor) -> candle_core::Result<Tensor> {
    tensor.to_device(gpu())?.to_dtype(DType::BF16)
}

fn back(tensor: &Tensor) -> candle_core::Result<Tensor> {
    tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)
}

fn close(found: &Tensor, expected: &Tensor, most: f64, what: &str) -> crate::Result<()> {
    let error = relative_l2(&back(found)?, expected).unwrap_or_else(|error| panic!("{what}: {error}"));
    println!("{what}: {error:.1e}");
    assert!(error < most, "{what}: {error:.1e}");
    Ok(())
}

/// Whether two tensors hold the same bytes.
fn same(one: &Tensor, other: &Tensor) -> candle_core::Result<bool> {
    Ok(back(one)?.flatten_all()?.to_vec1::<f32>()? == back(other)?.flatten_all()?.to_vec1::<f32>()?)
}

#[test]
#[ignore = "needs a GPU"]
fn products_equal_the_formula() -> crate::Result<()> {
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
fn products_of_8_bits_equal_the_formula() -> crate::Result<()> {
    let (rows, inputs, outputs, scale) = (512, 1024, 768, 0.01f32);
    let bytes: Vec<u8> =
        (0..outputs * inputs).map(|i| (i * 37 % 251) as u8).map(|b| if b & 0x7f == 0x7f { 0 } else { b }).collect();
    let values: Vec<f32> = bytes.iter().map(|byte| e4m3(*byte) * scale).collect();
    let (x, bias) = (randn(&[rows, inputs], 1.0)?, randn(&[outputs], 1.0)?);
    let weight = Tensor::from_vec(values, (outputs, inputs), &Device::Cpu)?;
    let expected = x.matmul(&weight.t()?)?.broadcast_add(&bias)?;
    let there_scale = Tensor::new(&[scale], gpu())?;
    let matrix = Fp8::new(Tensor::from_vec(bytes, (outputs, inputs), gpu())?, scale, there_scale);
    let found = matrix.product(&there(&x)?, Some(&there(&bias)?), false)?;
    // Activations have three bits of mantissa.
    close(&found, &expected, 4e-2, "product of 8 bits")
}

/// Tensors of random values, the same for the same name on every device.
struct Named;

impl Weights for Named {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> crate::Result<Tensor> {
        let mut state = key.bytes().fold(1u32, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|_| next() * 0.2).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?
            .to_dtype(DType::BF16)?
            .to_dtype(compute.dtype)?
            .to_device(&compute.device)?)
    }
    fn rows(&self, key: &str, shape: [usize; 2], _: &[u32], compute: &Compute) -> crate::Result<Tensor> {
        self.tensor(key, &shape, compute)
    }
    fn check(&self, _: &str, _: &[usize]) -> crate::Result<()> {
        Ok(())
    }
}

#[test]
#[ignore = "needs a GPU"]
fn convolutions_equal_the_formula() -> crate::Result<()> {
    let on = |device: &Device, dtype| {
        Vb::new(Arc::new(Named), Compute { device: device.clone(), dtype, ..Compute::cpu_f32() })
    };
    for (inputs, outputs, unfold) in
        [(128, 128, [1, 1, 1]), (64, 256, [1, 2, 2]), (256, 512, [2, 2, 2]), (8, 48, [1, 1, 1])]
    {
        let config = Conv3dConfig::cube(inputs, outputs, TimePadding::Causal).normed(1e-8).unfolded(unfold);
        let x = randn(&[1, 5, 18, 23, inputs], 1.0)?;
        let expected = Conv3d::load(&on(&Device::Cpu, DType::F32), config)?.forward(&x)?;
        let layer = Conv3d::load(&on(gpu(), DType::BF16), config)?;
        close(
            &layer.forward(&there(&x)?)?,
            &expected,
            1e-2,
            &format!("convolution {inputs} to {outputs}, {unfold:?}"),
        )?;
        let sum = randn(expected.dims(), 1.0)?;
        let found = layer.forward_onto(there(&sum)?, &there(&x)?)?;
        close(&found, &(sum + &expected)?, 1e-2, "the same onto a sum")?;
    }
    let x = randn(&[2, 3, 4, 5, 136], 1.0)?;
    close(&pixel_norm_silu(&there(&x)?, 1e-8)?, &pixel_norm_silu(&x, 1e-8)?, BF16, "pixel norm")
}

#[test]
#[ignore = "needs a GPU"]
fn long_attention_equals_the_formula() -> crate::Result<()> {
    for (queries, keys, heads, head_dim) in [(2100, 2100, 2, 128), (1000, 1024, 4, 64), (333, 4097, 1, 128)] {
        let random = |tokens: usize| randn(&[1, tokens, heads * head_dim], 1.0);
        let (q, k, v) = (random(queries)?, random(keys)?, random(keys)?);
        let shape = AttentionShape { heads, kv_heads: heads, scale: 1.0 / (head_dim as f64).sqrt(), mask: Mask::Full };
        let (found, expected) =
            (attention(&there(&q)?, &there(&k)?, &there(&v)?, &shape)?, attention(&q, &k, &v, &shape)?);
        close(&found, &expected, BF16, &format!("attention of {queries} over {keys}, {heads} heads of {head_dim}"))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn a_recording_computes_what_was_recorded() -> crate::Result<()> {
    let (tokens, heads, head_dim) = (777, 4, 64);
    let width = heads * head_dim;
    let weight = there(&randn(&[width, width], 0.05)?)?;
    let index = TokenIndex::new((0..tokens as u32).map(|token| token % 2).collect(), gpu())?;
    let by = Modulation::new(&there(&randn(&[2, 3, width], 1.0)?)?, Some(index))?;
    let angles: Vec<f32> = (0..tokens * head_dim / 2).map(|i| i as f32 * 0.01).collect();
    let rope = RopeTable::from_angles(
        &angles,
        (tokens, 1, head_dim / 2),
        &Compute { device: gpu().clone(), ..Compute::cpu_f32() },
    )?;
    let logits = there(&randn(&[1, tokens, heads], 1.0)?)?;
    let shape = AttentionShape { heads, kv_heads: heads, scale: 0.125, mask: Mask::Full };
    let work = |inputs: &[Tensor]| {
        let mut rest = inputs[1..].iter().cloned();
        let (x, by) = (&inputs[0], by.with_tensors(&mut rest)?);
        let normed = rms_norm_modulate(x, &by, ShiftScale { shift: 0, scale: 1 }, 1e-6)?;
        let q = rope.apply(&normed, heads)?;
        let y = attention(&q, &q, &normed, &shape)?;
        let y = gate_heads(&y, &logits)?;
        let y =
            dispatch::linear(&y.reshape((tokens, width))?, &weight, None, true)?.expect("cuBLASLt has an algorithm");
        gated_residual(x, &y.reshape((1, tokens, width))?, &by, 2)
    };
    let recorder = Recorder::default();
    for round in 0..6 {
        let mut inputs = vec![there(&randn(&[1, tokens, width], 1.0)?)?];
        inputs.extend(by.tensors());
        let (found, expected) = (recorder.run(&[], &inputs, work)?, work(&inputs)?);
        assert!(same(&found, &expected)?, "round {round}");
    }
    assert_eq!(recorder.recorded(), 1, "it can be recorded");
    Ok(())
}

/// Seconds of one of many runs, with the device idle before and after.
fn seconds(work: impl Fn() -> crate::Result<Tensor>) -> crate::Result<f64> {
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
fn rates() -> crate::Result<()> {
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
        let by = Modulation::new(&random(&[2, 9, 4096])?, Some(TokenIndex::new(vec![1; tokens], gpu())?))?;
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
        pass("norm and modulate", 2, seconds(|| rms_norm_modulate(&x, &by, rows, 1e-6))?);
        pass("gated residual", 3, seconds(|| gated_residual(&x, &x, &by, 2))?);
        pass("gate heads", 2, seconds(|| gate_heads(&x, &logits))?);
    }
    for (frames, rows, columns, channels) in [(16, 16, 24, 1024), (31, 64, 96, 512), (121, 128, 192, 128)] {
        let config = Conv3dConfig::cube(channels, channels, TimePadding::Causal);
        let on = Compute { device: gpu().clone(), dtype: DType::BF16, ..Compute::cpu_f32() };
        let (layer, x) =
            (Conv3d::load(&Vb::new(Arc::new(Named), on), config)?, random(&[1, frames, rows, columns, channels])?);
        let taken = seconds(|| layer.forward(&x))?;
        rate(
            &format!("convolution {frames}x{rows}x{columns} of {channels}"),
            54 * channels * channels * frames * rows * columns,
            taken,
        );
    }
    Ok(())
}
