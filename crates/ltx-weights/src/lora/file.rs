//! One LoRA file: its pairs, what in it is none, and what it states about them.
//!
//! Must not know the model it is for.

use super::{
    kinds,
    names::{Component, Named, Role, Target, is_of_audio, layers, named, role_of},
    problem::LoraProblem,
    stated::{Layer, OwnAlpha, Stated},
};
use crate::{
    Result, TensorSet, WeightsError,
    report::Tally,
    sources::{self, look_up},
    vocabulary::TRANSFORMER,
    weight_file::StoredType,
};
use candle_core::DType;
use ltx_nn::{Compute, Weights, matrix::LowRank};
use ltx_types::{MODEL_VERSION, model_version};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Two matrices of a file whose product is added to a weight.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) target: Target,
    component: Component,
    /// The layer's name in the file, without what stands before the model's own, and with it.
    layer: String,
    stem: String,
    pub(super) down: String,
    pub(super) up: String,
    alpha: Option<String>,
}

impl Pair {
    /// Every name of its layer; the file's own spelling first, last with what stands before the model's names. `target` is the
    /// weight's official key, where it is known.
    fn names(&self, target: Option<&str>) -> Vec<String> {
        let known = match &self.target {
            Target::Key(key) => Some(key.as_str()),
            Target::Underscored(_) => target,
        };
        let mut names = vec![self.layer.clone()];
        let others = known.map(layers).unwrap_or_default().into_iter().chain([self.stem.clone()]);
        others.for_each(|name| {
            if !names.contains(&name) {
                names.push(name)
            }
        });
        names
    }
}

/// A file of pairs.
pub(super) struct LoraFile {
    pub(super) path: PathBuf,
    pub(super) tensors: Arc<TensorSet>,
    pub(super) pairs: Vec<Pair>,
    pub(super) problems: Vec<LoraProblem>,
    /// What is said of entries that nothing is made of.
    pub(super) notes: Vec<String>,
    /// Tensors of the audio stream that belong to no pair.
    pub(super) audio: Tally,
    stated: Stated,
}

/// The tensors of a pair, as far as they were found.
#[derive(Default)]
struct Found {
    down: Option<String>,
    up: Option<String>,
    alpha: Option<String>,
}

impl LoraFile {
    /// Reads the header and pairs the tensors.
    ///
    /// # Errors
    /// The file cannot be read, is no safetensors, or nothing in it is of a LoRA or of another adapter.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let other = |found| Err(WeightsError::NotALoraFile { file: path.to_owned(), found });
        if path.is_dir() {
            return other("a folder");
        }
        let tensors = Arc::new(TensorSet::open_as_named(path)?);
        if tensors.formats().contains("GGUF") {
            return other("a GGUF file");
        }
        let mut found = BTreeMap::<&str, Found>::new();
        let mut others = Others::default();
        let mut twice = Vec::new();
        for key in tensors.keys() {
            let Some((role, stem)) = role_of(key) else {
                others.note(key, tensors.size_of(key));
                continue;
            };
            let found = found.entry(stem).or_default();
            let place = match role {
                Role::Down => &mut found.down,
                Role::Up => &mut found.up,
                Role::Alpha => &mut found.alpha,
            };
            if let Some(other) = place.replace(key.to_owned()) {
                twice.push(LoraProblem::Twice { key: key.to_owned(), other });
            }
        }
        let any = found.values().any(|found| found.down.is_some() || found.up.is_some());
        if !any && !tensors.keys().any(kinds::is_of_an_adapter) {
            return Err(WeightsError::NotALora { file: path.to_owned() });
        }
        tensors.check_statements()?;
        let entries = tensors.metadata_under("")?;
        let (stated, mut problems) = Stated::read(path, &entries);
        problems.extend(others.problems);
        problems.extend(twice);
        let mut pairs = Vec::new();
        for (stem, found) in found {
            match found {
                Found { down: Some(down), up: Some(up), alpha } => {
                    let Named { target, component, layer } = named(stem);
                    pairs.push(Pair { target, component, layer, stem: stem.to_owned(), down, up, alpha });
                }
                Found { down: Some(key), .. } => problems.push(LoraProblem::Incomplete { key, missing: "lora_B" }),
                Found { up: Some(key), .. } => problems.push(LoraProblem::Incomplete { key, missing: "lora_A" }),
                // Other adapters have an alpha, too.
                Found { .. } if !any => {}
                Found { alpha, .. } => {
                    let key = alpha.unwrap_or_default();
                    problems.push(LoraProblem::Incomplete { key, missing: "lora_A and lora_B" });
                }
            }
        }
        // Names with underscores alone stand for no module that PEFT knows.
        let spelt = pairs.iter().filter(|pair| matches!(pair.target, Target::Key(_)));
        let layers: Vec<_> = spelt.map(|pair| (pair.component, pair.names(None))).collect();
        let remarks = tensors.remarks_on_scales().map(str::to_owned);
        let notes = stated.notes.iter().cloned().chain(stated.denied(&layers)).chain(remarks).collect();
        Ok(Self { path: path.to_owned(), tensors, pairs, problems, notes, audio: others.audio, stated })
    }

    /// A note, where the file was made for another version than the model's transformer states, or for one that is none.
    pub(super) fn of_another_version(&self, model: &TensorSet) -> Option<String> {
        let own = self.tensors.metadata(MODEL_VERSION)?;
        if model_version(own).is_none() {
            return Some(format!("its {MODEL_VERSION} is {own:?}, which is no version; nothing is taken from it"));
        }
        let model = model.metadata_beside(&format!("{TRANSFORMER}transformer_blocks."), MODEL_VERSION)?;
        (model_version(own)? != model_version(model)?)
            .then(|| format!("made for version {own}; the model's is {model}, whose layers it fits"))
    }

    /// The rank of a pair whose matrices fit each other and the weight; `weight` is its shape, where it is known.
    pub(super) fn rank(&self, pair: &Pair, weight: Option<&[usize]>) -> Result<usize, LoraProblem> {
        let shape = |key: &str| self.tensors.shape_of(key).unwrap_or_default().to_vec();
        let (down, up) = (shape(&pair.down), shape(&pair.up));
        let side = |number: usize| match weight {
            Some(weight) => weight.get(number).map_or("?".into(), usize::to_string),
            None => "any".into(),
        };
        let wrong = |key: &str, found: &[usize], expected: String| {
            Err(LoraProblem::WrongShape { key: key.to_owned(), expected, found: found.to_vec() })
        };
        let (&[rank, inputs], true) = (down.as_slice(), !down.contains(&0)) else {
            return wrong(&pair.down, &down, format!("[rank, {}]", side(1)));
        };
        let fits = |number: usize, found: usize| weight.is_none_or(|weight| weight.get(number) == Some(&found));
        if !fits(1, inputs) {
            return wrong(&pair.down, &down, format!("[rank, {}]", side(1)));
        }
        match up.as_slice() {
            &[outputs, other] if other == rank && outputs > 0 && fits(0, outputs) => {}
            _ => return wrong(&pair.up, &up, format!("[{}, {rank}]", side(0))),
        }
        for key in [&pair.down, &pair.up] {
            // Anything else than these is refused when it is read; saying so beforehand is kinder.
            let stored = self.tensors.stored_as(key).unwrap_or_default();
            if self.read_as(key).is_none() {
                return Err(LoraProblem::WrongDType { key: key.clone(), found: stored.to_owned() });
            }
        }
        Ok(rank)
    }

    /// The dtype that a matrix is in when it is read: its own, and f32 for scaled bytes.
    fn read_as(&self, key: &str) -> Option<DType> {
        match self.tensors.entry(key)?.1.stored {
            StoredType::Float(dtype) => Some(dtype),
            StoredType::Packed(_) => Some(DType::F32),
            StoredType::Other(_) => None,
        }
    }

    /// What the pair's product is multiplied by, the strength apart. `target` is the weight's official key, where it is known.
    pub(super) fn scale(&self, pair: &Pair, rank: usize, target: Option<&str>) -> Result<f32, LoraProblem> {
        let names = pair.names(target);
        let side = |key: &str, number: usize| self.tensors.shape_of(key).and_then(|shape| shape.get(number)).copied();
        let side = side(&pair.down, 1).unwrap_or(0).min(side(&pair.up, 0).unwrap_or(0));
        let layer = Layer { key: &pair.down, names, component: pair.component, rank, side };
        let Some(key) = &pair.alpha else { return self.stated.scale(&layer, None) };
        let (alpha, rounding) = self.alpha(key)?;
        self.stated.scale(&layer, Some(&OwnAlpha { key, alpha, rounding }))
    }

    /// What is wrong with patterns that match no layer of the file. `target` finds the official key of a pair's weight.
    pub(super) fn unmatched<'a>(&'a self, target: impl Fn(&'a Pair) -> Option<&'a str>) -> Vec<LoraProblem> {
        let layers: Vec<_> = self.pairs.iter().map(|pair| (pair.component, pair.names(target(pair)))).collect();
        self.stated.unmatched(&layers)
    }

    /// An alpha that is a tensor of one number, and how far its type may have rounded it.
    fn alpha(&self, key: &str) -> Result<(f32, f64), LoraProblem> {
        let bad = |found: String| LoraProblem::BadAlpha { key: key.to_owned(), found };
        let shape = self.tensors.shape_of(key).unwrap_or_default();
        if shape.iter().product::<usize>() != 1 {
            return Err(bad(format!("of shape {shape:?}")));
        }
        let whole = self.whole_number(key);
        let read = || {
            let source = sources::Stored(Arc::clone(&self.tensors));
            let alpha = source.tensor(key, shape, &Compute::cpu_f32())?;
            Ok::<f32, ltx_nn::NnError>(alpha.flatten_all()?.to_vec1::<f32>()?[0])
        };
        let alpha = match whole {
            Some(alpha) => alpha,
            None => read().map_err(|error| bad(error.to_string()))?,
        };
        let rounding = match self.tensors.entry(key).map(|(_, entry)| entry.stored) {
            Some(StoredType::Float(DType::BF16)) => 2f64.powi(-8),
            Some(StoredType::Float(DType::F16)) => 2f64.powi(-10),
            _ => 1e-6,
        };
        if alpha.is_finite() { Ok((alpha, rounding)) } else { Err(bad(alpha.to_string())) }
    }

    /// An alpha that is stored as an integer, or as a double.
    fn whole_number(&self, key: &str) -> Option<f32> {
        let (file, entry) = self.tensors.entry(key)?;
        let StoredType::Other(name) = entry.stored else { return None };
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..entry.range.len())?;
        file.read((key, entry), 0, bytes).ok()?;
        let number = |least: &[u8]| i64::from_le_bytes(least.try_into().unwrap_or_default()) as f32;
        match (name, &*bytes) {
            ("I64", bytes) => Some(number(bytes)),
            ("I32", &[a, b, c, d]) => Some(i32::from_le_bytes([a, b, c, d]) as f32),
            ("I16", &[a, b]) => Some(i16::from_le_bytes([a, b]).into()),
            ("I8", &[a]) => Some(i8::from_le_bytes([a]).into()),
            ("U8", &[a]) => Some(a.into()),
            ("F64", bytes) => Some(f64::from_le_bytes(bytes.try_into().ok()?) as f32),
            _ => None,
        }
    }

    /// Both matrices, in the dtype they are stored in.
    pub(super) fn read(&self, pair: &Pair, scale: f32, compute: &Compute) -> ltx_nn::Result<LowRank> {
        let source = sources::Stored(Arc::clone(&self.tensors));
        let read = |key: &str| {
            let shape = self.tensors.shape_of(key).unwrap_or_default();
            source.tensor(key, shape, &compute.with_dtype(self.read_as(key).unwrap_or(DType::F32)))
        };
        LowRank::new(read(&pair.down)?, read(&pair.up)?, scale)
    }

    /// Whether the product of a pair is nought: one of its matrices holds nothing else. Reads as much of them as it takes.
    pub(super) fn is_nought(&self, pair: &Pair) -> ltx_nn::Result<bool> {
        let source = sources::Stored(Arc::clone(&self.tensors));
        for key in [&pair.up, &pair.down] {
            let shape = self.tensors.shape_of(key).unwrap_or_default();
            let &[rows, columns] = shape else { return Ok(false) };
            look_up(&self.tensors, key, shape)?;
            let all = (0..rows as u32).collect::<Vec<_>>();
            let mut nought = true;
            for rows in all.chunks(64) {
                let rows = source.rows(key, [shape[0], columns], rows, &Compute::cpu_f32())?;
                if rows.flatten_all()?.to_vec1::<f32>()?.iter().any(|value| *value != 0.0) {
                    nought = false;
                    break;
                }
            }
            if nought {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everything in the file.
    pub(super) fn total(&self) -> Tally {
        let mut tally = Tally::default();
        self.tensors.keys().for_each(|key| tally.count(self.tensors.size_of(key)));
        tally
    }

    /// What a pair takes: tensors, values, bytes on disk.
    pub(super) fn size(&self, pair: &Pair) -> Tally {
        let mut tally = Tally::default();
        for key in [Some(&pair.down), Some(&pair.up), pair.alpha.as_ref()].into_iter().flatten() {
            tally.count(self.tensors.size_of(key));
        }
        tally
    }

    /// The same with the bytes that its matrices take in memory.
    pub(super) fn size_in_memory(&self, pair: &Pair) -> Tally {
        let mut tally = self.size(pair);
        for key in [&pair.down, &pair.up] {
            let (values, bytes) = self.tensors.size_of(key);
            let wide = self.read_as(key).map_or(bytes, |dtype| values * dtype.size_in_bytes() as u64);
            tally.bytes += wide.saturating_sub(bytes);
        }
        tally
    }
}

/// Tensors that belong to no pair: those of the audio stream are counted, the others refused, each kind once.
#[derive(Default)]
struct Others {
    problems: Vec<LoraProblem>,
    audio: Tally,
}

impl Others {
    fn note(&mut self, key: &str, size: (u64, u64)) {
        let stem = key.strip_suffix(".weight").or_else(|| key.strip_suffix(".bias")).unwrap_or(key);
        let (Target::Key(target) | Target::Underscored(target)) = named(stem).target;
        if is_of_audio(&target) {
            self.audio.count(size);
            return;
        }
        let kind = kinds::of_tensor(key);
        let same = self.problems.iter_mut().find_map(|problem| match problem {
            LoraProblem::NotOfAPair { kind: known, tensors, .. } if kind.is_some() && *known == kind => Some(tensors),
            _ => None,
        });
        match same {
            Some(tensors) => *tensors += 1,
            None => self.problems.push(LoraProblem::NotOfAPair { key: key.to_owned(), kind, tensors: 1 }),
        }
    }
}
