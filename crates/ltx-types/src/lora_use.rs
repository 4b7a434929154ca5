//! A LoRA that a request names.
//!
//! Must not know which ones there are, or their files.

use crate::{FieldError, FieldErrors, LORA_STRENGTHS, LoraStrengths, Stages};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The field of a request that names them, as its faults do.
const FIELD: &str = "loras";

/// A LoRA by the name that the model lists it under, and how strongly it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraUse {
    /// The name.
    pub name: String,
    /// In the first stage; what is listed with the name where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f32>,
    /// In the second stage; as in the first where that is said and this is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_2_strength: Option<f32>,
}

impl LoraUse {
    /// The most LoRAs of one request.
    pub const MOST: usize = 16;
    /// The longest name, in bytes.
    pub const NAME_BYTES: usize = 128;

    /// Whether a model may list a LoRA under this name: every face and every mark can say it.
    pub fn is_name(name: &str) -> bool {
        let plain = !name.chars().any(|c| c.is_control() || "=;".contains(c));
        plain && name == name.trim() && (1..=Self::NAME_BYTES).contains(&name.len())
    }

    /// One as it is listed.
    pub fn listed(name: &str, strengths: LoraStrengths) -> Self {
        let LoraStrengths { first, second } = strengths;
        Self { name: name.to_owned(), strength: Some(first), stage_2_strength: Some(second) }
    }

    /// Its strengths, where these are listed with its name.
    pub fn strengths(&self, listed: LoraStrengths) -> LoraStrengths {
        LoraStrengths {
            first: self.strength.unwrap_or(listed.first),
            second: self.stage_2_strength.or(self.strength).unwrap_or(listed.second),
        }
    }

    /// Its strengths, where a model lists these names with these strengths.
    ///
    /// # Errors
    /// Its name is not listed; the nearest is named.
    pub fn strengths_among(&self, listed: &[(&str, LoraStrengths)]) -> Result<LoraStrengths, FieldError> {
        let found = listed.iter().find(|(name, _)| *name == self.name);
        found.map(|(_, listed)| self.strengths(*listed)).ok_or_else(|| unknown(&self.name, listed))
    }

    /// Those of a request with every strength said that its stages read, where a model lists these names with these strengths.
    ///
    /// # Errors
    /// Everything that is wrong with them: a name is not listed, and what [`check`](Self::check) finds.
    pub fn settled(all: Vec<Self>, listed: &[(&str, LoraStrengths)], stages: Stages) -> Result<Vec<Self>, FieldErrors> {
        let mut faults = Vec::new();
        let mut settle = |used: Self| {
            // A name that is too long is told of by its length alone.
            if used.name.len() > Self::NAME_BYTES {
                return used;
            }
            match used.strengths_among(listed) {
                Ok(LoraStrengths { first, second }) => {
                    let stage_2_strength = (stages == Stages::Two).then_some(second);
                    Self { strength: Some(first), stage_2_strength, ..used }
                }
                Err(fault) => {
                    faults.push(fault);
                    used
                }
            }
        };
        let all = all.into_iter().map(&mut settle).collect::<Vec<_>>();
        faults.extend(Self::check(&all).err().into_iter().flatten());
        FieldErrors::none(faults).map(|()| all)
    }

    /// Checks those of one request.
    ///
    /// # Errors
    /// They are too many; a name is too long or stands there twice; a strength is out of bounds.
    pub fn check(all: &[Self]) -> Result<(), FieldErrors> {
        let mut faults = Vec::new();
        if all.len() > Self::MOST {
            faults.push(Self::too_many(all.len()));
        }
        for (at, lora) in all.iter().take(Self::MOST).enumerate() {
            if lora.name.len() > Self::NAME_BYTES {
                let rule = format!("bytes of a name are more than {}", Self::NAME_BYTES);
                faults.push(FieldError::new(FIELD, lora.name.len(), rule));
                continue;
            }
            if all[..at].iter().any(|other| other.name == lora.name) {
                faults.push(FieldError::new(FIELD, &lora.name, "is named twice"));
            }
            let within = Self {
                strength: lora.strength.map(nearest_strength),
                stage_2_strength: lora.stage_2_strength.map(nearest_strength),
                name: lora.name.clone(),
            };
            if within != *lora {
                let (least, most) = (LORA_STRENGTHS.start(), LORA_STRENGTHS.end());
                let rule = format!("has a strength outside {least}..={most}");
                faults.push(FieldError::new(FIELD, lora, rule).nearest(within));
            }
        }
        FieldErrors::none(faults)
    }

    /// The fault of a request that names so many.
    pub fn too_many(count: usize) -> FieldError {
        FieldError::new(FIELD, count, format!("are more than {}", Self::MOST)).nearest(Self::MOST)
    }

    /// The fault of a strength in the second stage where there is none; of one that is as in the first there is no fault.
    pub(crate) fn unread(&self) -> Option<FieldError> {
        self.stage_2_strength.filter(|second| self.strength != Some(*second))?;
        let rule = "states a strength that is not read: there is no second stage; leave it out, or ask for stages 2";
        let nearest = Self { stage_2_strength: None, ..self.clone() };
        (self.name.len() <= Self::NAME_BYTES).then(|| FieldError::new(FIELD, self, rule).nearest(nearest))
    }
}

fn nearest_strength(strength: f32) -> f32 {
    if strength.is_nan() { 1.0 } else { strength.clamp(*LORA_STRENGTHS.start(), *LORA_STRENGTHS.end()) }
}

fn unknown(name: &str, listed: &[(&str, LoraStrengths)]) -> FieldError {
    let like = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let nearest = listed.iter().map(|(known, _)| *known).max_by(|a, b| like(a).total_cmp(&like(b)));
    let error = |rule: &str| FieldError::new(FIELD, format!("{name:?}"), rule);
    match nearest {
        Some(nearest) => error("is no LoRA that this model lists").nearest(nearest),
        None => error("is no LoRA of this model, which lists none"),
    }
}

impl fmt::Display for LoraUse {
    /// `name`, `name=0.8`, `name=0,0.8` or `name=,0.8`, as the command line takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match (self.strength, self.stage_2_strength) {
            (Some(first), None) => write!(f, "={first}"),
            (Some(first), Some(second)) => write!(f, "={}", LoraStrengths { first, second }),
            (None, Some(second)) => write!(f, "=,{second}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: [(&str, LoraStrengths); 2] =
        [("camera", LoraStrengths { first: 0.25, second: 0.5 }), ("style", LoraStrengths { first: 1.0, second: 1.0 })];

    fn named(name: &str, strength: Option<f32>, stage_2_strength: Option<f32>) -> LoraUse {
        LoraUse { name: name.into(), strength, stage_2_strength }
    }

    fn faults(all: &[LoraUse]) -> Vec<String> {
        let faults = LoraUse::settled(all.to_vec(), &LISTED, Stages::Two).unwrap_err();
        assert!(faults.iter().all(|fault| fault.field == "loras"));
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_said_is_listed() {
        for (said, first, second) in [
            ((None, None), 0.25, 0.5),
            ((Some(1.0), None), 1.0, 1.0),
            ((None, Some(1.0)), 0.25, 1.0),
            ((Some(0.0), Some(2.0)), 0.0, 2.0),
        ] {
            let said = vec![named("camera", said.0, said.1)];
            let settled = |stages| LoraUse::settled(said.clone(), &LISTED, stages).unwrap();
            assert_eq!(settled(Stages::Two), [named("camera", Some(first), Some(second))]);
            assert_eq!(settled(Stages::One), [named("camera", Some(first), None)], "nothing reads the other");
        }
    }

    #[test]
    fn a_name_that_is_not_listed_is_told_the_nearest() {
        assert_eq!(
            faults(&[named("Kamera", None, None)]),
            ["loras: \"Kamera\" is no LoRA that this model lists; nearest legal: camera"]
        );
        assert!(faults(&[named("", None, None)])[0].starts_with("loras: \"\" is no LoRA"));
        let none = LoraUse::settled(vec![named("camera", None, None)], &[], Stages::One).unwrap_err();
        assert_eq!(none.to_string(), "loras: \"camera\" is no LoRA of this model, which lists none");
    }

    #[test]
    fn every_fault_is_told() {
        let all = [
            named("stile", Some(f32::NAN), None),
            named("camera", None, Some(101.0)),
            named("camera", Some(-100.0), Some(100.0)),
            named(&"x".repeat(129), None, None),
        ];
        assert_eq!(
            faults(&all),
            [
                "loras: \"stile\" is no LoRA that this model lists; nearest legal: style",
                "loras: stile=NaN has a strength outside -100..=100; nearest legal: stile=1",
                "loras: camera=0.25,101 has a strength outside -100..=100; nearest legal: camera=0.25,100",
                "loras: camera is named twice",
                "loras: 129 bytes of a name are more than 128",
            ]
        );
        let many = LoraUse::check(&vec![named("a", None, None); 17]).unwrap_err();
        assert_eq!(many.iter().next(), Some(&LoraUse::too_many(17)));
    }

    #[test]
    fn a_name_can_be_said_everywhere() {
        assert!(["a", "Slow camera, left", "x/y"].iter().all(|name| LoraUse::is_name(name)));
        let long = "x".repeat(129);
        assert!(["", " a", "a=1", "a;b", "a\nb", &long].iter().all(|name| !LoraUse::is_name(name)));
        for (use_, text) in [
            (named("a", None, None), "a"),
            (named("a", Some(0.5), None), "a=0.5"),
            (named("a", Some(0.0), Some(0.5)), "a=0,0.5"),
            (named("a", None, Some(0.5)), "a=,0.5"),
        ] {
            assert_eq!(use_.to_string(), text);
        }
    }
}
