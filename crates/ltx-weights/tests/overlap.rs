//! Component files that hold the same tensors: the same bytes, other floats, blocks of the same weights; and ones that differ.
//!
//! Must not know which part of a model a tensor is.

use candle_core::{DType, Device, Tensor};
use ltx_types::CancelToken;
use ltx_weights::{Naming, QuantizeType, Recipe, TensorSet, WeightsError, quantize};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

const KEY: &str = "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight";

fn weights() -> Tensor {
    let values: Vec<f32> = (0..64 * 256).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    Tensor::from_vec(values, (64, 256), &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap()
}

fn save(folder: &Path, name: &str, key: &str, tensor: &Tensor) -> PathBuf {
    let path = folder.join(name);
    candle_core::safetensors::save(&HashMap::from([(key, tensor.clone())]), &path).unwrap();
    path
}

fn packed(folder: &Path, from: &Path, kind: QuantizeType) -> PathBuf {
    let out = folder.join(format!("{kind:?}.gguf"));
    let recipe = Recipe { kind, keep: vec![], naming: Naming::Official, metadata: vec![] };
    let set = TensorSet::open_file(from).unwrap();
    quantize(&set, &out, &recipe, &CancelToken::new(), |_, _| {}).unwrap();
    out
}

/// How two files differ, if they may not be named together.
fn together(first: &Path, second: &Path) -> Option<String> {
    match TensorSet::open_files(&[first.to_owned(), second.to_owned()]) {
        Ok(set) => {
            let twice = set.twice();
            assert_eq!((twice.len(), twice[0].tensors), (1, 1));
            assert_eq!((&*twice[0].first, &*twice[0].second), (first, second));
            None
        }
        Err(WeightsError::DuplicateKey { key, first: a, second: b, how }) => {
            assert_eq!((key.as_str(), &*a, &*b), (KEY, first, second));
            Some(how)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_same_weights_at_any_precision_are_one_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let first = save(folder.path(), "bf16.safetensors", KEY, &weights());
    let wider = save(folder.path(), "f32.safetensors", KEY, &weights().to_dtype(DType::F32).unwrap());
    let same = save(folder.path(), "same.safetensors", KEY, &weights());
    assert_eq!(together(&first, &same), None);
    assert_eq!(together(&first, &wider), None);
    for kind in [QuantizeType::Q8_0, QuantizeType::Q6K, QuantizeType::Q5K, QuantizeType::Q4K, QuantizeType::Q4_0] {
        let packed = packed(folder.path(), &first, kind);
        assert_eq!(together(&packed, &first), None, "{kind:?}");
        assert_eq!(together(&first, &packed), None, "{kind:?}");
    }
}

#[test]
fn other_weights_are_refused_at_any_precision() {
    let folder = tempfile::tempdir().unwrap();
    let first = save(folder.path(), "first.safetensors", KEY, &weights());
    let mut values = weights().to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values[7] += 0.1;
    let near = Tensor::from_vec(values.clone(), (64, 256), &Device::Cpu).unwrap();
    values.reverse();
    let far = Tensor::from_vec(values, (64, 256), &Device::Cpu).unwrap();
    for (name, other) in [("near.safetensors", near), ("far.safetensors", far.clone())] {
        for dtype in [DType::F32, DType::BF16] {
            let second = save(folder.path(), name, KEY, &other.to_dtype(dtype).unwrap());
            assert!(together(&first, &second).is_some(), "{name} {dtype:?}");
        }
    }
    let far = save(folder.path(), "far.safetensors", KEY, &far);
    let packed = packed(folder.path(), &far, QuantizeType::Q8_0);
    assert!(together(&first, &packed).unwrap().contains("BF16 and Q8_0"));
    let bent = save(folder.path(), "bent.safetensors", KEY, &weights().reshape((32, 512)).unwrap());
    assert!(together(&first, &bent).unwrap().contains("[64, 256] and [32, 512]"));
}

/// A file of fp8 with a scale for each row, and the values that it stands for in BF16.
fn scaled_by_rows(folder: &Path, name: &str, scales: &[f32]) -> [PathBuf; 2] {
    let bytes = weights().to_dtype(DType::F32).unwrap().to_dtype(DType::F8E4M3).unwrap();
    let scales = Tensor::from_slice(scales, (64, 1), &Device::Cpu).unwrap();
    let values = bytes.to_dtype(DType::F32).unwrap().broadcast_mul(&scales).unwrap().to_dtype(DType::BF16).unwrap();
    let packed = folder.join(format!("{name}-fp8.safetensors"));
    let scale_key = format!("{KEY}_scale");
    let tensors = HashMap::from([(KEY, bytes), (scale_key.as_str(), scales)]);
    candle_core::safetensors::save(&tensors, &packed).unwrap();
    [packed, save(folder, &format!("{name}-bf16.safetensors"), KEY, &values)]
}

#[test]
fn scales_beside_a_weight_are_a_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let plain = [0.5; 64];
    let mut other = plain;
    other[63] = 8.0;
    let [packed, values] = scaled_by_rows(folder.path(), "plain", &plain);
    let [again, _] = scaled_by_rows(folder.path(), "again", &plain);
    let [rescaled, others] = scaled_by_rows(folder.path(), "other", &other);
    assert_eq!(together(&packed, &again), None);
    assert_eq!(together(&packed, &values), None);
    assert_eq!(together(&others, &rescaled), None);
    assert_eq!(together(&packed, &rescaled).as_deref(), Some("other bytes"));
    assert!(together(&packed, &others).unwrap().contains("F8_E4M3 and BF16"));
}

#[test]
fn values_near_0_may_be_as_far_off_as_fp8_rounds_them_there() {
    let folder = tempfile::tempdir().unwrap();
    let small = (weights().to_dtype(DType::F32).unwrap() * 0.01).unwrap();
    let narrow = small.to_dtype(DType::F8E4M3).unwrap();
    let [small, narrow] = [("small", small), ("narrow", narrow)]
        .map(|(name, tensor)| save(folder.path(), &format!("{name}.safetensors"), KEY, &tensor));
    assert_eq!(together(&small, &narrow), None);
}

#[test]
fn the_audio_stream_is_compared_by_shape_alone() {
    let folder = tempfile::tempdir().unwrap();
    let key = "model.diffusion_model.audio_proj_out.weight";
    let first = save(folder.path(), "first.safetensors", key, &weights());
    let second = save(folder.path(), "second.safetensors", key, &weights().zeros_like().unwrap());
    assert!(TensorSet::open_files(&[first, second]).is_ok());
}
