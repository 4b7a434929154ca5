//! LoRA files over the tiny model: what they add is `strength · alpha / rank · B A`, in a dense checkpoint and beside a
//! packed one, whatever its tensors are called; and what is said of a file that does not fit.

use candle_core::{DType, Device, Tensor};
use ltx_engine::{MemoryBudget, Run};
use ltx_nn::{Compute, Level, Vb, relative_l2};
use ltx_pipeline::{
    Engine, EngineOptions, PipelineError,
    golden::{GoldenCase, run_case},
    inspect, inspect_together, quantize,
};
use ltx_testkit::{data, tiny};
use ltx_types::{CancelToken, LoraChoice, ModelFiles, Part};
use ltx_weights::{Idle, LoraReport, QuantizeType, Stored, TensorSet};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

const CHECKPOINT: &str = "ltx-2.3-tiny-dev.safetensors";
const MODEL: &str = "model.diffusion_model.";
/// Layers that the tests' files change: parts of their keys.
const CHANGED: [&str; 5] =
    ["transformer_blocks.0.", "transformer_blocks.2.attn2.", "patchify_proj.", "adaln_single.linear.", "connector"];

/// Everything a golden case computes with other files.
fn computed(change: impl FnOnce(&mut ModelFiles)) -> HashMap<String, Tensor> {
    computed_within(None, change)
}

/// The same within a budget.
fn computed_within(memory: Option<MemoryBudget>, change: impl FnOnce(&mut ModelFiles)) -> HashMap<String, Tensor> {
    let mut case = GoldenCase::open(&data("i2v_distilled")).unwrap();
    change(&mut case.files);
    let cancel = CancelToken::new();
    let run = Run::quiet(&cancel);
    run_case(&case, EngineOptions { memory, ..EngineOptions::default() }, &run).unwrap().computed
}

fn distance(found: &HashMap<String, Tensor>, expected: &HashMap<String, Tensor>) -> f64 {
    let of = |name: &str| relative_l2(&found[name], &expected[name]).unwrap();
    of("stage1.velocity.step0").max(of("decoded_raw"))
}

/// How near the same product is from a file of bf16 and from one of f32: on AMX the former has activations of 17 bits.
fn near() -> f64 {
    if Level::widest().has_tiles() { 1e-4 } else { 1e-5 }
}

fn save(folder: &Path, name: &str, tensors: &BTreeMap<String, Tensor>) -> PathBuf {
    let file = folder.join(name);
    let tensors: HashMap<&str, Tensor> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    candle_core::safetensors::save(&tensors, &file).unwrap();
    file
}

/// The video weights that the tests change, by key, with their shapes.
fn layers(set: &TensorSet) -> Vec<(String, [usize; 2])> {
    let layer = |key: &&str| {
        let name = key.strip_prefix(MODEL).unwrap_or_default();
        let audio = ["audio", "av_ca", "a2v", "v2a"].iter().any(|mark| name.contains(mark));
        name.ends_with(".weight") && !audio && CHANGED.iter().any(|part| name.contains(part))
    };
    let shaped = |key: &str| Some((key.to_owned(), <[usize; 2]>::try_from(set.shape_of(key)?).ok()?));
    set.keys().filter(layer).filter_map(shaped).collect()
}

/// How a file calls the tensors of a pair.
#[derive(Clone, Copy)]
enum Style {
    Official,
    Peft,
    Kohya,
}

impl Style {
    fn key(self, weight: &str, role: usize) -> String {
        let name = weight.strip_prefix(MODEL).and_then(|name| name.strip_suffix(".weight")).unwrap();
        match self {
            Self::Official => format!("diffusion_model.{name}{}", [".lora_A.weight", ".lora_B.weight", ".alpha"][role]),
            Self::Peft => {
                format!(
                    "base_model.model.{name}{}",
                    [".lora_A.default.weight", ".lora_B.default.weight", ".alpha"][role]
                )
            }
            Self::Kohya => {
                let ending = [".lora_down.weight", ".lora_up.weight", ".alpha"][role];
                format!("lora_unet_{}{ending}", name.replace('.', "_"))
            }
        }
    }
}

/// A random LoRA.
struct Made {
    tensors: BTreeMap<String, Tensor>,
    /// What it adds at strength 1, by the weight's key.
    adds: BTreeMap<String, Tensor>,
}

/// Pairs of rank `rank` for every layer that the tests change; with an alpha of twice the rank where `alpha`.
fn made(set: &TensorSet, rank: usize, style: Style, alpha: bool) -> Made {
    let (mut tensors, mut adds) = (BTreeMap::new(), BTreeMap::new());
    for (key, [outputs, inputs]) in layers(set) {
        let draw = |rows: usize, columns: usize, deviation: f64| {
            let drawn = Tensor::randn(0f32, 1f32, (rows, columns), &Device::Cpu).unwrap();
            (drawn * deviation).unwrap().to_dtype(DType::BF16).unwrap()
        };
        // Its effect is a part of the weight's own, about 1/√inputs.
        let (down, up) = (draw(rank, inputs, 0.3), draw(outputs, rank, 1.0 / ((rank * inputs) as f64).sqrt()));
        let wide = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
        let product = wide(&up).matmul(&wide(&down)).unwrap();
        adds.insert(key.clone(), (product * if alpha { 2.0 } else { 1.0 }).unwrap());
        tensors.insert(style.key(&key, 0), down);
        tensors.insert(style.key(&key, 1), up);
        if alpha {
            tensors.insert(style.key(&key, 2), Tensor::new(2.0 * rank as f32, &Device::Cpu).unwrap());
        }
    }
    assert!(adds.len() > 20, "{}", adds.len());
    Made { tensors, adds }
}

/// What the checkpoint of `set` computes in f32 with what `made` add at their strengths, from a file of the sums.
fn summed(folder: &Path, set: TensorSet, made: &[(&Made, f64)]) -> HashMap<String, Tensor> {
    let set = Arc::new(set);
    let vb = Vb::new(Arc::new(Stored(Arc::clone(&set))), Compute::cpu_f32());
    let mut tensors = HashMap::new();
    for key in set.keys() {
        let mut tensor = vb.tensor(key, set.shape_of(key).unwrap()).unwrap();
        for (made, strength) in made {
            if let Some(adds) = made.adds.get(key) {
                tensor = (tensor + (adds * *strength).unwrap()).unwrap();
            }
        }
        tensors.insert(key.to_owned(), tensor);
    }
    let (file, config) = (folder.join("changed.safetensors"), folder.join("config.json"));
    candle_core::safetensors::save(&tensors, &file).unwrap();
    fs::write(&config, set.config().unwrap().to_string()).unwrap();
    computed(|files| (files.checkpoint, files.components) = (file, vec![config]))
}

fn open() -> TensorSet {
    TensorSet::open_file(&tiny(CHECKPOINT)).unwrap()
}

fn chosen(path: &Path, strength: f32) -> LoraChoice {
    LoraChoice::new(path, strength)
}

#[test]
fn two_files_add_up_merged_and_beside() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (made(&open(), 4, Style::Official, false), made(&open(), 3, Style::Kohya, true));
    let files =
        [save(folder.path(), "a.safetensors", &first.tensors), save(folder.path(), "b.safetensors", &second.tensors)];
    let both = vec![chosen(&files[0], 0.8), chosen(&files[1], -0.5)];
    let plain = computed(|_| {});

    let merged = computed(|files| files.loras = both.clone());
    let expected = summed(folder.path(), open(), &[(&first, 0.8), (&second, -0.5)]);
    let (error, effect) = (distance(&merged, &expected), distance(&merged, &plain));
    println!("dense: {error:.1e} from the sum of weights, {effect:.1e} from none");
    assert!(error < near() && effect > 1e-2);

    for (name, kind) in [("q8_0", QuantizeType::Q8_0), ("q4_k", QuantizeType::Q4K)] {
        let packed = folder.path().join(format!("{name}.gguf"));
        quantize(&[tiny(CHECKPOINT)], &packed, (kind, vec![]), &CancelToken::new(), |_, _| {}).unwrap();
        let beside = computed(|files| (files.checkpoint, files.loras) = (packed.clone(), both.clone()));
        let set = TensorSet::open_file(&packed).unwrap();
        let error = distance(&beside, &summed(folder.path(), set, &[(&first, 0.8), (&second, -0.5)]));
        println!("{name}: {error:.1e} from the sum of the widened weights");
        assert!(error < near());
        let report = inspect_together(&[packed], &both).unwrap().report;
        assert!(report.is_complete() && report.beside[&Part::Transformer].bytes > 0, "{report}");
    }
}

#[test]
fn streamed_layers_have_it_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let made = made(&open(), 4, Style::Official, true);
    let loras = vec![chosen(&save(folder.path(), "a.safetensors", &made.tensors), 0.7)];
    let packed = folder.path().join("q8_0.gguf");
    quantize(&[tiny(CHECKPOINT)], &packed, (QuantizeType::Q8_0, vec![]), &CancelToken::new(), |_, _| {}).unwrap();
    for checkpoint in [tiny(CHECKPOINT), packed] {
        let change = |files: &mut ModelFiles| (files.checkpoint, files.loras) = (checkpoint.clone(), loras.clone());
        let streamed = computed_within(Some(MemoryBudget { bytes: 0, firm: false }), change);
        assert_eq!(distance(&streamed, &computed(change)), 0.0, "{}", checkpoint.display());
    }
}

#[test]
fn strength_nought_is_none_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let made = made(&open(), 2, Style::Peft, true);
    let file = save(folder.path(), "a.safetensors", &made.tensors);
    let (none, nought) = (computed(|_| {}), computed(|files| files.loras = vec![chosen(&file, 0.0)]));
    let values = |of: &HashMap<String, Tensor>| of["decoded_raw"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&none), values(&nought));
    let once = computed(|files| files.loras = vec![chosen(&file, 1.0)]);
    let halves = computed(|files| files.loras = vec![chosen(&file, 0.5), chosen(&file, 0.5)]);
    assert!(distance(&once, &halves) < near() && distance(&once, &none) > 1e-2);
}

/// What the account says of the tiny checkpoint with a file of these tensors over it, and of the file alone.
fn said(tensors: &BTreeMap<String, Tensor>) -> (String, Vec<LoraReport>) {
    let folder = tempfile::tempdir().unwrap();
    let file = save(folder.path(), "bent.safetensors", tensors);
    let loras = vec![chosen(&file, 1.0)];
    let report = inspect_together(&[tiny(CHECKPOINT)], &loras).unwrap().report;
    let (text, reports) = (report.to_string(), report.loras.clone());
    // What the account finds, a load refuses.
    let mut files = GoldenCase::open(&data("i2v_distilled")).unwrap().files;
    files.loras = loras;
    match Engine::open(&files, EngineOptions::default()) {
        Ok(_) => assert!(report.is_complete(), "{text}"),
        Err(PipelineError::Weights(error)) => assert!(error.to_string().contains(&text), "{error}"),
        Err(error) => panic!("{error}"),
    }
    (text, reports)
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

/// A pair for `diffusion_model.{name}` of these shapes.
fn pair(name: &str, down: &[usize], up: &[usize]) -> BTreeMap<String, Tensor> {
    BTreeMap::from([
        (format!("diffusion_model.{name}.lora_A.weight"), zeros(down)),
        (format!("diffusion_model.{name}.lora_B.weight"), zeros(up)),
    ])
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let query = "transformer_blocks.1.attn1.to_q";
    let good = pair(query, &[3, 64], &[64, 3]);
    let with = |key: &str, tensor: Tensor| {
        let mut tensors = good.clone();
        tensors.insert(key.replace('@', &format!("diffusion_model.{query}")), tensor);
        tensors
    };
    assert_eq!(said(&good).0, "");
    let alpha = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    for (tensors, expected) in [
        (pair(query, &[3, 65], &[64, 3]), "to_q.lora_A.weight has shape [3, 65], expected [rank, 64]"),
        (pair(query, &[3, 64], &[65, 3]), "to_q.lora_B.weight has shape [65, 3], expected [64, 3]"),
        (pair(query, &[3, 64], &[64, 4]), "to_q.lora_B.weight has shape [64, 4], expected [64, 3]"),
        (pair(query, &[3, 64, 1], &[64, 3]), "to_q.lora_A.weight has shape [3, 64, 1], expected [rank, 64]"),
        (
            pair("transformer_blocks.9.attn1.to_q", &[3, 64], &[64, 3]),
            "transformer_blocks.9.attn1.to_q.lora_A.weight belongs to no",
        ),
        (
            pair("transformer_blocks.1.attn1.q_norm", &[3, 64], &[64, 3]),
            "key diffusion_model.transformer_blocks.1.attn1.q_norm.lora_A.weight belongs to model.diffusion_model.transformer_blocks",
        ),
        (pair("scale_shift_table", &[3, 64], &[2, 3]), "scale_shift_table.lora_A.weight belongs to no"),
        (with("text_encoder.q.lora_A.weight", zeros(&[3, 64])), "text_encoder.q.lora_A.weight has no lora_B beside it"),
        (with("@.dora_scale", zeros(&[64, 1])), "to_q.dora_scale is neither lora_A (lora_down)"),
        (with("@.diff", zeros(&[64, 64])), "to_q.diff is neither"),
        (with("@.lora_down.weight", zeros(&[3, 64])), "to_q.lora_down.weight stands for the same as"),
        (with("@.alpha", alpha(&[f32::NAN])), "to_q.alpha is NaN, expected one finite number"),
        (with("@.alpha", alpha(&[1.0, 2.0])), "to_q.alpha is of shape [2], expected one finite number"),
    ] {
        let (text, _) = said(&tensors);
        assert!(text.contains("bent.safetensors: key") && text.contains(expected), "{text}\n{expected}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.safetensors");
    save(folder.path(), "none.safetensors", &BTreeMap::from([("w".to_owned(), zeros(&[2, 2]))]));
    let error = inspect_together(&[tiny(CHECKPOINT)], &[chosen(&file, 1.0)]).unwrap_err();
    assert!(error.to_string().contains("none.safetensors: no LoRA"), "{error}");
    fs::remove_file(&file).unwrap();
    assert!(inspect_together(&[tiny(CHECKPOINT)], &[chosen(&file, 1.0)]).is_err());
}

#[test]
fn audio_is_counted_and_left_alone() {
    let mut tensors = pair("transformer_blocks.1.attn1.to_q", &[3, 64], &[64, 3]);
    tensors.extend(pair("transformer_blocks.1.audio_attn1.to_q", &[3, 7], &[9, 3]));
    tensors.extend(pair("transformer_blocks.77.video_to_audio_attn.to_q", &[3, 7], &[9, 3]));
    let (text, reports) = said(&tensors);
    assert_eq!(text, "");
    let LoraReport { weights, ranks, used, audio, .. } = &reports[0];
    assert_eq!((*weights, *ranks, used.tensors, audio.tensors), (1, (3, 3), 2, 4));

    let folder = tempfile::tempdir().unwrap();
    let alone = inspect(&save(folder.path(), "a.safetensors", &tensors)).unwrap();
    assert_eq!((alone.kind.as_str(), alone.sizes.as_str(), alone.report.audio.tensors), ("LoRA", "rank 3", 4));
    assert_eq!((alone.report.total.tensors, alone.report.used_total().tensors, alone.report.unknown()), (6, 2, 0));
}

/// A file among this test's data.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The pixels of a golden case with a LoRA file over its checkpoint, to the last bit.
fn frames(loras: Vec<LoraChoice>) -> Vec<u32> {
    let computed = computed(|files| files.loras = loras);
    let pixels = computed["decoded_raw"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    pixels.into_iter().map(f32::to_bits).collect()
}

#[test]
fn diffusers_names_make_the_frames_that_official_ones_make() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = file("lora-diffusers-prompt-adaln.safetensors");
    let tensors = candle_core::safetensors::load(&theirs, &Device::Cpu).unwrap();
    let renamed = |renames: [(&str, &str); 3], head: &str| -> BTreeMap<String, Tensor> {
        let rename = |key: &str| {
            let key = renames.iter().fold(key.to_owned(), |key, (from, to)| key.replace(from, to));
            key.replace("transformer.", head)
        };
        tensors.iter().map(|(key, tensor)| (rename(key), tensor.clone())).collect()
    };
    let official =
        [("prompt_adaln", "prompt_adaln_single"), ("time_embed", "adaln_single"), ("proj_in", "patchify_proj")];
    let plain = save(folder.path(), "official.safetensors", &renamed(official, "diffusion_model."));
    let expected = frames(vec![chosen(&plain, 1.0)]);
    assert_ne!(expected, frames(vec![]));
    assert_eq!(frames(vec![chosen(&theirs, 1.0)]), expected);
    // PEFT's way to say the same, and kohya's with both vocabularies.
    let peft = renamed([("lora_A.", "lora_A.camera."), ("lora_B.", "lora_B.camera."), ("", "")], "base_model.model.");
    assert_eq!(frames(vec![chosen(&save(folder.path(), "peft.safetensors", &peft), 1.0)]), expected);
    for renames in [official, [("", ""); 3]] {
        let kohya = renamed(renames, "lora_unet_").into_iter().map(|(key, tensor)| {
            let (layer, role) = key.split_once(".lora_").unwrap();
            let role = if role.starts_with('A') { "down" } else { "up" };
            (format!("{}.lora_{role}.weight", layer.replace('.', "_")), tensor)
        });
        let kohya = save(folder.path(), "kohya.safetensors", &kohya.collect());
        assert_eq!(frames(vec![chosen(&kohya, 1.0)]), expected);
    }
}

#[test]
fn diffusers_connectors_are_the_text_connector_and_projection() {
    let folder = tempfile::tempdir().unwrap();
    let block = "video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q";
    let random = |rows: usize, columns: usize| Tensor::randn(0f32, 0.3f32, (rows, columns), &Device::Cpu).unwrap();
    let (pairs, projection) = ([random(2, 64), random(64, 2)], [random(2, 384), random(64, 2)]);
    let named = |connector: &str, projected: &str| {
        BTreeMap::from([
            (format!("{connector}.lora_A.weight"), pairs[0].clone()),
            (format!("{connector}.lora_B.weight"), pairs[1].clone()),
            (format!("{projected}.lora_A.weight"), projection[0].clone()),
            (format!("{projected}.lora_B.weight"), projection[1].clone()),
        ])
    };
    let official = named(&format!("diffusion_model.{block}"), "text_embedding_projection.video_aggregate_embed");
    let theirs = named("connectors.video_connector.transformer_blocks.0.attn1.to_q", "connectors.video_text_proj_in");
    let expected = frames(vec![chosen(&save(folder.path(), "official.safetensors", &official), 1.0)]);
    assert_eq!(frames(vec![chosen(&save(folder.path(), "theirs.safetensors", &theirs), 1.0)]), expected);
    assert_ne!(expected, frames(vec![]));
}

#[test]
fn what_crosses_to_the_audio_stream_is_counted_and_left_alone() {
    let loras = vec![chosen(&file("lora-diffusers-av-cross.safetensors"), 1.0)];
    assert_eq!(frames(loras.clone()), frames(vec![]));
    let report = inspect_together(&[tiny(CHECKPOINT)], &loras).unwrap().report;
    let LoraReport { audio, weights, idle, .. } = &report.loras[0];
    assert_eq!((report.to_string().as_str(), audio.tensors, *weights, *idle), ("", 24, 0, Some(Idle::AudioOnly)));
}
