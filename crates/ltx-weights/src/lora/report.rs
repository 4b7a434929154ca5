//! The account of a LoRA file: what of it is used, and whether it changes anything.
//!
//! Must not know how its pairs are added to weights.

use super::{
    LoraProblem,
    file::{LoraFile, Pair},
    kinds,
    names::{self, Role, Target, is_of_audio},
};
use crate::{
    LoadReport, Result, TensorSet, WeightsError,
    report::{KeyProblem, Tally},
};
use ltx_types::{LoraChoice, LoraStrengths, Part};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// What of a LoRA file is used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoraReport {
    /// The file.
    pub file: PathBuf,
    /// By what requests name it, if it counts only where they do.
    pub name: Option<String>,
    /// Its strength in the first stage.
    pub strength: f32,
    /// Its strength in the second stage.
    pub stage_2_strength: f32,
    /// Weights that it changes.
    pub weights: u64,
    /// The smallest and the largest rank.
    pub ranks: (usize, usize),
    /// The smallest and the largest scale of a product, strengths apart: alpha over rank.
    pub scales: (f32, f32),
    /// The tensors of those pairs.
    pub used: Tally,
    /// Tensors of the audio stream: recognised, counted, never read.
    pub audio: Tally,
    /// Why it changes no frame, if it does not.
    pub idle: Option<Idle>,
    /// What its header states and nothing is made of.
    pub notes: Vec<String>,
}

/// Why a LoRA file changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// Its strength is 0.
    StrengthNought,
    /// Everything in it is of the audio stream, which is not computed.
    AudioOnly,
    /// All of its products are 0, as before training.
    ProductsNought,
    /// Every alpha in it is 0.
    AlphaNought,
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StrengthNought => "its strength is 0",
            Self::AudioOnly => "everything in it is of the audio stream, which is not computed",
            Self::ProductsNought => "all of its products are 0, as they are before training",
            Self::AlphaNought => "every alpha in it is 0",
        })
    }
}

impl LoraReport {
    pub(super) fn new(choice: &LoraChoice) -> Self {
        let LoraChoice { path, strengths, name, .. } = choice;
        Self {
            file: path.clone(),
            name: name.clone(),
            strength: strengths.first,
            stage_2_strength: strengths.second,
            weights: 0,
            ranks: (usize::MAX, 0),
            scales: (f32::INFINITY, f32::NEG_INFINITY),
            used: Tally::default(),
            audio: Tally::default(),
            idle: None,
            notes: Vec::new(),
        }
    }

    /// Counts a pair that is used.
    pub(super) fn count(&mut self, rank: usize, scale: f32, size: Tally) {
        self.weights += 1;
        self.ranks = (self.ranks.0.min(rank), self.ranks.1.max(rank));
        self.scales = (self.scales.0.min(scale), self.scales.1.max(scale));
        self.used += size;
    }

    /// Both strengths.
    pub fn strengths(&self) -> LoraStrengths {
        LoraStrengths { first: self.strength, second: self.stage_2_strength }
    }

    /// Ends the account.
    pub(super) fn finish(&mut self, products_are_nought: impl FnOnce() -> bool) {
        if self.weights == 0 {
            (self.ranks, self.scales) = ((0, 0), (0.0, 0.0));
        }
        self.idle = match self.weights {
            0 if self.audio.tensors > 0 => Some(Idle::AudioOnly),
            0 => None,
            // What a request names may have another strength there.
            _ if self.name.is_none() && self.strengths().are_nought() => Some(Idle::StrengthNought),
            _ if self.scales == (0.0, 0.0) => Some(Idle::AlphaNought),
            _ => products_are_nought().then_some(Idle::ProductsNought),
        };
    }
}

/// Whether files are a LoRA or another adapter, as their keys say.
pub fn is_lora(tensors: &TensorSet) -> bool {
    let of_a_pair = |key: &str| matches!(names::role_of(key), Some((Role::Down | Role::Up, _)));
    !tensors.formats().contains("GGUF") && tensors.keys().any(|key| of_a_pair(key) || kinds::is_of_an_adapter(key))
}

/// The account of a LoRA file alone.
#[derive(Debug, Clone)]
pub struct LoraAlone {
    /// Its pairs, those of the audio stream, and what is wrong without knowing the model.
    pub report: LoadReport,
    /// The smallest and the largest rank.
    pub ranks: (usize, usize),
    /// What its header states and nothing is made of.
    pub notes: Vec<String>,
}

/// A name with underscores, and the official key that it stands for.
fn spelling(pair: &Pair) -> Option<(&str, String)> {
    match &pair.target {
        Target::Key(_) => None,
        Target::Underscored(name) => Some((name, names::spelt_out(name))),
    }
}

/// The account of a LoRA file alone. `None` if nothing in the file is of a LoRA.
///
/// # Errors
/// The file cannot be read.
pub fn lora_report(path: &Path) -> Result<Option<LoraAlone>> {
    let file = match LoraFile::open(path) {
        Ok(file) => file,
        Err(WeightsError::NotALora { .. } | WeightsError::NotALoraFile { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut report = LoadReport { total: file.total(), audio: file.audio, ..LoadReport::default() };
    let mut problems = file.problems.clone();
    // Beside a model its keys tell what underscores stand for.
    let spelt_out: BTreeMap<&str, String> = file.pairs.iter().filter_map(spelling).collect();
    let official = |pair: &Pair| match &pair.target {
        Target::Key(key) => key.clone(),
        Target::Underscored(name) => spelt_out.get(name.as_str()).unwrap_or(name).clone(),
    };
    problems.extend(file.unmatched(|pair| match &pair.target {
        Target::Key(_) => None,
        Target::Underscored(name) => spelt_out.get(name.as_str()).map(String::as_str),
    }));
    let mut ranks = (usize::MAX, 0);
    let mut weights = BTreeMap::new();
    for pair in &file.pairs {
        let target = official(pair);
        if is_of_audio(&target) {
            report.audio += file.size(pair);
            continue;
        }
        if let Some(other) = weights.insert(target.clone(), &pair.down) {
            problems.push(LoraProblem::Twice { key: pair.down.clone(), other: other.clone() });
        }
        *report.used.entry(Part::LoraPairs).or_default() += file.size(pair);
        match file.rank(pair, None).and_then(|rank| file.scale(pair, rank, Some(&target)).map(|_| rank)) {
            Ok(rank) => ranks = (ranks.0.min(rank), ranks.1.max(rank)),
            Err(problem) => problems.push(problem),
        }
    }
    let wrong = |what| KeyProblem::Lora { file: path.to_owned(), what };
    report.problems = problems.into_iter().map(wrong).collect();
    Ok(Some(LoraAlone { report, ranks: (ranks.0.min(ranks.1), ranks.1), notes: file.notes.clone() }))
}
