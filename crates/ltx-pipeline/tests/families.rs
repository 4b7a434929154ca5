//! What holds for every family that runs, on its tiny model: a quantised copy loses nothing that decides a result; streamed blocks and
//! previews change no bit; a LoRA counts, streamed too.

use candle_core::{DType, Device, Tensor};
use ltx_engine::{Generator, MemoryBudget, NoPreviews, Preview, PreviewSink, Run};
use ltx_media::{FrameWriter, MediaError};
use ltx_pipeline::{Engine, EngineOptions, quantize, resolved};
use ltx_policy::{Admitted, Ask, ModelNames, PolicyConfig, UsageMark, admit};
use ltx_testkit::{data, tiny};
use ltx_types::{
    CancelToken, Defaults, FramePosition, Generation, ImageInput, ImageSource, LoraChoice, ModelFiles, Overrides,
    Schedule, Seed, Strength,
};
use ltx_weights::{QuantizeType, TensorSet};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

fn of(checkpoint: &str, components: &[&str], text_encoder: &str) -> ModelFiles {
    let components = components.iter().map(|component| tiny(component)).collect();
    let (checkpoint, text_encoder) = (tiny(checkpoint), tiny(text_encoder));
    ModelFiles { checkpoint, components, text_encoder, upscaler: None, loras: vec![] }
}

/// Every family by its name in manifests.
fn families() -> [(&'static str, ModelFiles); 4] {
    const VAE: &str = "../tiny-2.5/ltx-2.5-tiny-video-vae-conv.safetensors";
    let newest = "../tiny-2.5/ltx-2.5-tiny-transformer.safetensors";
    [
        ("ltx-2.3", of("ltx-2.3-tiny-dev.safetensors", &[], "gemma")),
        ("ltx-2.5", of(newest, &[VAE], "../tiny-2.5/gemma4-tiny-with-proj.safetensors")),
        ("ltx-2", of("../tiny-2/ltx-2.0-tiny-dev.safetensors", &[], "gemma")),
        ("ltxv-0.9.8", of("../ltxv-tiny", &[], "../ltxv-tiny/text_encoder")),
    ]
}

/// Keeps no frame.
struct Nowhere;

impl FrameWriter for Nowhere {
    fn write(&mut self, _: &[u8]) -> Result<(), MediaError> {
        Ok(())
    }
    fn finish(self: Box<Self>, _: &UsageMark) -> Result<(), MediaError> {
        Ok(())
    }
}

/// Nine frames from an image that is compressed as the model wants it, by its family's own distilled schedule.
fn request(engine: &Engine) -> Admitted<Generation> {
    let source = ImageSource::Path(data("kf_two_stage").join("image0.png"));
    let image = ImageInput { source, position: FramePosition::First, strength: Strength::FULL };
    let said =
        Overrides { width: Some(64), height: Some(64), frames: Some(9), seed: Some(Seed(3)), ..Overrides::default() };
    let draft = Defaults::official(Schedule::Distilled).fill(said, "A lake".into(), vec![image]);
    let policy = PolicyConfig::new(ModelNames::new(vec![], []));
    admit(&Ask::default(), draft, &policy).unwrap().check(&engine.rules()).unwrap()
}

/// The digest of the frames that a model makes.
fn made(files: &ModelFiles, options: EngineOptions) -> String {
    shown(files, options, &NoPreviews).0
}

/// The same, with the blocks that the plan holds while somebody may look.
fn shown(files: &ModelFiles, options: EngineOptions, previews: &dyn PreviewSink) -> (String, usize) {
    let mut engine = Engine::open(files, options).unwrap();
    let (request, cancel) = (request(&engine), CancelToken::new());
    let held = engine.plan(request.request()).blocks.held;
    let run = Run { previews, ..Run::quiet(&cancel) };
    (engine.generate(&request, &mut [Box::new(Nowhere)], &run).unwrap().frames_sha256, held)
}

/// Takes every preview.
#[derive(Default)]
struct Looking(Mutex<Vec<Preview>>);

impl PreviewSink for Looking {
    fn wanted(&self) -> bool {
        true
    }
    fn show(&self, preview: Preview) {
        self.0.lock().unwrap().push(preview);
    }
}

/// A LoRA of one pair, over the first block's queries of its self-attention.
fn one_pair(files: &ModelFiles, folder: &Path) -> LoraChoice {
    const LAYER: &str = "transformer_blocks.0.attn1.to_q";
    let checkpoint = TensorSet::open_file(&resolved(files).unwrap().checkpoint).unwrap();
    let shape = checkpoint.shape_of(&format!("model.diffusion_model.{LAYER}.weight")).unwrap();
    let waves = |rows: usize, columns: usize| {
        let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.7).sin()).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap()
    };
    let named = |half: &str| format!("diffusion_model.{LAYER}.lora_{half}.weight");
    let tensors = HashMap::from([(named("A"), waves(2, shape[1])), (named("B"), waves(shape[0], 2))]);
    let file = folder.join("one-pair.safetensors");
    candle_core::safetensors::save(&tensors, &file).unwrap();
    LoraChoice::new(&file, 0.5)
}

#[test]
fn streamed_blocks_and_previews_change_no_bit_and_a_lora_counts() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = Some(MemoryBudget { bytes: 0, firm: false });
    let streaming = || EngineOptions { memory: nothing, ..EngineOptions::default() };
    for (family, files) in families() {
        let (plain, all) = shown(&files, EngineOptions::default(), &NoPreviews);
        let (streamed, held) = shown(&files, streaming(), &NoPreviews);
        assert_eq!((all > 0, held), (true, 0), "{family}");
        assert_eq!(streamed, plain, "{family}: streamed");

        let looking = Looking::default();
        let (watched, _) = shown(&files, EngineOptions::default(), &looking);
        assert_eq!(watched, plain, "{family}: watched");
        let previews = looking.0.into_inner().unwrap();
        assert!(!previews.is_empty(), "{family}");
        for preview in previews {
            assert_eq!((preview.pixels.width, preview.pixels.height), (64, 64), "{family}");
            assert!(preview.rgb.iter().any(|byte| *byte != preview.rgb[0]), "{family}: not one colour");
        }

        let worn = ModelFiles { loras: vec![one_pair(&files, folder.path())], ..files };
        let engine = Engine::open(&worn, EngineOptions::default()).unwrap();
        let weights: Vec<_> =
            engine.reports().iter().flat_map(|report| &report.loras).map(|lora| lora.weights).collect();
        assert_eq!(weights, [1], "{family}");
        let (merged, streamed) = (made(&worn, EngineOptions::default()), made(&worn, streaming()));
        assert_ne!(merged, plain, "{family}: the LoRA");
        assert_eq!(streamed, merged, "{family}: the LoRA, streamed");
    }
}

fn quantised(files: &[PathBuf], out: &Path, kind: QuantizeType, keep: &[&str]) -> PathBuf {
    let keep = keep.iter().map(|pattern| (*pattern).to_owned()).collect();
    quantize(files, out, (kind, keep), &CancelToken::new(), |_, _| {}).unwrap();
    out.to_owned()
}

#[test]
fn a_quantised_checkpoint_states_all_that_its_files_did() {
    let folder = tempfile::tempdir().unwrap();
    for (family, files) in families() {
        let expected = made(&files, EngineOptions::default());
        let parts = resolved(&files).unwrap().checkpoint_files();
        // The transformer alone beside the rest, and everything in one file.
        let rest: Vec<_> =
            parts[1..].iter().filter(|part| !part.ends_with("transformer/config.json")).cloned().collect();
        let own: Vec<_> = parts.iter().filter(|part| !rest.contains(part)).cloned().collect();
        for (parts, components) in [(own, rest), (parts.clone(), vec![])] {
            let copy = |name: &str, kind, keep: &[&str]| {
                let checkpoint = quantised(&parts, &folder.path().join(name), kind, keep);
                ModelFiles { checkpoint, components: components.clone(), ..files.clone() }
            };
            // No value is another one, so what differed would be what is stated.
            let same = copy("same.gguf", QuantizeType::Bf16, &[".weight"]);
            assert_eq!(made(&same, EngineOptions::default()), expected, "{family} {components:?}");
            for kind in [QuantizeType::Q8_0, QuantizeType::Q4K] {
                let packed = copy("packed.gguf", kind, &[]);
                let engine = Engine::open(&packed, EngineOptions::default()).unwrap();
                engine.expect_family(family).unwrap();
                assert_eq!(made(&packed, EngineOptions::default()).len(), 64, "{family} {kind:?}");
            }
        }
    }
}

#[test]
fn a_quantised_checkpoint_compresses_images_as_its_vaes_file_said() {
    let folder = tempfile::tempdir().unwrap();
    let [_, (_, files), ..] = families();
    let older = folder.path().join("older.safetensors");
    let bytes = std::fs::read(&files.components[0]).unwrap();
    let at = bytes.windows(5).position(|window| window == b"2.5.0").unwrap();
    std::fs::write(&older, [&bytes[..at], b"2.3.0", &bytes[at + 5..]].concat()).unwrap();
    let crf = |files: &ModelFiles| Engine::open(files, EngineOptions::default()).unwrap().rules().image_crf;
    let apart = ModelFiles { components: vec![older], ..files };
    let checkpoint = quantised(&apart.checkpoint_files(), &folder.path().join("one.gguf"), QuantizeType::Q8_0, &[]);
    let one = ModelFiles { checkpoint, components: vec![], ..apart.clone() };
    assert_eq!((crf(&apart), crf(&one)), (Some(33), Some(33)));
}
