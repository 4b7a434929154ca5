//! LoRA files over a model's weights: several at once, each with a strength. What a pair adds is `strength · alpha / rank · B
//! A` (without an `alpha`, `strength · B A`). A dense weight becomes the sum when it is loaded, one matrix at a time; a
//! packed one stays packed, and a layer adds the thin product to its own. Nothing keeps a second copy of the model.
//!
//! Must not know which model it is, nor what its layers compute.

mod file;
mod names;

use crate::{
    LoadReport, Result, TensorSet, WeightsError,
    report::{KeyProblem, Tally, Use},
    vocabulary::is_audio,
};
use candle_core::DType;
use file::{LoraFile, Pair};
use ltx_nn::{
    Compute, Weights,
    matrix::{LowRank, Stored, merge_low_rank},
};
use ltx_types::{LoraChoice, Part};
use names::Target;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is wrong with a tensor of a LoRA file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum LoraProblem {
    /// Its name leads to no weight of the video model.
    UnknownTarget {
        /// The tensor.
        key: String,
    },
    /// Its name leads to a weight that is no matrix of a linear layer.
    NotALayer {
        /// The tensor.
        key: String,
        /// The weight.
        target: String,
    },
    /// Its other half is missing.
    Incomplete {
        /// The tensor.
        key: String,
        /// What is missing.
        missing: &'static str,
    },
    /// It belongs to no pair: another kind of adapter.
    NotOfAPair {
        /// The tensor.
        key: String,
    },
    /// Another tensor of the file has the same place.
    Twice {
        /// The tensor.
        key: String,
        /// The other one.
        other: String,
    },
    /// Of another shape than the weight asks for.
    WrongShape {
        /// The tensor.
        key: String,
        /// The shape that fits.
        expected: String,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// Stored in a type that is not read.
    WrongDType {
        /// The tensor.
        key: String,
        /// The type in the file.
        found: String,
    },
    /// An alpha that is not one finite number.
    BadAlpha {
        /// The tensor.
        key: String,
        /// What is there.
        found: String,
    },
}

impl fmt::Display for LoraProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTarget { key } => write!(f, "key {key} belongs to no weight of the video model"),
            Self::NotALayer { key, target } => {
                write!(f, "key {key} belongs to {target}, which is no matrix of a linear layer")
            }
            Self::Incomplete { key, missing } => write!(f, "key {key} has no {missing} beside it"),
            Self::NotOfAPair { key } => {
                write!(
                    f,
                    "key {key} is neither lora_A (lora_down), lora_B (lora_up) nor alpha; other adapters are not read"
                )
            }
            Self::Twice { key, other } => write!(f, "key {key} stands for the same as {other}"),
            Self::WrongShape { key, expected, found } => {
                write!(f, "key {key} has shape {found:?}, expected {expected}")
            }
            Self::WrongDType { key, found } => write!(f, "key {key} is stored as {found}, expected BF16, F16 or F32"),
            Self::BadAlpha { key, found } => write!(f, "key {key} is {found}, expected one finite number"),
        }
    }
}

/// What of a LoRA file is used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoraReport {
    /// The file.
    pub file: PathBuf,
    /// Its strength.
    pub strength: f32,
    /// Weights that it changes.
    pub weights: u64,
    /// The smallest and the largest rank.
    pub ranks: (usize, usize),
    /// The tensors of those pairs.
    pub used: Tally,
    /// Pairs of the audio stream: recognised, counted, never read.
    pub audio: Tally,
}

/// The account of a LoRA file alone: its pairs, those of the audio stream, and what is wrong without knowing the model; and its
/// smallest and largest rank. `None` if nothing in the file is of a LoRA.
///
/// # Errors
/// The file cannot be read.
pub fn lora_report(path: &Path) -> Result<Option<(LoadReport, (usize, usize))>> {
    let file = match LoraFile::open(path) {
        Ok(file) => file,
        Err(WeightsError::NotALora { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut report = LoadReport { total: file.total(), ..LoadReport::default() };
    let mut problems = file.problems.clone();
    let mut ranks = (usize::MAX, 0);
    for pair in &file.pairs {
        let (Target::Key(target) | Target::Underscored(target)) = &pair.target;
        if is_audio(target) {
            report.audio += file.size(pair);
            continue;
        }
        *report.used.entry(Part::LoraPairs).or_default() += file.size(pair);
        match file.rank(pair, None).and_then(|rank| file.scale(pair, rank).map(|_| rank)) {
            Ok(rank) => ranks = (ranks.0.min(rank), ranks.1.max(rank)),
            Err(problem) => problems.push(problem),
        }
    }
    let wrong = |what| KeyProblem::Lora { file: path.to_owned(), what };
    report.problems = problems.into_iter().map(wrong).collect();
    Ok(Some((report, (ranks.0.min(ranks.1), ranks.1))))
}

/// A pair that counts.
struct Product {
    file: usize,
    pair: Pair,
    /// Strength and alpha over rank together.
    scale: f32,
}

/// LoRA files, and which weight each of their pairs belongs to.
#[derive(Default)]
pub struct Loras {
    files: Vec<LoraFile>,
    reports: Vec<LoraReport>,
    products: BTreeMap<String, Vec<Product>>,
    problems: Vec<KeyProblem>,
}

impl Loras {
    /// Reads the files' headers and finds their weights in `model`. What is wrong with a tensor is in the account of the model
    /// ([`crate::ShapeOnly::with_loras`]), which a load refuses.
    ///
    /// # Errors
    /// A file cannot be read, or is no LoRA.
    pub fn open(choices: &[LoraChoice], model: &TensorSet) -> Result<Self> {
        let mut loras = Self::default();
        let underscored: BTreeMap<String, &str> =
            model.keys().filter_map(|key| Some((names::underscored(key)?, key))).collect();
        for LoraChoice { path, strength } in choices {
            let file = LoraFile::open(path)?;
            loras.note(path, file.problems.iter().cloned());
            let mut report = LoraReport {
                file: path.clone(),
                strength: *strength,
                weights: 0,
                ranks: (usize::MAX, 0),
                used: Tally::default(),
                audio: Tally::default(),
            };
            for pair in &file.pairs {
                let target = match &pair.target {
                    Target::Key(key) => key.as_str(),
                    Target::Underscored(name) => underscored.get(name).copied().unwrap_or(name),
                };
                if is_audio(target) {
                    report.audio += file.size(pair);
                    continue;
                }
                let Some(shape) = model.shape_of(target) else {
                    loras.note(path, [LoraProblem::UnknownTarget { key: pair.down.clone() }]);
                    continue;
                };
                if shape.len() != 2 {
                    let (key, target) = (pair.down.clone(), target.to_owned());
                    loras.note(path, [LoraProblem::NotALayer { key, target }]);
                    continue;
                }
                let checked = file.rank(pair, Some(shape)).and_then(|rank| Ok((rank, file.scale(pair, rank)?)));
                match checked {
                    Ok((rank, scale)) => {
                        report.weights += 1;
                        report.ranks = (report.ranks.0.min(rank), report.ranks.1.max(rank));
                        report.used += file.size(pair);
                        let product = Product { file: loras.files.len(), pair: pair.clone(), scale: scale * strength };
                        loras.products.entry(target.to_owned()).or_default().push(product);
                    }
                    Err(problem) => loras.note(path, [problem]),
                }
            }
            report.ranks.0 = report.ranks.0.min(report.ranks.1);
            loras.reports.push(report);
            loras.files.push(file);
        }
        Ok(loras)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn note(&mut self, file: &Path, problems: impl IntoIterator<Item = LoraProblem>) {
        let file = file.to_owned();
        self.problems.extend(problems.into_iter().map(|what| KeyProblem::Lora { file: file.clone(), what }));
    }

    /// What every file gives.
    pub(crate) fn reports(&self) -> &[LoraReport] {
        &self.reports
    }

    /// What is wrong, once it is known what the model asked for.
    pub(crate) fn problems(&self, used: &BTreeMap<String, Use>) -> Vec<KeyProblem> {
        let mut problems = self.problems.clone();
        for (target, products) in &self.products {
            if used.get(target).is_some_and(|used| used.matrix) {
                continue;
            }
            for Product { file, pair, .. } in products {
                let (key, target) = (pair.down.clone(), target.clone());
                problems.push(KeyProblem::Lora {
                    file: self.files[*file].path.clone(),
                    what: LoraProblem::NotALayer { key, target },
                });
            }
        }
        problems
    }

    /// What stays in memory beside a weight that stays packed.
    pub fn size_beside(&self, key: &str) -> Tally {
        let products = self.products.get(key).into_iter().flatten().filter(|product| product.scale != 0.0);
        products.fold(Tally::default(), |sum, product| sum + self.files[product.file].size(&product.pair))
    }

    fn products(&self, key: &str, compute: &Compute) -> ltx_nn::Result<Vec<LowRank>> {
        let products = self.products.get(key).into_iter().flatten().filter(|product| product.scale != 0.0);
        products.map(|product| self.files[product.file].read(&product.pair, product.scale, compute)).collect()
    }
}

/// A source of weights with LoRA files over it.
pub struct Adapted {
    /// The model's own weights.
    pub base: Arc<dyn Weights>,
    /// What is added to them.
    pub loras: Arc<Loras>,
}

impl Weights for Adapted {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<candle_core::Tensor> {
        self.base.tensor(key, shape, compute)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> ltx_nn::Result<Stored> {
        let pairs = self.loras.products(key, compute)?;
        if pairs.is_empty() {
            return self.base.matrix(key, shape, compute);
        }
        let stored = self.base.matrix(key, shape, &compute.with_dtype(DType::F32))?;
        if !stored.kind().merges_pairs() {
            return Ok(stored.with_pairs(pairs));
        }
        let sum = merge_low_rank(&stored.tensor(&compute.with_dtype(DType::F32))?, &pairs)?;
        Stored::floats(sum.to_dtype(compute.dtype)?)
    }

    fn rows(
        &self,
        key: &str,
        shape: [usize; 2],
        rows: &[u32],
        compute: &Compute,
    ) -> ltx_nn::Result<candle_core::Tensor> {
        self.base.rows(key, shape, rows, compute)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        self.base.check(key, shape)
    }
}
