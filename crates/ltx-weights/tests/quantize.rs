//! From safetensors to GGUF and back: what stays, what changes and by how much, and that nothing is left of a failed attempt.

use candle_core::{DType, Device, Tensor};
use ltx_nn::{Compute, Vb, relative_l2};
use ltx_types::CancelToken;
use ltx_weights::{MetaValue, Naming, QuantizeReport, QuantizeType, Recipe, Stored, TensorSet, WeightsError, quantize};
use std::{collections::HashMap, fs, path::Path, sync::Arc};

const BLOCK: &str = "model.diffusion_model.transformer_blocks.0";

fn randn(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::randn(0f32, 1f32, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn source(folder: &Path) -> TensorSet {
    let file = folder.join("in.safetensors");
    let tensors = HashMap::from([
        (format!("{BLOCK}.attn1.to_q.weight"), randn(&[700, 512], DType::BF16)),
        (format!("{BLOCK}.attn1.to_q.bias"), randn(&[700], DType::F32)),
        (format!("{BLOCK}.attn1.to_k.weight"), randn(&[8, 96], DType::F32)),
        (format!("{BLOCK}.attn1.to_v.weight"), randn(&[8, 40], DType::F16)),
        (format!("{BLOCK}.scale_shift_table"), randn(&[9, 64], DType::F32)),
        ("vae.decoder.conv.weight".to_owned(), randn(&[4, 3, 3, 3, 3], DType::BF16)),
        ("vae.scalar".to_owned(), randn(&[], DType::F32)),
    ]);
    candle_core::safetensors::save(&tensors, &file).unwrap();
    TensorSet::open_file(&file).unwrap()
}

fn recipe(kind: QuantizeType) -> Recipe {
    let metadata = vec![
        ("general.architecture".to_owned(), MetaValue::Text("ltxv".to_owned())),
        ("config".to_owned(), MetaValue::Text(r#"{"transformer": 1}"#.to_owned())),
    ];
    Recipe { kind, keep: vec![], naming: Naming::Official, metadata }
}

fn run(set: &TensorSet, out: &Path, recipe: &Recipe) -> QuantizeReport {
    quantize(set, out, recipe, &CancelToken::new(), |done, all| assert!(done <= all)).unwrap()
}

fn read(set: &Arc<TensorSet>, key: &str) -> Tensor {
    let vb = Vb::new(Arc::new(Stored(Arc::clone(set))), Compute::cpu_f32());
    vb.tensor(key, set.shape_of(key).unwrap()).unwrap()
}

#[test]
fn matrices_lose_what_their_type_costs_and_nothing_else_changes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.gguf");
    let set = Arc::new(source(folder.path()));
    for (kind, types, bound) in [
        (QuantizeType::Q8_0, ["Q8_0", "Q8_0", "F16"], 0.01),
        (QuantizeType::Q6K, ["Q6_K", "Q8_0", "F16"], 0.03),
        (QuantizeType::Q5K, ["Q5_K", "Q5_1", "F16"], 0.06),
        (QuantizeType::Q4K, ["Q4_K", "Q5_0", "F16"], 0.12),
        (QuantizeType::Q4_0, ["Q4_0", "Q4_0", "F16"], 0.15),
        (QuantizeType::Bf16, ["BF16", "BF16", "BF16"], 0.004),
    ] {
        let report = run(&set, &out, &recipe(kind));
        let written = Arc::new(TensorSet::open_file(&out).unwrap());
        assert_eq!(written.keys().collect::<Vec<_>>(), set.keys().collect::<Vec<_>>());
        assert!(written.config().unwrap().get("transformer").is_some());
        assert_eq!(fs::metadata(&out).unwrap().len(), report.bytes_out);
        for tensor in &report.tensors {
            let key = tensor.key.as_str();
            assert_eq!(written.shape_of(key), set.shape_of(key), "{key}");
            assert_eq!(written.stored_as(key), Some(tensor.to), "{key}");
            let error = relative_l2(&read(&written, key), &read(&set, key)).unwrap();
            let (low, high) = (tensor.relative_error * 0.999, tensor.relative_error * 1.001);
            assert!((low..=high).contains(&error), "{kind:?} {key}: {error:e}, said {:e}", tensor.relative_error);
            match ["to_q.weight", "to_k.weight", "to_v.weight"].iter().position(|name| key.ends_with(name)) {
                Some(at) => {
                    assert_eq!(tensor.to, types[at], "{kind:?} {key}");
                    assert!(error < bound, "{kind:?} {key}: {error:e}");
                }
                None => assert!(error == 0.0 && tensor.kept.is_some() && tensor.from == tensor.to, "{key}"),
            }
        }
        let fallen = report.tensors.iter().filter(|tensor| tensor.fallback).count();
        assert_eq!(fallen, types.iter().filter(|name| **name != types[0]).count(), "{kind:?}");
    }
}

#[test]
fn what_is_to_be_kept_is_kept_and_a_gguf_can_be_quantised_again() {
    let folder = tempfile::tempdir().unwrap();
    let (once, twice) = (folder.path().join("once.gguf"), folder.path().join("twice.gguf"));
    let set = source(folder.path());
    let keep = vec!["*.to_q.weight".to_owned(), "to_k".to_owned()];
    let report = run(&set, &once, &Recipe { keep, ..recipe(QuantizeType::Q8_0) });
    let kept: Vec<_> = report.tensors.iter().filter(|tensor| tensor.kept == Some("--keep")).map(|t| t.to).collect();
    assert_eq!(kept, ["F32", "BF16"]);
    run(&TensorSet::open_file(&once).unwrap(), &twice, &recipe(QuantizeType::Q4K));
    let set = Arc::new(set);
    let twice = Arc::new(TensorSet::open_file(&twice).unwrap());
    let key = format!("{BLOCK}.attn1.to_q.weight");
    assert!(relative_l2(&read(&twice, &key), &read(&set, &key)).unwrap() < 0.12);
}

#[test]
fn gemma_gets_llama_names_and_its_norms_hold_the_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("in.safetensors"), folder.path().join("out.gguf"));
    let prefix = "language_model.model";
    let keys = ["layers.0.input_layernorm.weight", "layers.0.mlp.up_proj.weight", "norm.weight", "embed_tokens.weight"];
    let tensors: HashMap<String, Tensor> = keys
        .iter()
        .map(|key| {
            (format!("{prefix}.{key}"), randn(if key.contains("norm") { &[64] } else { &[32, 64] }, DType::BF16))
        })
        .chain([("vision_tower.x".to_owned(), randn(&[4], DType::BF16))])
        .collect();
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let set = TensorSet::open_file(&file).unwrap();
    let metadata = vec![("general.architecture".to_owned(), MetaValue::Text("gemma3".to_owned()))];
    let report = run(&set, &out, &Recipe { naming: Naming::Gemma { prefix }, metadata, ..recipe(QuantizeType::Q8_0) });
    assert_eq!(report.left_out, ["vision_tower.x"]);
    // As llama.cpp would see it.
    let bytes = fs::read(&out).unwrap();
    for name in ["blk.0.attn_norm.weight", "blk.0.ffn_up.weight", "output_norm.weight", "token_embd.weight"] {
        assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
    let (set, written) = (Arc::new(set), Arc::new(TensorSet::open_file(&out).unwrap()));
    for key in keys {
        let (found, expected) = (read(&written, &format!("model.{key}")), read(&set, &format!("{prefix}.{key}")));
        assert!(relative_l2(&found, &expected).unwrap() < 0.01, "{key}");
    }
    assert_eq!(written.stored_as("model.norm.weight"), Some("F32"));
}

#[test]
fn nothing_is_left_of_what_fails() {
    let folder = tempfile::tempdir().unwrap();
    let set = source(folder.path());
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let before = files();
    let out = folder.path().join("out.gguf");
    let cancel = CancelToken::new();
    let stopped = quantize(&set, &out, &recipe(QuantizeType::Q8_0), &cancel, |done, _| {
        if done > 0 {
            cancel.cancel();
        }
    });
    assert!(matches!(stopped, Err(WeightsError::Cancelled(_))));
    assert_eq!(files(), before);
    let nowhere = folder.path().join("nowhere/out.gguf");
    let failed = quantize(&set, &nowhere, &recipe(QuantizeType::Q8_0), &CancelToken::new(), |_, _| {});
    assert!(matches!(failed, Err(WeightsError::Write { file, .. }) if file == nowhere));
    let file = folder.path().join("in.safetensors");
    let bad = Tensor::new(&[[f32::NAN; 32]], &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("a.to_q.weight", bad)]), &file).unwrap();
    let set = TensorSet::open_file(&file).unwrap();
    let failed = quantize(&set, &out, &recipe(QuantizeType::Q8_0), &CancelToken::new(), |_, _| {});
    assert!(matches!(failed, Err(WeightsError::NotFinite { key, .. }) if key == "a.to_q.weight"));
    assert_eq!(files(), before);
}
