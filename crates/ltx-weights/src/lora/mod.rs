//! LoRA files over a model's weights: several at once, each with a strength for each stage. What a pair adds is `strength · scale
//! · B A`, where the scale is `alpha / rank` or what else the file states (`stated`; 1 where it states nothing). A dense weight becomes
//! the sum when it is loaded, one matrix at a time; a packed one stays packed, and a layer adds the thin product to its own. Nothing
//! keeps a second copy of the model.
//!
//! Must not know which model it is, nor what its layers compute.

mod file;
mod kinds;
mod names;
mod problem;
mod report;
mod stated;

use crate::{
    Result, TensorSet,
    report::{KeyProblem, Tally, Use},
    vocabulary::TRANSFORMER,
};
use candle_core::DType;
use file::{LoraFile, Pair};
use ltx_nn::{
    Compute, Weights,
    matrix::{LowRank, Stored, merge_low_rank},
};
use ltx_types::{FieldError, LoraChoice, LoraStrengths, LoraUse, SamplingStage};
use names::Target;
pub use problem::LoraProblem;
pub use report::{Idle, LoraAlone, LoraReport, is_lora, lora_report};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A pair that counts.
struct Product {
    file: usize,
    pair: Pair,
    /// Alpha over rank.
    scale: f32,
}

/// How strongly each file counts in each stage of a generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wear(Vec<[u32; 2]>);

impl Wear {
    fn of(strengths: impl Iterator<Item = LoraStrengths>) -> Self {
        Self(strengths.map(|strengths| [strengths.first.to_bits(), strengths.second.to_bits()]).collect())
    }

    fn at(&self, file: usize, stage: SamplingStage) -> f32 {
        let [first, second] = self.0.get(file).copied().unwrap_or_default();
        f32::from_bits(if stage == SamplingStage::First { first } else { second })
    }
}

/// Which half of a model weights belong to, for which LoRA files are applied apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoraHalf {
    /// Text connector and projection.
    Text,
    /// Everything else.
    Video,
}

impl LoraHalf {
    /// Of an official key.
    fn of(key: &str) -> Self {
        let name = key.strip_prefix(TRANSFORMER).unwrap_or(key);
        let text = ["video_embeddings_connector.", "text_embedding_projection."];
        if text.iter().any(|mark| name.starts_with(mark)) { Self::Text } else { Self::Video }
    }
}

/// What LoRA files make of a half of the model in a stage: two that are equal make the same weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worn(Vec<(PathBuf, u32)>);

/// LoRA files, and which weight each of their pairs belongs to.
#[derive(Default)]
pub struct Loras {
    files: Vec<LoraFile>,
    reports: Vec<LoraReport>,
    products: BTreeMap<String, Vec<Product>>,
    problems: Vec<KeyProblem>,
    /// Files of the second stage alone that are not here.
    absent: Vec<PathBuf>,
}

impl Loras {
    /// Reads the files' headers and finds their weights in `model`. What is wrong with a tensor is in the account of the model
    /// ([`crate::ShapeOnly::with_loras`]), which a load refuses. A file that counts in the second stage only need not be here
    /// ([`Self::absent`]).
    ///
    /// # Errors
    /// A file cannot be read, or is no LoRA.
    pub fn open(choices: &[LoraChoice], model: &TensorSet) -> Result<Self> {
        let mut loras = Self::default();
        let underscored: BTreeMap<String, &str> =
            model.keys().flat_map(|key| names::underscored(key).map(move |name| (name, key))).collect();
        for choice in choices {
            if choice.is_of_second_stage() && !choice.path.exists() {
                loras.absent.push(choice.path.clone());
                continue;
            }
            loras.add(choice, model, &underscored)?;
        }
        Ok(loras)
    }

    fn add(&mut self, choice: &LoraChoice, model: &TensorSet, underscored: &BTreeMap<String, &str>) -> Result<()> {
        let path = &choice.path;
        let file = LoraFile::open(path)?;
        self.note(path, file.problems.iter().cloned());
        let mut report = LoraReport::new(choice);
        report.audio += file.audio;
        let mut counted = Vec::new();
        for pair in &file.pairs {
            let target = match &pair.target {
                Target::Key(key) => key.as_str(),
                Target::Underscored(name) => underscored.get(name).copied().unwrap_or(name),
            };
            if names::is_of_audio(target) {
                report.audio += file.size(pair);
                continue;
            }
            let Some(shape) = model.shape_of(target) else {
                self.note(path, [LoraProblem::UnknownTarget { key: pair.down.clone() }]);
                continue;
            };
            if shape.len() != 2 {
                let (key, target) = (pair.down.clone(), target.to_owned());
                self.note(path, [LoraProblem::NotALayer { key, target }]);
                continue;
            }
            let of_file = |product: &&Product| product.file == self.files.len();
            let earlier = self.products.get(target).into_iter().flatten().find(of_file);
            if let Some(other) = earlier.map(|product| product.pair.down.clone()) {
                self.note(path, [LoraProblem::Twice { key: pair.down.clone(), other }]);
                continue;
            }
            let checked =
                file.rank(pair, Some(shape)).and_then(|rank| Ok((rank, file.scale(pair, rank, Some(target))?)));
            match checked {
                Ok((rank, scale)) => {
                    report.count(rank, scale, file.size(pair));
                    let product = Product { file: self.files.len(), pair: pair.clone(), scale };
                    self.products.entry(target.to_owned()).or_default().push(product);
                    counted.push(pair);
                }
                Err(problem) => self.note(path, [problem]),
            }
        }
        let target = |pair: &'_ Pair| match &pair.target {
            Target::Key(_) => None,
            Target::Underscored(name) => underscored.get(name).copied(),
        };
        self.note(path, file.unmatched(target));
        report.notes.extend(file.notes.iter().cloned());
        report.notes.extend(file.of_another_version(model));
        // A matrix that cannot be read is told of when it is loaded.
        report.finish(|| counted.iter().all(|pair| file.is_nought(pair).unwrap_or(false)));
        self.reports.push(report);
        self.files.push(file);
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Files that count in the second stage only and are not here.
    pub fn absent(&self) -> &[PathBuf] {
        &self.absent
    }

    /// How strongly the files count in a generation that names `used` of those with a name.
    ///
    /// # Errors
    /// No file has such a name; the error names the nearest of those that one has.
    pub fn wear(&self, used: &[LoraUse]) -> Result<Wear, FieldError> {
        let listed: Vec<_> =
            self.reports.iter().filter_map(|report| Some((report.name.as_deref()?, report.strengths()))).collect();
        used.iter().try_for_each(|used| used.strengths_among(&listed).map(drop))?;
        Ok(Wear::of(self.reports.iter().map(|report| match &report.name {
            None => report.strengths(),
            Some(name) => match used.iter().find(|used| used.name == *name) {
                Some(used) => used.strengths(report.strengths()),
                None => LoraStrengths::both(0.0),
            },
        })))
    }

    /// What the files make of a half of the model in a stage.
    pub fn worn(&self, half: LoraHalf, stage: SamplingStage, wear: &Wear) -> Worn {
        let mut strengths: BTreeMap<usize, u32> = BTreeMap::new();
        for products in self.products.iter().filter(|(key, _)| LoraHalf::of(key) == half).map(|(_, products)| products)
        {
            for product in products {
                let strength = wear.at(product.file, stage);
                if product.scale * strength != 0.0 {
                    strengths.insert(product.file, strength.to_bits());
                }
            }
        }
        Worn(strengths.into_iter().map(|(file, bits)| (self.files[file].path.clone(), bits)).collect())
    }

    /// Tells `sink` by what the files' part in a half of the model in a stage differs from any other: their pairs that count there,
    /// with the strengths at which they do. Nothing else of a file is sampled.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn identify(
        &self,
        (half, stage, wear): (LoraHalf, SamplingStage, &Wear),
        sink: &mut dyn FnMut(&[u8]),
    ) -> ltx_nn::Result<()> {
        for (number, file) in self.files.iter().enumerate() {
            let counting = |product: &&Product| product.file == number && product.scale * wear.at(number, stage) != 0.0;
            let of_half = self.products.iter().filter(|(key, _)| LoraHalf::of(key) == half);
            let counted = of_half.flat_map(|(key, all)| all.iter().filter(counting).map(move |product| (key, product)));
            let mut pairs = BTreeSet::new();
            for (key, Product { pair, scale, .. }) in counted {
                pairs.extend([pair.down.as_str(), pair.up.as_str()]);
                sink(format!("{key} {:08x}\n", scale.to_bits()).as_bytes());
            }
            if !pairs.is_empty() {
                sink(format!("strength {:08x}\n", wear.at(number, stage).to_bits()).as_bytes());
                file.tensors.identify(|key| pairs.contains(key), sink)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, file: &Path, problems: impl IntoIterator<Item = LoraProblem>) {
        let file = file.to_owned();
        self.problems.extend(problems.into_iter().map(|what| KeyProblem::Lora { file: file.clone(), what }));
    }

    /// What every file gives.
    pub fn reports(&self) -> &[LoraReport] {
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

    /// What stays in memory beside a weight that stays packed, in the stage that has more of it, of the files that count always.
    pub fn size_beside(&self, key: &str) -> Tally {
        let always = self.wear(&[]).unwrap_or_default();
        let sizes = SamplingStage::ALL.map(|stage| self.size_beside_in(key, stage, &always));
        sizes.into_iter().max_by_key(|size| size.bytes).unwrap_or_default()
    }

    /// What stays in memory beside a weight that stays packed, in a stage.
    pub fn size_beside_in(&self, key: &str, stage: SamplingStage, wear: &Wear) -> Tally {
        let products = self.at(key, stage, wear);
        products
            .fold(Tally::default(), |sum, (product, _)| sum + self.files[product.file].size_in_memory(&product.pair))
    }

    /// The products that count for a weight in a stage, and what each is multiplied by.
    fn at<'a>(
        &'a self,
        key: &str,
        stage: SamplingStage,
        wear: &'a Wear,
    ) -> impl Iterator<Item = (&'a Product, f32)> + use<'a> {
        let products = self.products.get(key).into_iter().flatten();
        let scaled = products.map(move |product| (product, product.scale * wear.at(product.file, stage)));
        scaled.filter(|(_, scale)| *scale != 0.0)
    }

    fn products(&self, key: &str, dress: (SamplingStage, &Wear), compute: &Compute) -> ltx_nn::Result<Vec<LowRank>> {
        let (stage, wear) = dress;
        let read = |(product, scale): (&Product, f32)| self.files[product.file].read(&product.pair, scale, compute);
        self.at(key, stage, wear).map(read).collect()
    }
}

/// A source of weights with LoRA files over it.
pub struct Adapted {
    /// The model's own weights.
    pub base: Arc<dyn Weights>,
    /// What is added to them.
    pub loras: Arc<Loras>,
    /// In which stage.
    pub stage: SamplingStage,
    /// How strongly each.
    pub wear: Wear,
}

impl Weights for Adapted {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<candle_core::Tensor> {
        self.base.tensor(key, shape, compute)
    }

    fn pieces(
        &self,
        key: &str,
        shape: &[usize],
        compute: &Compute,
        take: &mut dyn FnMut(usize, &[f32]),
    ) -> ltx_nn::Result<bool> {
        self.base.pieces(key, shape, compute, take)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> ltx_nn::Result<Stored> {
        let pairs = self.loras.products(key, (self.stage, &self.wear), compute)?;
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
