//! What can be wrong with a LoRA file, tensor by tensor and entry by entry.
//!
//! Must not know how a file is read.

use serde::Serialize;
use std::fmt;

/// What is wrong with a tensor of a LoRA file, or with what the file states.
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
        /// The tensor; of several of one kind, the first.
        key: String,
        /// What it is of, where its name says it.
        kind: Option<&'static str>,
        /// Tensors of that kind.
        tensors: u64,
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
    /// An entry that cannot be read, or that states something which is not obeyed here.
    Stated {
        /// The entry, and where it stands.
        entry: String,
        /// What it states.
        found: String,
        /// Why that is refused, and what to do.
        why: String,
    },
    /// The rank that an entry states is not the tensors'.
    OtherRank {
        /// The tensor.
        key: String,
        /// The entry, and where it stands.
        entry: String,
        /// The rank that it states.
        stated: u64,
        /// The rank of the tensor.
        found: usize,
    },
    /// Two places state different alphas for one pair.
    Disagree {
        /// The tensor.
        key: String,
        /// The place that comes first, and what it states.
        first: String,
        /// The other place, and what it states.
        second: String,
    },
    /// The file was trained to see a reference clip.
    NeedsReference {
        /// The entry of the header that says so.
        entry: String,
        /// What it states.
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
            Self::NotOfAPair { key, kind, tensors } => {
                write!(f, "key {key} is neither lora_A (lora_down), lora_B (lora_up) nor alpha")?;
                match kind {
                    Some(kind) => write!(
                        f,
                        " but {kind} ({tensors} such tensors in the file), which is not read; take a file of plain LoRA pairs"
                    ),
                    None => f.write_str("; other adapters are not read"),
                }
            }
            Self::Twice { key, other } => write!(f, "key {key} stands for the same as {other}"),
            Self::WrongShape { key, expected, found } => {
                write!(f, "key {key} has shape {found:?}, expected {expected}")
            }
            Self::WrongDType { key, found } => {
                write!(f, "key {key} is stored as {found}, expected BF16, F16, F32 or F8_E4M3")
            }
            Self::BadAlpha { key, found } => write!(f, "key {key} is {found}, expected one finite number"),
            Self::Stated { entry, found, why } => write!(f, "{entry} is {found}: {why}"),
            Self::OtherRank { key, entry, stated, found } => {
                write!(f, "key {key} is of rank {found}, and {entry} states {stated}")
            }
            Self::Disagree { key, first, second } => {
                write!(f, "key {key}: {first}, but {second}; remove one of the two")
            }
            Self::NeedsReference { entry, found } => write!(
                f,
                "header entry {entry} is {found}: an IC-LoRA, trained to follow a reference clip; without one, which ltxd does not \
                 take, it means nothing: leave this file out"
            ),
        }
    }
}
