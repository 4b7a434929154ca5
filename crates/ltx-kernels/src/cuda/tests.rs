//! Every kernel, performed on the CPU from its own source, against the formulas. Inputs of bf16 kernels are
//! rounded to bf16 first, so what is left is the rounding of weights and results.

use super::{
    attention, conv3d,
    dispatch::{ModulationTensors, arrange},
    emulate::{in_place, perform},
    formulas::{self, pixel_norm_silu, relative_l2, rms_norm},
    fp8, gate,
    generation::Generation,
    launch::Element,
    norm::{self, Rows, Table},
    pixel_norm::{self, Pixels, padded},
    rope::{self, Heads},
};
use crate::{AttentionShape, Conv3dConfig, Mask, Normalize, ShiftScale, TimePadding, e4m3};
use candle_core::{DType, Device, Result, Tensor};

/// What a kernel's element is, as candle calls it, and how far results may be; a single bf16 may be off by 2⁻⁸ of itself.
const ELEMENTS: [(Element, DType, f64); 2] = [(Element::F32, DType::F32, 2e-6), (Element::Bf16, DType::BF16, 4e-3)];
const EPS: f32 = 1e-6;
const GENERATIONS: [Generation; 2] = [Generation::Ampere, Generation::Hopper];

fn randn(shape: &[usize], dtype: DType) -> Result<Tensor> {
    Tensor::randn(0.2f32, 1.5f32, shape, &Device::Cpu)?.to_dtype(dtype)
}

fn wide(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)
}

/// By how much a result is off, relative to it, but to no less than a small part of the spread of [`randn`]: a few drawn values may
/// cancel each other, and then the last bit of what cancelled is much.
fn close(found: &Tensor, expected: &Tensor, most: f64, what: &str) {
    let error = relative_l2(found, expected).unwrap_or_else(|error| panic!("{what}: {error}"));
    let norm = wide(expected).and_then(|wide| wide.sqr()?.sum_all()?.to_scalar::<f32>()).unwrap().sqrt();
    let least = 0.1 * (expected.elem_count() as f32).sqrt();
    let error = error * f64::from((norm / least).min(1.0));
    assert!(error < most, "{what}: {error:.1e}");
}

/// A modulation of two values of three rows.
struct Modulated {
    table: Table,
    values: Tensor,
    /// The values in f32.
    wide: Tensor,
    index: Option<Tensor>,
}

impl Modulated {
    fn new(tokens: usize, width: usize, indexed: bool, dtype: DType) -> Result<Self> {
        let values = randn(&[2, 3, width], dtype)?;
        let numbers: Vec<u32> = (0..tokens as u32).map(|token| (token + 1) % 2).collect();
        let index = if indexed { Some(Tensor::new(numbers, &Device::Cpu)?) } else { None };
        Ok(Self { table: Table { tokens, count: 3, indexed }, wide: wide(&values)?, values, index })
    }

    /// What launches read as the index.
    fn index(&self) -> &Tensor {
        self.index.as_ref().unwrap_or(&self.values)
    }

    fn formula(&self) -> ModulationTensors<'_> {
        ModulationTensors { rows: &self.wide, index: self.index.as_ref() }
    }
}

#[test]
fn norms() -> Result<()> {
    for (element, dtype, most) in ELEMENTS {
        // The last are more than a thread keeps.
        for (batch, tokens, width) in [(1, 1, 1), (2, 3, 37), (2, 2, 264), (1, 2, 4096), (1, 1, 9000), (1, 2, 5001)] {
            let (x, weight) = (randn(&[batch, tokens, width], dtype)?, randn(&[width], dtype)?);
            let rows = Rows { rows: batch * tokens, width, whole: width % element.pack() == 0 };
            for weighted in [true, false] {
                let launch = norm::rms_norm(element, rows, weighted, EPS)?;
                let [found] = perform(&launch, &[&x, &weight], [(x.dims(), dtype)])?;
                let mut expected = rms_norm(&wide(&x)?, EPS.into())?;
                if weighted {
                    expected = expected.broadcast_mul(&wide(&weight)?)?;
                }
                close(&found, &expected, most, &format!("rms_norm {element:?} {width} {weighted}"));
            }
            for indexed in [false, true] {
                let by = Modulated::new(tokens, width, indexed, dtype)?;
                let (table, values, index) = (by.table, &by.values, by.index());
                let added = randn(&[3, width], dtype)?;
                let launch = norm::add_table(element, Rows { rows: 2, width: 3 * width, ..rows })?;
                let [found] = perform(&launch, &[values, &added], [(values.dims(), dtype)])?;
                close(
                    &found,
                    &wide(values)?.broadcast_add(&wide(&added)?)?,
                    most,
                    &format!("add_table {element:?} {width}"),
                );
                for normalize in [Normalize::Rms, Normalize::Layer, Normalize::Not] {
                    let launch = norm::norm_modulate(element, rows, (table, [2, 0]), normalize, EPS)?;
                    let [found] = perform(&launch, &[&x, values, index], [(x.dims(), dtype)])?;
                    let (x, rows) = (wide(&x)?, ShiftScale { shift: 2, scale: 0 });
                    let expected = formulas::norm_modulate(&x, &by.formula(), rows, normalize, EPS.into())?;
                    close(&found, &expected, most, &format!("{normalize:?} {element:?} {width}, indexed: {indexed}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn norm_and_rotation() -> Result<()> {
    for (element, dtype, most) in ELEMENTS {
        for (batch, tokens, heads, half) in
            [(1, 1, 1, 1), (2, 3, 4, 5), (1, 3, 3, 64), (2, 2, 2, 32), (1, 2, 40, 64), (1, 2, 300, 7)]
        {
            let width = heads * 2 * half;
            for table_heads in [1, heads] {
                let angles = randn(&[tokens, table_heads, half], DType::F32)?;
                let (cos, sin) = (angles.cos()?, angles.sin()?);
                let (x, weight) = (randn(&[batch, tokens, width], dtype)?, randn(&[width], dtype)?);
                let whole = half % element.pack() == 0;
                let sizes = Heads { rows: batch * tokens, tokens, heads, half, table_heads, whole };
                for eps in [None, Some(EPS)] {
                    let launch = rope::norm_rope(element, sizes, eps)?;
                    let [found] = perform(&launch, &[&x, &weight, &cos, &sin], [(x.dims(), dtype)])?;
                    let mut expected = wide(&x)?;
                    if let Some(eps) = eps {
                        expected = rms_norm(&expected, eps.into())?.broadcast_mul(&wide(&weight)?)?;
                    }
                    let expected = formulas::rope(&expected, &cos, &sin, heads)?;
                    close(&found, &expected, most, &format!("{element:?} {heads}x{half}, {table_heads} in the table"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn gates() -> Result<()> {
    for (element, dtype, most) in ELEMENTS {
        for (tokens, heads, head_dim) in [(1, 1, 1), (3, 3, 7), (2, 5, 64)] {
            let width = heads * head_dim;
            let (x, y) = (randn(&[2, tokens, width], dtype)?, randn(&[2, tokens, width], dtype)?);
            let whole = head_dim % element.pack() == 0;
            for indexed in [false, true] {
                let by = Modulated::new(tokens, width, indexed, dtype)?;
                let launch = gate::gated_residual(element, Rows { rows: 2 * tokens, width, whole }, (by.table, 1))?;
                let [found] = perform(&launch, &[&x, &y, &by.values, by.index()], [(x.dims(), dtype)])?;
                let expected = formulas::gated_residual(&wide(&x)?, &wide(&y)?, &by.formula(), 1)?;
                close(&found, &expected, most, &format!("gated residual {element:?} {width}"));
            }
            let logits = randn(&[2, tokens, heads], dtype)?;
            let launch = gate::gate_heads(element, (2 * tokens, heads, head_dim), whole)?;
            let [found] = perform(&launch, &[&x, &logits], [(x.dims(), dtype)])?;
            close(
                &found,
                &formulas::gate_heads(&wide(&x)?, &wide(&logits)?)?,
                most,
                &format!("gate heads {element:?} {width}"),
            );
        }
        for count in [1, 9, 4096, 10_001] {
            let x = randn(&[count], dtype)?;
            let launch = gate::gelu(element, count, true)?;
            let [found] = perform(&launch, &[&x], [(x.dims(), dtype)])?;
            close(&found, &wide(&x)?.gelu()?, most, &format!("gelu {element:?} {count}"));
        }
        let ends = Tensor::new(&[-100f32, -10.0, 0.0, 10.0, 100.0], &Device::Cpu)?.to_dtype(dtype)?;
        let [found] = perform(&gate::gelu(element, 5, true)?, &[&ends], [(&[5], dtype)])?;
        let found = wide(&found)?.to_vec1::<f32>()?;
        assert!(found[..3].iter().all(|y| y.abs() < 1e-30) && found[3..] == [10.0, 100.0], "{found:?}");
    }
    Ok(())
}

#[test]
fn pixel_norms() -> Result<()> {
    for (positions, channels) in [(1, 1), (33, 5), (70, 130), (9, 16), (3, 520), (40, 128)] {
        for (element, dtype, most) in ELEMENTS {
            let padded = if element == Element::Bf16 { padded(channels) } else { channels };
            let x = randn(&[positions, channels], dtype)?;
            let pixels = Pixels { positions, channels, padded };
            for (eps, aligned) in [(None, true), (Some(EPS), true), (Some(EPS), false)] {
                let launch = pixel_norm::pixel_norm(element, pixels, eps, aligned)?;
                let [found] = perform(&launch, &[&x], [(&[positions, padded], dtype)])?;
                let expected = match eps {
                    Some(eps) => pixel_norm_silu(&wide(&x)?, eps.into())?,
                    None => wide(&x)?,
                };
                let expected = expected.pad_with_zeros(1, 0, padded - channels)?;
                close(&found, &expected, most, &format!("pixel norm {element:?} {positions}x{channels} {eps:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn attention_in_tiles() -> Result<()> {
    for (head_dim, heads, kv_heads, queries, keys) in [
        (64, 2, 2, 130, 200),
        (64, 2, 1, 1, 1),
        (64, 1, 1, 200, 900),
        (64, 4, 2, 192, 128),
        (128, 1, 1, 130, 64),
        (128, 2, 1, 33, 77),
        (128, 1, 1, 1, 129),
        (128, 1, 1, 128, 1024),
        (128, 2, 2, 65, 1),
    ] {
        let batch = 2;
        let random = |tokens: usize, heads: usize| randn(&[batch, tokens, heads * head_dim], DType::BF16);
        let (q, k, v) = (random(queries, heads)?, random(keys, kv_heads)?, random(keys, kv_heads)?);
        let shape = AttentionShape { heads, kv_heads, scale: 1.0 / (head_dim as f64).sqrt(), mask: Mask::Full };
        let sizes = attention::Sizes { batch, queries, keys, head_dim };
        assert!(attention::supports(sizes, &shape));
        let expected = formulas::attention(&wide(&q)?, &wide(&k)?, &wide(&v)?, &shape)?;
        for generation in GENERATIONS {
            let launch = attention::attention(generation, sizes, &shape)?;
            let [found] = perform(&launch, &[&q, &k, &v], [(q.dims(), DType::BF16)])?;
            let what = format!("{generation:?}, {heads}x{head_dim} over {kv_heads}, {queries} queries, {keys} keys");
            close(&found, &expected, 5e-3, &what);
        }
    }
    Ok(())
}

#[test]
fn convolution_in_tiles() -> Result<()> {
    let cube = [3, 3, 3];
    for (kernel, time, volume, inputs, outputs, unfold) in [
        (cube, TimePadding::Causal, [3, 5, 9], 5, 7, [1, 1, 1]),
        (cube, TimePadding::Replicate, [2, 3, 8], 72, 9, [1, 1, 1]),
        (cube, TimePadding::Zeros, [3, 4, 4], 8, 136, [1, 1, 1]),
        (cube, TimePadding::Causal, [2, 3, 5], 8, 24, [2, 2, 2]),
        (cube, TimePadding::Replicate, [3, 2, 3], 8, 192, [2, 2, 2]),
        (cube, TimePadding::Replicate, [3, 3, 2], 16, 32, [2, 1, 1]),
        ([1, 3, 3], TimePadding::Zeros, [1, 12, 13], 16, 32, [1, 2, 2]),
        ([1, 1, 1], TimePadding::Zeros, [1, 1, 1], 1, 1, [1, 1, 1]),
        ([1, 3, 3], TimePadding::Zeros, [1, 18, 17], 136, 136, [1, 1, 1]),
        (cube, TimePadding::Causal, [3, 9, 11], 16, 24, [2, 2, 2]),
    ] {
        let ([kt, kh, kw], [frames, height, width], samples) = (kernel, volume, 2);
        let what = format!("{kernel:?} {time:?} {volume:?} {inputs} to {outputs}, unfolded by {unfold:?}");
        let x = randn(&[samples, frames, height, width, inputs], DType::BF16)?;
        let weight = randn(&[outputs, inputs, kt, kh, kw], DType::BF16)?;
        let bias = randn(&[outputs], DType::BF16)?;
        let sizes = conv3d::Sizes { samples, volume, inputs, outputs, kernel, unfold };
        let shape = sizes.result();
        let room = x.pad_with_zeros(4, 0, padded(inputs) - inputs)?;
        let (arranged, arranged_bias) = arrange(&weight, &bias, unfold.iter().product())?;

        let config = Conv3dConfig { kernel, unfold, ..Conv3dConfig::cube(inputs, outputs, time) };
        let expected = formulas::conv3d(&wide(&x)?, &wide(&weight)?, &wide(&bias)?, &config)?;
        let sum = randn(&shape, DType::BF16)?;
        let expected_sum = (&expected + wide(&sum)?)?;
        let tensors = [&room, &arranged, &arranged_bias];
        for generation in GENERATIONS {
            let launch = conv3d::conv3d(generation, sizes, time, false, true)?;
            let [found] = perform(&launch, &tensors, [(&shape, DType::BF16)])?;
            close(&found, &expected, 4e-3, &format!("{generation:?}, {what}"));
            // Packs at aligned addresses and single values both, over all cases.
            let found = in_place(&conv3d::conv3d(generation, sizes, time, true, kernel != cube)?, &tensors, &sum)?;
            close(&found, &expected_sum, 4e-3, &format!("{generation:?}, {what}, onto a sum"));
        }
    }
    Ok(())
}

#[test]
fn eight_bit_floats() -> Result<()> {
    let bytes: Vec<u8> = (0..=255).filter(|byte| byte & 0x7f != 0x7f).collect();
    let values: Vec<f32> = bytes.iter().map(|byte| e4m3(*byte)).collect();
    let weight = Tensor::new(bytes.as_slice(), &Device::Cpu)?;
    for ((element, dtype, _), whole) in ELEMENTS.into_iter().flat_map(|element| [(element, true), (element, false)]) {
        let launch = fp8::widen(element, bytes.len(), 0.5, whole)?;
        let [found] = perform(&launch, &[&weight], [(&[bytes.len()], dtype)])?;
        let expected: Vec<f32> = values.iter().map(|value| value * 0.5).collect();
        assert_eq!(wide(&found)?.to_vec1::<f32>()?, expected);
    }
    // Values of every size, some between two neighbours, one beyond the largest; the largest magnitude sets the scale.
    let mut inputs: Vec<f32> =
        values.iter().flat_map(|v| [*v, v * 1.03, v * 1.0625, v * 1.09]).filter(|v| v.abs() <= 448.0).collect();
    inputs.push(448.0);
    let x = Tensor::new(inputs.as_slice(), &Device::Cpu)?.to_dtype(DType::BF16)?;
    let count = inputs.len();
    for whole in [true, false] {
        let most = in_place(&fp8::range(count, whole)?, &[&x], &Tensor::zeros(1, DType::U32, &Device::Cpu)?)?;
        assert_eq!(most.to_vec1::<u32>()?, [448f32.to_bits()]);
        let launch = fp8::round(count, whole)?;
        let [rounded, scale] = perform(&launch, &[&x, &most], [(&[count], DType::U8), (&[1], DType::F32)])?;
        assert_eq!(scale.to_vec1::<f32>()?, [1.0]);
        for (value, byte) in wide(&x)?.to_vec1::<f32>()?.into_iter().zip(rounded.to_vec1::<u8>()?) {
            let nearest = values.iter().map(|v| (v - value).abs()).fold(f32::INFINITY, f32::min);
            assert_eq!((e4m3(byte) - value).abs(), nearest, "{value} became {}", e4m3(byte));
        }
    }
    // Rows with scales of their own: the last is 0 throughout, the widest is more than a thread keeps.
    for (rows, width) in [(3, 37), (2, 512), (2, 17_000)] {
        let x = randn(&[rows, width], DType::F32)?;
        let by = Tensor::from_vec((0..rows).map(|row| (rows - 1 - row) as f32).collect(), (rows, 1), &Device::Cpu)?;
        let x = x.broadcast_mul(&by)?.to_dtype(DType::BF16)?;
        for whole in [true, false].into_iter().filter(|whole| !whole || width % 8 == 0) {
            let launch = fp8::round_rows([rows, width], whole)?;
            let [rounded, scales] = perform(&launch, &[&x], [(x.dims(), DType::U8), (&[rows], DType::F32)])?;
            let scales = scales.to_vec1::<f32>()?;
            assert_eq!(scales[rows - 1], 1.0, "nothing to scale by");
            for ((row, bytes), scale) in wide(&x)?.to_vec2::<f32>()?.iter().zip(rounded.to_vec2::<u8>()?).zip(scales) {
                let largest = row.iter().fold(0f32, |most, value| most.max(value.abs()));
                for (value, byte) in row.iter().zip(bytes) {
                    let off = (e4m3(byte) * scale - value).abs();
                    assert!(off <= value.abs() / 15.9 + largest * 3e-6, "{value} became {}", e4m3(byte) * scale);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_a_launch_is_refused() {
    let rows = |rows, width| Rows { rows, width, whole: false };
    assert!(norm::rms_norm(Element::F32, rows(0, 8), false, EPS).is_err());
    assert!(norm::rms_norm(Element::F32, rows(1 << 31, 8), false, EPS).is_err());
    assert!(norm::rms_norm(Element::F32, rows(1, 1 << 31), false, EPS).is_err());
    let pixels = Pixels { positions: 0, channels: 1, padded: 8 };
    assert!(pixel_norm::pixel_norm(Element::Bf16, pixels, None, true).is_err());
    let shape = AttentionShape { heads: 3, kv_heads: 2, scale: 1.0, mask: Mask::Full };
    let sizes = attention::Sizes { batch: 1, queries: 1, keys: 1, head_dim: 64 };
    assert!(!attention::supports(sizes, &shape));
    assert!(!attention::supports(sizes, &AttentionShape { heads: 2, mask: Mask::Causal { window: 4 }, ..shape }));
    assert!(!attention::supports(attention::Sizes { head_dim: 96, ..sizes }, &AttentionShape { heads: 2, ..shape }));
}
