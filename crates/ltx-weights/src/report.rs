//! The account of a checkpoint's keys: used, left on disk knowingly, unknown, missing, misshapen.
//!
//! Must not know how the keys were used.

use crate::{
    LoraProblem, LoraReport, Loras, TensorSet,
    quantised::is_idle,
    vocabulary::{is_audio, is_decoders_other, is_duration, is_vision},
};
use ltx_nn::NnError;
use ltx_types::Part;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, ops, path::PathBuf};

/// How many problems an error message spells out.
const SHOWN: usize = 8;

/// Tensors, values and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Tensors.
    pub tensors: u64,
    /// Values in them.
    pub parameters: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.tensors += other.tensors;
        self.parameters += other.parameters;
        self.bytes += other.bytes;
    }
}

impl ops::Add for Tally {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Tally {
    pub(crate) fn count(&mut self, (parameters, bytes): (u64, u64)) {
        self.tensors += 1;
        self.parameters += parameters;
        self.bytes += bytes;
    }
}

/// One key that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum KeyProblem {
    /// Needed, but not in the file.
    Missing {
        /// The key.
        key: String,
        /// The shape the configuration asks for.
        expected: Vec<usize>,
    },
    /// In the file, but nothing asks for it.
    Unknown {
        /// The key.
        key: String,
    },
    /// Of another shape.
    WrongShape {
        /// The key.
        key: String,
        /// The shape the configuration asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// Stored in a type that is not read.
    WrongDType {
        /// The key.
        key: String,
        /// The type in the file.
        found: String,
    },
    /// A tensor of a LoRA file.
    Lora {
        /// The LoRA file.
        file: PathBuf,
        /// What is wrong with it.
        #[serde(flatten)]
        what: LoraProblem,
    },
    /// Unusable for another reason, told in words.
    Unreadable {
        /// The reason, the key in it.
        reason: String,
    },
}

impl From<NnError> for KeyProblem {
    fn from(error: NnError) -> Self {
        match error {
            NnError::MissingKey { key, expected, .. } => Self::Missing { key, expected },
            NnError::WrongShape { key, expected, found, .. } => Self::WrongShape { key, expected, found },
            NnError::WrongDType { key, found, .. } => Self::WrongDType { key, found },
            other => Self::Unreadable { reason: other.to_string() },
        }
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key, expected } => write!(f, "missing key {key} (expected shape {expected:?})"),
            Self::Unknown { key } => write!(f, "unknown key {key}"),
            Self::WrongShape { key, expected, found } => {
                write!(f, "key {key} has shape {found:?}, expected {expected:?}")
            }
            Self::WrongDType { key, found } => {
                write!(
                    f,
                    "key {key} is stored as {found}, expected BF16, F16, F32 or a quantised format that is read (docs/formats.md)"
                )
            }
            Self::Lora { file, what } => write!(f, "{}: {what}", file.display()),
            Self::Unreadable { reason } => f.write_str(reason),
        }
    }
}

/// What a key was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    pub(crate) part: Part,
    /// As the matrix of a linear layer.
    pub(crate) matrix: bool,
    /// As such a matrix, which stays packed.
    pub(crate) packed: bool,
}

/// Every key of a file or folder, accounted for.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LoadReport {
    /// Tensors in the files.
    pub total: Tally,
    /// What the video models load, by part.
    pub used: BTreeMap<Part, Tally>,
    /// What the video models load, by part and stored type.
    pub stored: BTreeMap<Part, BTreeMap<&'static str, Tally>>,
    /// Of that, what stays packed in memory as it is stored, in the bytes that it takes there: the quantised and fp8 matrices of
    /// linear layers.
    pub packed: BTreeMap<Part, Tally>,
    /// Scales of quantised weights, read with their weights, and those of activations.
    pub scales: Tally,
    /// Of those, the scales of activations: not needed, as activations are rounded by scales of their own, if at all.
    pub idle_scales: Tally,
    /// The audio stream: recognised, counted, never read.
    pub audio: Tally,
    /// Gemma's vision tower, its projector, and what else of a Gemma file makes no hidden states: recognised, counted, never
    /// read.
    pub vision: Tally,
    /// The head that predicts a clip's length: recognised, counted, never read.
    pub duration: Tally,
    /// What a diffusion decoder draws keyframes and coarse previews with: recognised, counted, never read.
    pub decoders_other: Tally,
    /// LoRA files over it.
    pub loras: Vec<LoraReport>,
    /// What of those stays in memory by part, beside weights that stay packed. Dense ones are changed when they are loaded.
    pub beside: BTreeMap<Part, Tally>,
    /// What is wrong.
    pub problems: Vec<KeyProblem>,
}

impl LoadReport {
    pub(crate) fn new(set: &TensorSet, loras: &Loras, used: &BTreeMap<String, Use>, problems: &[KeyProblem]) -> Self {
        let mut report = Self { problems: problems.to_vec(), loras: loras.reports().to_vec(), ..Self::default() };
        report.problems.extend(loras.problems(used));
        for (key, size) in set.companions() {
            report.total.count(size);
            report.scales.count(size);
            if is_idle(key) {
                report.idle_scales.count(size);
            }
        }
        for key in set.keys() {
            let size = set.size_of(key);
            report.total.count(size);
            if is_duration(key) {
                report.duration.count(size);
            } else if let Some(&Use { part, packed, .. }) = used.get(key) {
                report.used.entry(part).or_default().count(size);
                let stored = set.stored_as(key).unwrap_or_default();
                report.stored.entry(part).or_default().entry(stored).or_default().count(size);
                if packed {
                    report.packed.entry(part).or_default().count((size.0, set.packed_bytes(key)));
                    match loras.size_beside(key) {
                        Tally { tensors: 0, .. } => {}
                        beside => *report.beside.entry(part).or_default() += beside,
                    }
                }
            } else if is_audio(key) {
                report.audio.count(size);
            } else if is_vision(key) {
                report.vision.count(size);
            } else if is_decoders_other(key) {
                report.decoders_other.count(size);
            } else {
                report.problems.push(KeyProblem::Unknown { key: key.to_owned() });
            }
        }
        report
    }

    /// The account of two sets of tensors together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        fn join(here: &mut BTreeMap<Part, Tally>, there: BTreeMap<Part, Tally>) {
            there.into_iter().for_each(|(part, tally)| *here.entry(part).or_default() += tally);
        }
        for (part, types) in other.stored {
            let here = self.stored.entry(part).or_default();
            types.into_iter().for_each(|(stored, tally)| *here.entry(stored).or_default() += tally);
        }
        join(&mut self.used, other.used);
        join(&mut self.packed, other.packed);
        join(&mut self.beside, other.beside);
        for (here, there) in [
            (&mut self.total, other.total),
            (&mut self.scales, other.scales),
            (&mut self.idle_scales, other.idle_scales),
            (&mut self.audio, other.audio),
            (&mut self.vision, other.vision),
            (&mut self.duration, other.duration),
            (&mut self.decoders_other, other.decoders_other),
        ] {
            *here += there;
        }
        self.loras.extend(other.loras);
        self.problems.extend(other.problems);
        self
    }

    /// The problems in words, keys of one type that is not read in one.
    fn told(&self) -> Vec<String> {
        let mut types: BTreeMap<&str, usize> = BTreeMap::new();
        for problem in &self.problems {
            if let KeyProblem::WrongDType { found, .. } = problem {
                *types.entry(found).or_default() += 1;
            }
        }
        let words = |problem: &KeyProblem| match problem {
            // Told of the first key; the others are left out.
            KeyProblem::WrongDType { found, .. } => match types.remove(found.as_str())? {
                1 => Some(problem.to_string()),
                count => Some(format!("{problem}, and so are {} other keys", count - 1)),
            },
            _ => Some(problem.to_string()),
        };
        self.problems.iter().filter_map(words).collect()
    }

    /// The account of files that are not for this engine, for one reason that is none of their keys'.
    pub fn of_foreign(set: &TensorSet, problem: KeyProblem) -> Self {
        let mut report = Self { problems: vec![problem], ..Self::default() };
        set.keys().for_each(|key| report.total.count(set.size_of(key)));
        report
    }

    /// Whether nothing is wrong.
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }

    /// All used parts together.
    pub fn used_total(&self) -> Tally {
        self.used.values().fold(Tally::default(), |sum, part| sum + *part)
    }

    /// Keys that nothing asks for.
    pub fn unknown(&self) -> usize {
        self.problems.iter().filter(|p| matches!(p, KeyProblem::Unknown { .. })).count()
    }

    /// Keys that are needed and absent.
    pub fn missing(&self) -> usize {
        self.problems.iter().filter(|p| matches!(p, KeyProblem::Missing { .. })).count()
    }
}

impl fmt::Display for LoadReport {
    /// The problems, the first few of them in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.told();
        let shown: Vec<_> = told.iter().take(SHOWN).map(String::as_str).collect();
        f.write_str(&shown.join("; "))?;
        match told.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
