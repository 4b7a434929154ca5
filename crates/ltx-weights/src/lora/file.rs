//! One LoRA file: its pairs, and what in it is none.
//!
//! Must not know the model it is for.

use super::{
    LoraProblem,
    names::{Role, Target, role_of, target_of},
};
use crate::{Result, TensorSet, WeightsError, report::Tally, sources::Stored};
use candle_core::DType;
use ltx_nn::{Compute, Weights, matrix::LowRank};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Two matrices of a file whose product is added to a weight.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) target: Target,
    pub(super) down: String,
    pub(super) up: String,
    alpha: Option<String>,
}

/// A file of pairs.
pub(super) struct LoraFile {
    pub(super) path: PathBuf,
    tensors: Arc<TensorSet>,
    pub(super) pairs: Vec<Pair>,
    pub(super) problems: Vec<LoraProblem>,
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
    /// The file cannot be read, or nothing in it is of a LoRA.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let tensors = Arc::new(TensorSet::open_as_named(path)?);
        let (mut found, mut problems) = (BTreeMap::<&str, Found>::new(), Vec::new());
        for key in tensors.keys() {
            let Some((role, stem)) = role_of(key) else {
                problems.push(LoraProblem::NotOfAPair { key: key.to_owned() });
                continue;
            };
            let found = found.entry(stem).or_default();
            let place = match role {
                Role::Down => &mut found.down,
                Role::Up => &mut found.up,
                Role::Alpha => &mut found.alpha,
            };
            if let Some(other) = place.replace(key.to_owned()) {
                problems.push(LoraProblem::Twice { key: key.to_owned(), other });
            }
        }
        if !found.values().any(|found| found.down.is_some() || found.up.is_some()) {
            return Err(WeightsError::NotALora { file: path.to_owned() });
        }
        let mut pairs = Vec::new();
        for (stem, found) in found {
            match found {
                Found { down: Some(down), up: Some(up), alpha } => {
                    pairs.push(Pair { target: target_of(stem), down, up, alpha });
                }
                Found { down: Some(key), .. } => problems.push(LoraProblem::Incomplete { key, missing: "lora_B" }),
                Found { up: Some(key), .. } => problems.push(LoraProblem::Incomplete { key, missing: "lora_A" }),
                Found { alpha, .. } => {
                    let key = alpha.unwrap_or_default();
                    problems.push(LoraProblem::Incomplete { key, missing: "lora_A and lora_B" });
                }
            }
        }
        let path = path.to_owned();
        Ok(Self { path, tensors, pairs, problems })
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
            if self.tensors.dtype_of(key).is_none() {
                return Err(LoraProblem::WrongDType { key: key.clone(), found: stored.to_owned() });
            }
        }
        Ok(rank)
    }

    /// What the pair's product is multiplied by, the strength apart.
    pub(super) fn scale(&self, pair: &Pair, rank: usize) -> Result<f32, LoraProblem> {
        let Some(key) = &pair.alpha else { return Ok(1.0) };
        let bad = |found: String| LoraProblem::BadAlpha { key: key.clone(), found };
        let shape = self.tensors.shape_of(key).unwrap_or_default();
        if shape.iter().product::<usize>() != 1 {
            return Err(bad(format!("of shape {shape:?}")));
        }
        let read = Stored(Arc::clone(&self.tensors)).tensor(key, shape, &Compute::cpu_f32());
        let alpha = read.and_then(|alpha| Ok(alpha.flatten_all()?.to_vec1::<f32>()?[0]));
        match alpha {
            Ok(alpha) if alpha.is_finite() => Ok(alpha / rank as f32),
            Ok(alpha) => Err(bad(alpha.to_string())),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    /// Both matrices, in the dtype they are stored in.
    pub(super) fn read(&self, pair: &Pair, scale: f32, compute: &Compute) -> ltx_nn::Result<LowRank> {
        let source = Stored(Arc::clone(&self.tensors));
        let read = |key: &str| {
            let shape = self.tensors.shape_of(key).unwrap_or_default();
            source.tensor(key, shape, &compute.with_dtype(self.tensors.dtype_of(key).unwrap_or(DType::F32)))
        };
        LowRank::new(read(&pair.down)?, read(&pair.up)?, scale)
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
}
