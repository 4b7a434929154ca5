//! The files of a model as paths: what a catalogue finds and an engine opens.
//!
//! Must not know what is in them, or whether they are there.

use crate::LoraRole;
use std::{fmt, ops::RangeInclusive, path::PathBuf};

/// Where a model's files lie.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// Transformer, connector, text projection and VAE; or the first of several component files.
    pub checkpoint: PathBuf,
    /// The other component files; a `*.json` among them states the configuration.
    pub components: Vec<PathBuf>,
    /// The Gemma-3 folder, or a file with `config.json` and `tokenizer.json` in it or beside it.
    pub text_encoder: PathBuf,
    /// The ×2 latent upscaler.
    pub upscaler: Option<PathBuf>,
    /// LoRA files over the checkpoint.
    pub loras: Vec<LoraChoice>,
}

impl ModelFiles {
    /// The checkpoint and the other component files.
    pub fn checkpoint_files(&self) -> Vec<PathBuf> {
        std::iter::once(&self.checkpoint).chain(&self.components).cloned().collect()
    }
}

/// A LoRA file and how strongly it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraChoice {
    /// The file.
    pub path: PathBuf,
    /// Multiply what it adds.
    pub strengths: LoraStrengths,
    /// By what requests name it. One with a name counts where a request names it, with the strengths that the request states or
    /// these; one without counts always.
    pub name: Option<String>,
    /// What it is to the model, where somebody says so.
    pub role: Option<LoraRole>,
}

impl LoraChoice {
    /// With the same strength in both stages.
    pub fn new(path: impl Into<PathBuf>, strength: f32) -> Self {
        Self::at(path, LoraStrengths::both(strength))
    }

    /// With a strength for each stage.
    pub fn at(path: impl Into<PathBuf>, strengths: LoraStrengths) -> Self {
        Self { path: path.into(), strengths, name: None, role: None }
    }

    /// Whether it counts in the second stage only, so that a clip of one stage does without the file.
    pub fn is_of_second_stage(&self) -> bool {
        self.name.is_none() && self.strengths.first == 0.0 && self.strengths.second != 0.0
    }
}

/// How strongly a LoRA counts in each stage of sampling; 0 adds nothing. A clip of one stage has the first alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoraStrengths {
    /// In the first stage.
    pub first: f32,
    /// In the second one.
    pub second: f32,
}

impl LoraStrengths {
    /// The same in both.
    pub fn both(strength: f32) -> Self {
        Self { first: strength, second: strength }
    }

    /// In a stage.
    pub fn at(self, stage: SamplingStage) -> f32 {
        match stage {
            SamplingStage::First => self.first,
            SamplingStage::Second => self.second,
        }
    }

    /// Whether a clip's second stage has other weights than its first.
    pub fn differ(self) -> bool {
        self.first != self.second
    }

    /// Whether it adds nothing in either.
    pub fn are_nought(self) -> bool {
        self.first == 0.0 && self.second == 0.0
    }
}

impl fmt::Display for LoraStrengths {
    /// `0.8`, or both: `0,0.8`, as the command line takes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.differ() { write!(f, ",{}", self.second) } else { Ok(()) }
    }
}

/// One of the samplings of a generation: over the whole clip, or at half its size, and the refinement after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SamplingStage {
    /// From pure noise.
    First,
    /// From what the first one left, made larger.
    Second,
}

impl SamplingStage {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];
}

/// The strengths that a LoRA may have.
pub const LORA_STRENGTHS: RangeInclusive<f32> = -100.0..=100.0;
