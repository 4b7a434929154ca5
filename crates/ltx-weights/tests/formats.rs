//! Every stored format against a decoder that is not ours, bit for bit: ggml's types against the PyPI package `gguf`, those of
//! safetensors against formulas in numpy. `formats/make_*` wrote the files.

use candle_core::{DType, Device, Tensor};
use ltx_nn::{
    Compute, KernelChoice, Level, Linear, Vb,
    matrix::{Form, Use},
    relative_l2,
};
use ltx_types::CancelToken;
use ltx_weights::{Naming, QuantizeType, Recipe, Stored, TensorSet, quantize};
use std::{path::PathBuf, sync::Arc};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(name)
}

fn set(name: &str) -> Arc<TensorSet> {
    Arc::new(TensorSet::open_file(&file(name)).unwrap())
}

fn at(level: Level) -> Compute {
    Compute { kernels: KernelChoice::at(level), ..Compute::cpu_f32() }
}

/// Fails at the first value of which a bit differs.
fn same(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (i, (found, expected)) in values(found).iter().zip(values(expected)).enumerate() {
        assert_eq!(found.to_bits(), expected.to_bits(), "{what}: value {i} is {found}, expected {expected}");
    }
}

/// A weight in every way it is handed out, against its values, at every level: as a tensor, in rows, as a matrix that stays packed.
fn equals(set: &Arc<TensorSet>, key: &str, values: &Tensor) {
    let (outputs, inputs) = values.dims2().unwrap();
    for level in Level::available() {
        let vb = Vb::new(Arc::new(Stored(Arc::clone(set))), at(level)).used(Use::Stays);
        let wide = vb.tensor(key, [outputs, inputs]).unwrap();
        same(&wide, values, &format!("{key} {level:?}"));
        let last = outputs - 1;
        let rows = vb.rows(key, [outputs, inputs], &[last as u32, 0]).unwrap();
        let expected = Tensor::cat(&[values.narrow(0, last, 1).unwrap(), values.narrow(0, 0, 1).unwrap()], 0).unwrap();
        same(&rows, &expected, &format!("{key} {level:?}: rows"));
        let matrix = vb.matrix(key, [outputs, inputs]).unwrap();
        assert!(matches!(matrix.form(), Form::Packed(_)), "{key}: {matrix:?}");
    }
}

#[test]
fn every_type_of_ggml_is_what_its_own_decoder_makes_of_it() {
    let set = set("ggml.gguf");
    let keys: Vec<String> = set.keys().filter(|key| key.ends_with(".weight")).map(str::to_owned).collect();
    assert_eq!(keys.len(), ltx_nn::Block::ALL.len());
    let plain = Vb::new(Arc::new(Stored(Arc::clone(&set))), Compute::cpu_f32());
    for key in keys {
        let kind = key.trim_end_matches(".weight");
        assert_eq!(set.stored_as(&key), Some(kind));
        let values = plain.tensor(&format!("{kind}.values"), [2, 256]).unwrap();
        equals(&set, &key, &values);
    }
}

#[test]
fn a_layer_of_every_type_multiplies_what_is_decoded() {
    let set = set("ggml.gguf");
    let x = Tensor::randn(0f32, 1f32, (3, 256), &Device::Cpu).unwrap();
    for key in set.keys().filter(|key| key.ends_with(".weight")) {
        let vb = Vb::new(Arc::new(Stored(Arc::clone(&set))), Compute::cpu_f32());
        let layer = Linear::load_with(&vb.pp(key.trim_end_matches(".weight")), 256, 2, false).unwrap();
        let wide = vb.tensor(key, [2, 256]).unwrap().to_dtype(DType::F32).unwrap();
        let error = relative_l2(&layer.forward(&x).unwrap(), &x.matmul(&wide.t().unwrap()).unwrap()).unwrap();
        assert!(error < 1e-5, "{key}: {error:e}");
    }
}

/// Every layer of a file against its values in expected.safetensors.
fn safetensors_equal(name: &str, layers: usize) {
    let expected = set("expected.safetensors");
    let wide = Vb::new(Arc::new(Stored(Arc::clone(&expected))), Compute::cpu_f32());
    let set = set(&format!("{name}.safetensors"));
    let prefix = format!("{name}/");
    let keys: Vec<&str> = expected.keys().filter(|key| key.starts_with(&prefix)).collect();
    assert_eq!(keys.len(), layers);
    for key in keys {
        let shape: [usize; 2] = expected.shape_of(key).unwrap().try_into().unwrap();
        let weight = format!("{}.weight", key.trim_start_matches(&prefix));
        assert_eq!(set.shape_of(&weight), Some(&shape[..]), "{key}");
        equals(&set, &weight, &wide.tensor(key, shape).unwrap());
    }
    let left: Vec<&str> = set.keys().filter(|key| !key.ends_with(".weight") && !key.ends_with(".bias")).collect();
    assert!(left.is_empty(), "{name}: {left:?}");
}

#[test]
fn nvfp4_is_what_its_formula_says() {
    safetensors_equal("comfy_nvfp4", 3);
    safetensors_equal("header_nvfp4", 2);
    safetensors_equal("plain_nvfp4", 2);
}

#[test]
fn mxfp8_is_what_its_formula_says() {
    safetensors_equal("comfy_mxfp8", 2);
    safetensors_equal("plain_mxfp8", 2);
}

#[test]
fn fp8_with_a_scale_a_tensor_row_or_block_is_what_its_formula_says() {
    safetensors_equal("fp8", 16);
}

#[test]
fn integers_plain_and_rotated_are_what_their_formula_says() {
    safetensors_equal("int8", 8);
}

#[test]
fn a_file_with_scales_beside_its_values_is_quantised_from_what_they_are_together() {
    let folder = tempfile::tempdir().unwrap();
    let expected = set("expected.safetensors");
    let wide = Vb::new(Arc::new(Stored(Arc::clone(&expected))), Compute::cpu_f32());
    for name in ["comfy_nvfp4", "comfy_mxfp8", "fp8", "int8"] {
        let out = folder.path().join(format!("{name}.gguf"));
        let recipe = Recipe { kind: QuantizeType::Bf16, keep: vec![], naming: Naming::Official, metadata: vec![] };
        let from = set(&format!("{name}.safetensors"));
        quantize(&from, &out, &recipe, &CancelToken::new(), |_, _| {}).unwrap();
        let written = Vb::new(Arc::new(Stored(Arc::new(TensorSet::open_file(&out).unwrap()))), Compute::cpu_f32());
        let prefix = format!("{name}/");
        for key in expected.keys().filter(|key| key.starts_with(&prefix)) {
            let shape: [usize; 2] = expected.shape_of(key).unwrap().try_into().unwrap();
            let values = wide.tensor(key, shape).unwrap().to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
            let weight = format!("{}.weight", key.trim_start_matches(&prefix));
            same(&written.tensor(&weight, shape).unwrap(), &values, key);
        }
    }
}
