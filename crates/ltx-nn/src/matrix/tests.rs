//! Tests of matrices from what is stored to products, in every form.
//!
//! Must not know files.

use super::{prepared::Values, *};
use crate::{
    Activations, Block, Compute, EightBitProducts, Element, GroupScale, Groups, KernelChoice, Level, NnError, Packing,
    Result, kernels, kernels::Then, relative_l2,
};
use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use std::convert::Infallible;

pub(super) fn randn(rows: usize, columns: usize) -> Tensor {
    Tensor::randn(0f32, 1f32, (rows, columns), &Device::Cpu).unwrap()
}

/// A layer's input of these rows.
fn input(x: &Tensor) -> Activations {
    Activations::new(x).unwrap()
}

/// The bytes of a tensor of 16-bit floats.
pub(super) fn bytes_of(halves: &Tensor) -> Vec<u8> {
    match halves.dtype() {
        DType::BF16 => {
            let values = halves.flatten_all().and_then(|x| x.to_vec1::<half::bf16>()).unwrap();
            values.into_iter().flat_map(half::bf16::to_le_bytes).collect()
        }
        _ => {
            let values = halves.flatten_all().and_then(|x| x.to_vec1::<half::f16>()).unwrap();
            values.into_iter().flat_map(half::f16::to_le_bytes).collect()
        }
    }
}

fn blocks(weight: &Tensor, kind: GgmlDType) -> Stored {
    let blocks = QTensor::quantize(weight, kind).unwrap();
    let shape = weight.dims2().unwrap().into();
    Stored::packed(
        Packed::new(blocks.data().unwrap().to_vec(), Packing::Blocks(Block::of(kind).unwrap()), shape).unwrap(),
    )
}

fn halves(weight: &Tensor, packing: Packing) -> Stored {
    let dtype = if packing == Packing::Bf16 { DType::BF16 } else { DType::F16 };
    let bytes = bytes_of(&weight.to_dtype(dtype).unwrap());
    Stored::packed(Packed::new(bytes, packing, weight.dims2().unwrap().into()).unwrap())
}

fn fp8(outputs: usize, inputs: usize) -> Stored {
    let bytes = (0..outputs * inputs).map(|i| (i * 7 % 120) as u8).collect();
    Stored::packed(Packed::new(bytes, Packing::Fp8 { scale: 0.5 }, [outputs, inputs]).unwrap())
}

fn grouped(groups: Groups, outputs: usize, inputs: usize) -> Stored {
    let size = Packing::Groups(groups).bytes(outputs * inputs).unwrap();
    let mut bytes: Vec<u8> = (0..size).map(|i| (i * 37 % 251) as u8).collect();
    for group in bytes.chunks_mut(groups.bytes()) {
        let (_, scale) = group.split_at_mut(groups.bytes() - groups.scale_bytes());
        match groups.scale {
            GroupScale::F32 => scale.copy_from_slice(&0.01f32.to_le_bytes()),
            _ => scale.fill(0x38),
        }
    }
    Stored::packed(Packed::new(bytes, Packing::Groups(groups), [outputs, inputs]).unwrap())
}

fn nvfp4(outputs: usize, inputs: usize) -> Stored {
    let (element, scale) = (Element::E2m1, GroupScale::E4m3);
    grouped(Groups { element, size: 16, scale, factor: 0.5, rotation: 1 }, outputs, inputs)
}

fn rotated(outputs: usize, inputs: usize) -> Stored {
    let (element, scale) = (Element::Int8, GroupScale::F32);
    grouped(Groups { element, size: 256, scale, factor: 1.0, rotation: 256 }, outputs, inputs)
}

fn pair(rank: usize, outputs: usize, inputs: usize) -> LowRank {
    LowRank::new(randn(rank, inputs), randn(outputs, rank), 2.0).unwrap()
}

/// f32 on the CPU with these instructions.
fn at(level: Level) -> Compute {
    Compute { kernels: KernelChoice::at(level), ..Compute::cpu_f32() }
}

/// L2 of the difference over that of what is expected, but no less than that of ones: a sum that happens to be near 0 has no
/// relative error worth the name.
fn deviation(found: &Tensor, expected: &Tensor) -> f64 {
    let l2 = |x: &Tensor| f64::from(x.sqr().and_then(|x| x.sum_all()?.to_scalar::<f32>()).unwrap()).sqrt();
    l2(&(found - expected).unwrap()) / l2(expected).max((expected.elem_count() as f64).sqrt())
}

/// As a layer on the CPU loads it.
fn loaded(stored: &Stored, compute: &Compute, usage: Use) -> Prepared {
    let form = form(&stored.describe(), &Arithmetic::of(compute), usage);
    let prepared = prepare(stored.clone(), form, &Device::Cpu, compute).unwrap();
    assert_eq!(prepared.form(), form, "{stored:?}");
    prepared
}

/// As it is carried to a GPU.
fn carried(stored: &Stored, dtype: DType) -> Prepared {
    let compute = Compute::cpu_f32().with_dtype(dtype);
    let arithmetic = Arithmetic { on_gpu: true, ..Arithmetic::of(&compute) };
    let form = form(&stored.describe(), &arithmetic, Use::Streamed);
    prepare(stored.clone(), form, &Device::Cpu, &compute).unwrap()
}

#[test]
fn floats_in_both_forms_equal_the_formula() -> Result<()> {
    for (rows, inputs, outputs) in [(1, 1, 1), (7, 33, 5), (65, 130, 40), (3, 300, 100)] {
        for bias in [None, Some(randn(1, outputs).squeeze(0)?)] {
            let (x, weight, factor) = (randn(rows, inputs), randn(outputs, inputs), randn(rows, outputs));
            let product = x.matmul(&weight.t()?)?;
            let plain = match &bias {
                Some(bias) => product.broadcast_add(bias)?,
                None => product,
            };
            let stored = Stored::floats(weight)?;
            let (gelu, times) = (plain.gelu()?, (plain.gelu()? * &factor)?);
            for level in Level::available() {
                let once = loaded(&stored, &at(level), Use::Once);
                let stays = loaded(&stored, &at(level), Use::Stays);
                for (then, expected) in
                    [(Then::Nothing, &plain), (Then::Gelu, &gelu), (Then::GeluTimes(factor.clone()), &times)]
                {
                    let found =
                        [&once, &stays].map(|matrix| matrix.product(&input(&x), bias.as_ref(), then.clone()).unwrap());
                    let error = deviation(&found[0], expected);
                    assert!(error < 2e-6, "{level:?} {rows}x{inputs}x{outputs}: {error:.1e}");
                    let [once, stays] = found.map(|y| y.to_vec2::<f32>().unwrap());
                    assert_eq!(once, stays, "{level:?} {rows}x{inputs}x{outputs}: the form changes no bit");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn bf16_in_both_forms_equals_the_formula() -> Result<()> {
    for (rows, inputs, outputs) in [(1, 2, 1), (7, 34, 5), (65, 130, 40), (3, 301, 100)] {
        let (x, bias) = (randn(rows, inputs), randn(1, outputs).squeeze(0)?);
        let stored = halves(&randn(outputs, inputs), Packing::Bf16);
        let weight = stored.tensor(&Compute::cpu_f32())?;
        let expected = x.matmul(&weight.t()?)?.broadcast_add(&bias)?.gelu()?;
        for level in Level::available() {
            let found = [Use::Once, Use::Stays]
                .map(|usage| loaded(&stored, &at(level), usage).product(&input(&x), Some(&bias), Then::Gelu).unwrap());
            let error = deviation(&found[0], &expected);
            assert!(error < 6e-6, "{level:?} {rows}x{inputs}x{outputs}: {error:.1e}");
            let [once, stays] = found.map(|y| y.to_vec2::<f32>().unwrap());
            assert_eq!(once, stays, "{level:?} {rows}x{inputs}x{outputs}: a layer that stays computes the same");
        }
    }
    Ok(())
}

#[test]
fn eight_bits_are_near_the_formula_from_every_stored_form() -> Result<()> {
    let (x, weight, bias) = (randn(30, 256), randn(96, 256), randn(1, 96).squeeze(0)?);
    let expected = x.matmul(&weight.t()?)?.broadcast_add(&bias)?.gelu()?;
    let int8 = Compute { eight_bit: EightBitProducts::Always, ..Compute::cpu_f32() };
    for stored in [Stored::floats(weight.clone())?, halves(&weight, Packing::F16), blocks(&weight, GgmlDType::Q8_0)] {
        for usage in [Use::Stays, Use::Streamed] {
            let matrix = loaded(&stored, &int8, usage);
            assert!(matches!(matrix.form(), Form::EightBit | Form::PackedEightBit(_)), "{matrix:?}");
            let error = relative_l2(&matrix.product(&input(&x), Some(&bias), Then::Gelu)?, &expected).unwrap();
            assert!(error < 2e-2, "{matrix:?} {error:.1e}");
        }
    }
    Ok(())
}

#[test]
fn halves_are_rounded_to_the_same_8_bits_when_they_are_loaded_and_when_they_are_multiplied() -> Result<()> {
    let (x, stored) = (randn(30, 256), halves(&randn(96, 256), Packing::Bf16));
    for level in Level::available() {
        let int8 = Compute { eight_bit: EightBitProducts::Always, ..at(level) };
        let [stays, streamed] = [Use::Stays, Use::Streamed].map(|usage| loaded(&stored, &int8, usage));
        assert_eq!((stays.form(), streamed.form()), (Form::EightBit, Form::PackedEightBit(Packing::Bf16)));
        let [stays, streamed] = [stays, streamed]
            .map(|it| it.product(&input(&x), None, Then::Nothing)?.to_vec2::<f32>().map_err(NnError::from));
        assert_eq!(stays?, streamed?, "{level:?}");
    }
    Ok(())
}

#[test]
fn halves_that_are_multiplied_often_are_the_panels_or_tiles_of_their_wide_form() -> Result<()> {
    for packing in [Packing::Bf16, Packing::F16] {
        let stored = halves(&randn(70, 333), packing);
        let wide = Stored::floats(stored.tensor(&Compute::cpu_f32())?)?;
        let Values::Panels(expected) = loaded(&wide, &Compute::cpu_f32(), Use::Stays).values else {
            panic!("no panels")
        };
        for level in Level::available() {
            let stays = loaded(&stored, &at(level), Use::Stays);
            let tiled = level.has_tiles() && packing == Packing::Bf16;
            assert_eq!(stays.form(), if tiled { Form::Tiles } else { Form::Panels });
            let found = match &stays.values {
                Values::Panels(panels) => panels.clone(),
                Values::Tiles(tiles) => kernels::panel_tensor(tiles.panels(), [70, 333]).unwrap(),
                Values::Rows(_)
                | Values::EightBit(_)
                | Values::Packed(_)
                | Values::PackedEightBit(_)
                | Values::Fp8(_) => {
                    panic!("{stays:?}")
                }
            };
            let values = |tensor: &Tensor| tensor.to_vec3::<f32>().unwrap();
            assert_eq!(values(&found), values(&expected), "{level:?} {packing:?}");
        }
    }
    Ok(())
}

#[test]
fn packed_products_equal_the_formula_whatever_the_threads() -> Result<()> {
    use GgmlDType::{Q4_0, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let (weight, x) = (randn(333, 512), randn(37, 512));
    let mut all = [Q8_0, Q6K, Q5K, Q4K, Q4_0, Q5_0, Q5_1].map(|kind| blocks(&weight, kind)).to_vec();
    all.extend([
        nvfp4(333, 512),
        rotated(333, 512),
        fp8(333, 512),
        halves(&weight, Packing::Bf16),
        halves(&weight, Packing::F16),
    ]);
    for level in Level::available() {
        for stored in &all {
            let matrix = loaded(stored, &at(level), Use::Once);
            let Form::Packed(packing) = matrix.form() else { panic!("{matrix:?}") };
            let wide = stored.tensor(&Compute::cpu_f32()).unwrap();
            let formula = x.matmul(&wide.t().unwrap()).unwrap();
            let largest = |x: Tensor| x.abs().and_then(|x| x.max_all()?.to_scalar::<f32>()).unwrap();
            let product = || matrix.product(&input(&x), None, Then::Nothing).unwrap();
            let among_threads = product();
            let error = largest((&among_threads - formula).unwrap());
            let size = largest(among_threads.clone());
            let split = level.has_tiles() && packing == Packing::Bf16;
            assert!(error <= if split { 4e-6 } else { 2e-6 } * size, "{level:?} {matrix:?}: {error} of {size}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let alone = pool.install(product);
            let values = |y: &Tensor| y.to_vec2::<f32>().unwrap();
            assert_eq!(values(&alone), values(&among_threads), "{level:?} {matrix:?}");
        }
    }
    Ok(())
}

#[test]
fn in_16_bits_products_are_summed_in_f32() -> Result<()> {
    let (x, weight, bias) = (randn(5, 64), randn(40, 64), randn(1, 40).squeeze(0)?);
    let narrow = |tensor: &Tensor| tensor.to_dtype(DType::BF16);
    let (x, bias) = (narrow(&x)?, narrow(&bias)?);
    for stored in [halves(&weight, Packing::Bf16), Stored::floats(narrow(&weight)?)?, blocks(&weight, GgmlDType::Q8_0)]
    {
        let wide = stored.tensor(&Compute::cpu_f32())?;
        let expected = x.to_dtype(DType::F32)?.matmul(&wide.t()?)?.broadcast_add(&bias.to_dtype(DType::F32)?)?;
        let matrix = loaded(&stored, &Compute::cpu_f32().with_dtype(DType::BF16), Use::Stays);
        let found = matrix.product(&input(&x), Some(&bias), Then::Nothing)?;
        assert_eq!(found.dtype(), DType::BF16);
        assert!(relative_l2(&found.to_dtype(DType::F32)?, &expected).unwrap() < 5e-3, "{matrix:?}");
    }
    Ok(())
}

#[test]
fn pairs_beside_a_matrix_are_added_before_the_activation() -> Result<()> {
    let (x, bias) = (randn(3, 256), randn(1, 40).squeeze(0)?);
    for stored in [blocks(&randn(40, 256), GgmlDType::Q8_0), nvfp4(40, 256), rotated(40, 256)] {
        let pairs = vec![pair(2, 40, 256), pair(3, 40, 256)];
        let sum = merge_low_rank(&stored.tensor(&Compute::cpu_f32())?, &pairs)?;
        let expected = x.matmul(&sum.t()?)?.broadcast_add(&bias)?.gelu()?;
        let matrix = loaded(&stored.with_pairs(pairs), &Compute::cpu_f32(), Use::Stays);
        assert!(
            relative_l2(&matrix.product(&input(&x), Some(&bias), Then::Gelu)?, &expected).unwrap() < 3e-6,
            "{matrix:?}"
        );
    }
    Ok(())
}

#[test]
fn a_factor_of_another_size_is_refused() {
    let matrix = loaded(&Stored::floats(randn(4, 8)).unwrap(), &Compute::cpu_f32(), Use::Once);
    assert!(matrix.product(&input(&randn(3, 8)), None, Then::GeluTimes(randn(2, 4))).is_err());
}

#[test]
fn a_form_that_cannot_be_made_of_what_is_stored_is_refused() {
    let make = |stored: Stored, form| prepare(stored, form, &Device::Cpu, &Compute::cpu_f32());
    let floats = || Stored::floats(randn(4, 32)).unwrap();
    assert!(make(floats(), Form::Packed(Packing::Bf16)).is_err());
    assert!(make(floats(), Form::Tiles).is_err());
    assert!(make(floats(), Form::GpuFp8).is_err());
    assert!(make(halves(&randn(4, 32), Packing::F16), Form::Tiles).is_err());
    assert!(make(halves(&randn(4, 32), Packing::F16), Form::GpuFp8).is_err());
    assert!(Stored::floats(Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap()).is_err());
}

#[test]
fn a_shape_alone_takes_no_memory() {
    for compute in [Compute::cpu_f32(), Compute { eight_bit: EightBitProducts::Always, ..Compute::cpu_f32() }] {
        let Values::Rows(rows) = loaded(&Stored::shape_alone([1 << 20, 1 << 20]), &compute, Use::Stays).values else {
            panic!("not rows")
        };
        assert_eq!((rows.dims(), rows.stride()), ([1 << 20, 1 << 20].as_slice(), [0, 0].as_slice()));
    }
}

#[test]
fn a_form_has_the_bytes_that_it_says() {
    let weight = randn(64, 256);
    for stored in [Stored::floats(weight.clone()).unwrap(), halves(&weight, Packing::F16)] {
        let panels = loaded(&stored, &Compute::cpu_f32(), Use::Stays);
        assert_eq!(panels.tensor_bytes(), panels.form().bytes(64 * 256), "{panels:?}");
    }
    for dtype in [DType::BF16, DType::F32] {
        let stored = [halves(&weight, Packing::Bf16), blocks(&weight, GgmlDType::Q4K), fp8(64, 256), nvfp4(64, 256)];
        for stored in stored {
            let arithmetic = Arithmetic { on_gpu: true, ..Arithmetic::of(&Compute::cpu_f32().with_dtype(dtype)) };
            let form = form(&stored.describe(), &arithmetic, Use::Stays);
            assert_eq!(carried(&stored, dtype).tensor_bytes(), form.bytes(64 * 256), "{form:?}");
        }
    }
    for level in Level::available() {
        let stays = loaded(&halves(&weight, Packing::Bf16), &at(level), Use::Stays);
        if let Values::Tiles(tiles) = &stays.values {
            assert_eq!(tiles.bytes() as u64, stays.form().bytes(64 * 256));
        }
    }
}

#[test]
fn what_is_carried_is_its_tensors_and_pairs_come_along() -> Result<()> {
    let stored = fp8(4, 32).with_pairs(vec![pair(2, 4, 32), pair(3, 4, 32)]);
    let host = carried(&stored, DType::BF16);
    assert_eq!(host.tensor_bytes(), 128 + 4 * (5 * 32 + 5 * 4));
    let mut count = 0;
    let there = host.map(&mut |tensor| {
        count += 1;
        tensor.copy()
    })?;
    let Values::Fp8(matrix) = &there.values else { panic!("{there:?}") };
    assert_eq!((count, there.shape(), matrix.bytes.dims(), matrix.scale), (5, [4, 32], [4, 32].as_slice(), 0.5));
    assert_eq!(there.pairs.len(), 2);
    Ok(())
}

#[test]
fn what_one_tensor_has_no_room_for_is_not_made_by_halves() {
    let host = carried(&blocks(&randn(4, 32), GgmlDType::Q8_0).with_pairs(vec![pair(2, 4, 32)]), DType::BF16);
    for room in 0..4 {
        let mut left = room;
        let made = host.map(&mut |tensor| {
            left -= 1;
            if left >= 0 { Ok(tensor.clone()) } else { Err(NnError::unsupported("room", left, "more")) }
        });
        assert_eq!(made.is_ok(), room >= 3, "{room}");
    }
    let Ok(counted) = host.map(&mut |_| Ok::<_, Infallible>(()));
    assert_eq!(counted.shape(), [4, 32]);
}
