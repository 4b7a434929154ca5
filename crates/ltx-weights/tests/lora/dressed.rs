//! A small model with a LoRA over it, and what the sum has to be by the plain formula.
//!
//! Must not know what a header states.

use candle_core::Device;
use ltx_nn::{Compute, Weights};
use ltx_types::{LoraChoice, LoraStrengths, Part, SamplingStage};
use ltx_weights::{Adapted, LoraReport, Loras, ShapeOnly, Stored, TensorSet};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) const FIRST: &str = "transformer_blocks.0.attn1.to_q";
pub(crate) const SECOND: &str = "transformer_blocks.10.attn1.to_q";
pub(crate) const CONNECTOR: &str = "video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q";
pub(crate) const SHAPE: [usize; 2] = [6, 5];
pub(crate) const RANK: usize = 4;
/// A 7-bit float of e4m3 that is 1.
pub(crate) const FP8_ONE: u8 = 0x38;

/// A tensor of a file.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Entry {
    pub(crate) fn f32(shape: &[usize], values: impl IntoIterator<Item = f32>) -> Self {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn number(value: f32) -> Self {
        Self::f32(&[], [value])
    }
}

pub(crate) type Entries = BTreeMap<String, Entry>;

pub(crate) fn save(file: &Path, entries: &Entries, metadata: &[(&str, &str)]) {
    let views = entries.iter().map(|(key, Entry { dtype, shape, bytes })| {
        (key.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    serialize_to_file(views, Some(metadata), file).unwrap();
}

/// Values that are no two alike, and exact in every float type.
pub(crate) fn values(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + seed * 3) % 11) as f32 / 8.0 - 0.5).collect()
}

pub(crate) fn weight(number: usize) -> Vec<f32> {
    values(number + 5, SHAPE[0] * SHAPE[1])
}

/// A model of three layers.
pub(crate) fn model(folder: &Path) -> Arc<TensorSet> {
    let file = folder.join("model.safetensors");
    let layer = |(number, name): (usize, &&str)| {
        (format!("model.diffusion_model.{name}.weight"), Entry::f32(&SHAPE, weight(number)))
    };
    save(&file, &[FIRST, SECOND, CONNECTOR].iter().enumerate().map(layer).collect(), &[]);
    Arc::new(TensorSet::open_file(&file).unwrap())
}

/// The pair of a layer: `A` and `B`.
pub(crate) fn pair(number: usize, rank: usize) -> [Entry; 2] {
    let (down, up) = (values(number, rank * SHAPE[1]), values(number + 1, SHAPE[0] * rank));
    [Entry::f32(&[rank, SHAPE[1]], down), Entry::f32(&[SHAPE[0], rank], up)]
}

/// A file's entries for the first two layers, `head` before their names.
pub(crate) fn pairs(head: &str) -> Entries {
    let mut entries = Entries::new();
    for (number, layer) in [FIRST, SECOND].iter().enumerate() {
        let [down, up] = pair(number, RANK);
        entries.insert(format!("{head}{layer}.lora_A.weight"), down);
        entries.insert(format!("{head}{layer}.lora_B.weight"), up);
    }
    entries
}

/// `W + factor · B A` of a layer.
pub(crate) fn sum(number: usize, rank: usize, factor: f64) -> Vec<f64> {
    let (down, up) = (values(number, rank * SHAPE[1]), values(number + 1, SHAPE[0] * rank));
    let at = |i: usize| {
        let (row, column) = (i / SHAPE[1], i % SHAPE[1]);
        let product: f64 =
            (0..rank).map(|k| f64::from(up[row * rank + k]) * f64::from(down[k * SHAPE[1] + column])).sum();
        f64::from(weight(number)[i]) + factor * product
    };
    (0..SHAPE[0] * SHAPE[1]).map(at).collect()
}

/// A model with a LoRA over it.
pub(crate) struct Dressed {
    folder: tempfile::TempDir,
    set: Arc<TensorSet>,
    loras: Arc<Loras>,
}

impl Dressed {
    pub(crate) fn of(entries: &Entries, metadata: &[(&str, &str)], strengths: LoraStrengths) -> Self {
        Self::with(|folder| {
            let file = folder.join("lora.safetensors");
            save(&file, entries, metadata);
            LoraChoice::at(file, strengths)
        })
    }

    pub(crate) fn with(choice: impl FnOnce(&Path) -> LoraChoice) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = model(folder.path());
        let loras = Arc::new(Loras::open(&[choice(folder.path())], &set).unwrap());
        Self { folder, set, loras }
    }

    /// The file that [`Self::of`] wrote.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("lora.safetensors")
    }

    /// What is wrong, as a load says it.
    pub(crate) fn account(&self) -> (String, Vec<LoraReport>) {
        let source = ShapeOnly::with_loras(Arc::clone(&self.set), Arc::clone(&self.loras));
        for key in self.set.keys() {
            source.part(Part::Transformer).matrix(key, SHAPE, &Compute::cpu_f32()).unwrap();
        }
        let report = source.report();
        (report.to_string(), report.loras.clone())
    }

    pub(crate) fn matrix(&self, layer: &str, stage: SamplingStage) -> Vec<f32> {
        let base = Arc::new(Stored(Arc::clone(&self.set)));
        let wear = self.loras.wear(&[]).unwrap();
        let source = Adapted { base, loras: Arc::clone(&self.loras), stage, wear };
        let matrix = source.matrix(&format!("model.diffusion_model.{layer}.weight"), SHAPE, &Compute::cpu_f32());
        let tensor = matrix.unwrap().tensor(&Compute::cpu_f32()).unwrap();
        tensor.to_device(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Asserts that both layers are sums with these factors.
    pub(crate) fn is(&self, factors: [f64; 2], what: &str) {
        let (problems, _) = self.account();
        assert_eq!(problems, "", "{what}");
        for (number, layer) in [FIRST, SECOND].into_iter().enumerate() {
            self.layer_is(layer, SamplingStage::First, &sum(number, RANK, factors[number]), what);
        }
    }

    pub(crate) fn layer_is(&self, layer: &str, stage: SamplingStage, expected: &[f64], what: &str) {
        for (found, expected) in self.matrix(layer, stage).iter().zip(expected) {
            let (found, expected) = (f64::from(*found), *expected);
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{what}: {layer}: {found} {expected}");
        }
    }
}

pub(crate) fn stating(metadata: &[(&str, &str)]) -> Dressed {
    Dressed::of(&pairs("transformer."), metadata, LoraStrengths::both(1.0))
}

pub(crate) const ADAPTER: &str = "lora_adapter_metadata";
