//! How much there is to do, counted in units that each have a rate on a machine.
//!
//! Must not know machines: their rates are in [`Rates`](crate::Rates).

use crate::Stage;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A unit of work. An operation is a product or a sum; a multiply-add is two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Unit {
    /// Operations of products with matrices that are kept in a form of this name.
    Product(String),
    /// Values of such matrices that products go through, each once a product.
    Matrix(String),
    /// Values that are brought into such a form when they are loaded; [`Unit::CONVOLUTIONS`] are packed likewise.
    Layout(String),
    /// Operations of attention, those with hidden keys included.
    Attention,
    /// Scores of attention: a query with a key, in a head.
    Score,
    /// Operations of convolutions of clips, by how many channels they have, about: [`channels`].
    Convolution(u32),
    /// The same of a single frame, counted as if the kernel's frames before and behind it were there.
    FlatConvolution(u32),
    /// Values that operators bound by memory read or write.
    Value,
    /// Products begun, and other operators as far as beginning one takes as long.
    Call,
    /// Bytes read from the model's files.
    Read,
    /// Pixels encoded as video.
    Pixel,
}

/// The least and the most channels by which convolutions are told apart.
const CHANNELS: [u32; 2] = [4, 512];

/// By how many channels a convolution is counted: a power of two near the mean of what goes in and what comes out.
pub fn channels(inputs: usize, outputs: usize) -> u32 {
    let mean = ((inputs * outputs) as f64).sqrt();
    let power = mean.max(1.0).log2().round() as u32;
    (1 << power.min(16)).clamp(CHANNELS[0], CHANNELS[1])
}

impl Unit {
    /// The name under which weights of convolutions are laid out.
    pub const CONVOLUTIONS: &'static str = "convolutions";
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Product(form) => write!(f, "operations, {form}"),
            Self::Matrix(form) => write!(f, "values of a matrix, {form}"),
            Self::Layout(form) => write!(f, "values laid out, {form}"),
            Self::Attention => f.write_str("operations of attention"),
            Self::Score => f.write_str("scores of attention"),
            Self::Convolution(channels) => write!(f, "operations of convolutions, {channels}"),
            Self::FlatConvolution(channels) => write!(f, "operations of convolutions of a frame, {channels}"),
            Self::Value => f.write_str("values moved"),
            Self::Call => f.write_str("calls"),
            Self::Read => f.write_str("bytes read"),
            Self::Pixel => f.write_str("pixels encoded"),
        }
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.to_string()
    }
}

/// A text that names no unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no unit of work")]
pub struct UnknownUnit {
    /// The text.
    pub found: String,
}

impl FromStr for Unit {
    type Err = UnknownUnit;
    fn from_str(text: &str) -> Result<Self, UnknownUnit> {
        let unknown = || UnknownUnit { found: text.to_owned() };
        Ok(match text.split_once(", ") {
            Some(("operations", form)) => Self::Product(form.to_owned()),
            Some(("values of a matrix", form)) => Self::Matrix(form.to_owned()),
            Some(("values laid out", form)) => Self::Layout(form.to_owned()),
            Some(("operations of convolutions", channels)) => {
                Self::Convolution(channels.parse().map_err(|_| unknown())?)
            }
            Some(("operations of convolutions of a frame", channels)) => {
                Self::FlatConvolution(channels.parse().map_err(|_| unknown())?)
            }
            _ => match text {
                "operations of attention" => Self::Attention,
                "scores of attention" => Self::Score,
                "values moved" => Self::Value,
                "calls" => Self::Call,
                "bytes read" => Self::Read,
                "pixels encoded" => Self::Pixel,
                _ => return Err(unknown()),
            },
        })
    }
}

impl TryFrom<String> for Unit {
    type Error = UnknownUnit;
    fn try_from(text: String) -> Result<Self, UnknownUnit> {
        text.parse()
    }
}

/// Counts of units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work(BTreeMap<Unit, u64>);

impl Work {
    /// So many of one unit.
    pub fn of(unit: Unit, count: u64) -> Self {
        Self::default().and(unit, count)
    }

    /// With so many of a unit more.
    #[must_use]
    pub fn and(mut self, unit: Unit, count: u64) -> Self {
        self.add(unit, count);
        self
    }

    /// Adds so many of a unit.
    pub fn add(&mut self, unit: Unit, count: u64) {
        if count > 0 {
            *self.0.entry(unit).or_default() += count;
        }
    }

    /// With other work.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        other.counts().for_each(|(unit, count)| self.add(unit.clone(), count));
        self
    }

    /// So many times over.
    #[must_use]
    pub fn times(&self, times: u64) -> Self {
        let counts = self.counts().filter(|_| times > 0);
        Self(counts.map(|(unit, count)| (unit.clone(), count * times)).collect())
    }

    /// Of every unit that there is any of.
    pub fn counts(&self) -> impl Iterator<Item = (&Unit, u64)> {
        self.0.iter().map(|(unit, count)| (unit, *count))
    }
}

/// Work that is done some times over, while bytes are read beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phase {
    /// How often.
    pub times: u64,
    /// What is done each time.
    pub work: Work,
    /// Bytes that are read meanwhile, each time: the longer of the two decides.
    pub beside: u64,
}

/// The work of a stage: its phases follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageWork {
    /// The stage.
    pub stage: Stage,
    /// Its phases.
    pub phases: Vec<Phase>,
}

impl StageWork {
    /// All of it, what is read beside it included.
    pub fn total(&self) -> Work {
        self.phases.iter().fold(Work::default(), |all, Phase { times, work, beside }| {
            all.plus(&work.clone().and(Unit::Read, *beside).times(*times))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_as_it_is_written() {
        for unit in [
            Unit::Product("Q4_K".into()),
            Unit::Matrix("rows f32".into()),
            Unit::Layout(Unit::CONVOLUTIONS.into()),
            Unit::Attention,
            Unit::Score,
            Unit::Convolution(64),
            Unit::FlatConvolution(8),
            Unit::Value,
            Unit::Call,
            Unit::Read,
            Unit::Pixel,
        ] {
            assert_eq!(unit.to_string().parse(), Ok(unit));
        }
        for text in ["", "operations", "operations of convolutions, many"] {
            assert!(text.parse::<Unit>().is_err(), "{text}");
        }
    }

    #[test]
    fn convolutions_are_told_apart_by_powers_of_two() {
        for (inputs, outputs, expected) in
            [(1, 1, 4), (16, 16, 16), (16, 128, 64), (128, 1024, 512), (1024, 4096, 512), (24, 24, 32)]
        {
            assert_eq!(channels(inputs, outputs), expected, "{inputs} {outputs}");
        }
    }

    #[test]
    fn phases_add_up() {
        let work = Work::of(Unit::Call, 2).and(Unit::Read, 1);
        let phase = Phase { times: 3, work, beside: 10 };
        let stage = StageWork { stage: Stage::Denoising, phases: vec![phase.clone(), Phase { times: 1, ..phase }] };
        assert_eq!(stage.total(), Work::of(Unit::Call, 8).and(Unit::Read, 44));
        assert_eq!(stage.total().times(0), Work::default());
    }
}
