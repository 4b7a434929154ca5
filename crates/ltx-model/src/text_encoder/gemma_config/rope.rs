//! RoPE of a Gemma's global and sliding layers, in both spellings: transformers 4 writes `rope_theta`, `rope_local_base_freq` and
//! `rope_scaling`, transformers 5 `rope_parameters`, either for each type of layer or, flat, for the global ones. Gemma 4 is
//! stated in the latter alone, and turns a share of the pairs in its global layers (`proportional`).
//!
//! Must not know how angles are computed.

use super::Generation;
use crate::config::{NO_SUCH_ENTRY, positive};
use ltx_nn::{NnError, Result};
use serde_json::{Map, Value};

/// RoPE of one type of layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// The base.
    pub theta: f64,
    /// By what positions are divided.
    pub factor: f64,
    /// The share of a head's pairs that turn, the first ones; their exponents are over the whole head.
    pub share: f64,
}

/// RoPE of both types of layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ropes {
    pub(super) global: Rope,
    pub(super) sliding: Rope,
}

/// A number, and the entry that states it.
type Said = Option<(String, f64)>;

/// What is stated of one type of layer.
#[derive(Debug, Default)]
struct Stated {
    theta: Said,
    factor: Said,
    share: Said,
}

/// The share of pairs that turn in the global layers of a Gemma 4 that does not say.
const SHARE_OF_GLOBAL: f64 = 0.25;
const THETA_OF_GLOBAL: f64 = 1_000_000.0;
const THETA_OF_SLIDING: f64 = 10_000.0;
const PROPORTIONAL: &str = "proportional";
const TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

impl Ropes {
    /// # Errors
    /// A type of RoPE or an entry that is not implemented, a number that is none, or two entries that say different things.
    pub(super) fn from_json(text: &Value, generation: Generation) -> Result<Self> {
        let mut all = [Stated::default(), Stated::default()];
        all[0].theta = number(text, "rope_theta", "rope_theta")?;
        all[1].theta = number(text, "rope_local_base_freq", "rope_local_base_freq")?;
        for spelling in ["rope_scaling", "rope_parameters"] {
            if let Some([global, sliding]) = spelled(text, spelling, generation)? {
                all[0].join(global)?;
                all[1].join(sliding)?;
            }
        }
        let [global, sliding] = all;
        let silent = text.get("rope_parameters").is_none_or(Value::is_null);
        let share = if generation == Generation::Four && silent { SHARE_OF_GLOBAL } else { 1.0 };
        let usual = |theta, share| Rope { theta, factor: 1.0, share };
        Ok(Self {
            global: global.resolved(usual(THETA_OF_GLOBAL, share)),
            sliding: sliding.resolved(usual(THETA_OF_SLIDING, 1.0)),
        })
    }
}

impl Stated {
    /// Adds what another spelling states.
    fn join(&mut self, other: Self) -> Result<()> {
        join(&mut self.theta, other.theta)?;
        join(&mut self.factor, other.factor)?;
        join(&mut self.share, other.share)
    }

    fn resolved(self, usual: Rope) -> Rope {
        let number = |said: Said, usual| said.map_or(usual, |(_, number)| number);
        Rope {
            theta: number(self.theta, usual.theta),
            factor: number(self.factor, usual.factor),
            share: number(self.share, usual.share),
        }
    }
}

fn join(said: &mut Said, other: Said) -> Result<()> {
    match (said.as_ref(), other) {
        (Some((first, number)), Some((entry, found))) if *number != found => {
            Err(NnError::unsupported(entry, found, format!("{number}, as {first} states")))
        }
        (None, other) => {
            *said = other;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What one spelling says of global and of sliding layers. A flat one speaks of the global layers, as `rope_theta` does.
fn spelled(text: &Value, spelling: &str, generation: Generation) -> Result<Option<[Stated; 2]>> {
    let Some(value) = text.get(spelling).filter(|value| !value.is_null()) else { return Ok(None) };
    let entries = object(value, spelling)?;
    if !TYPES.iter().any(|kind| entries.contains_key(*kind)) {
        return Ok(Some([of_one_type(value, spelling, generation)?, Stated::default()]));
    }
    if let Some((key, value)) = entries.iter().find(|(key, value)| !TYPES.contains(&key.as_str()) && !value.is_null()) {
        return Err(NnError::unsupported(format!("{spelling}.{key}"), value, TYPES.join(" and ")));
    }
    let of = |kind: &str| match entries.get(kind).filter(|value| !value.is_null()) {
        Some(value) => of_one_type(value, &format!("{spelling}.{kind}"), generation),
        None => Ok(Stated::default()),
    };
    Ok(Some([of(TYPES[0])?, of(TYPES[1])?]))
}

fn of_one_type(value: &Value, path: &str, generation: Generation) -> Result<Stated> {
    if value.get("rope_type").is_some_and(|kind| kind == PROPORTIONAL) && generation == Generation::Four {
        return proportional(value, path);
    }
    let entries = object(value, path)?;
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
        match key.as_str() {
            "rope_type" | "type" | "rope_theta" | "factor" => {}
            "partial_rotary_factor" if value.as_f64() == Some(1.0) => {}
            "partial_rotary_factor" => return Err(NnError::unsupported(format!("{path}.{key}"), value, "1")),
            _ => return Err(NnError::unsupported(format!("{path}.{key}"), value, NO_SUCH_ENTRY)),
        }
    }
    let at = |entry: &str| format!("{path}.{entry}");
    let [kind, old] = ["rope_type", "type"].map(|name| entries.get(name).filter(|value| !value.is_null()));
    if let (Some(kind), Some(old)) = (kind, old)
        && kind != old
    {
        return Err(NnError::unsupported(at("type"), old, format!("{kind}, as rope_type states")));
    }
    let factor = number(value, "factor", &at("factor"))?;
    let kind_entry = at(if kind.is_none() && old.is_some() { "type" } else { "rope_type" });
    let factor = match (kind.or(old).map(|kind| kind.as_str().unwrap_or_default()), factor) {
        (Some("linear"), Some(factor)) => Some(factor),
        (Some("linear"), None) => return Err(NnError::unsupported(at("factor"), "absent", "a number above 0")),
        (Some("default"), None) => Some((kind_entry, 1.0)),
        (Some("default"), Some((entry, factor))) if factor != 1.0 => {
            return Err(NnError::unsupported(entry, factor, "none, or the rope_type linear"));
        }
        (Some("default"), factor) => factor,
        (Some(_), _) => {
            let found = kind.or(old).unwrap_or(&Value::Null);
            return Err(NnError::unsupported(kind_entry, found, "linear or default"));
        }
        (None, Some(_)) => return Err(NnError::unsupported(kind_entry, "absent", "linear or default")),
        (None, None) => None,
    };
    Ok(Stated { theta: number(value, "rope_theta", &at("rope_theta"))?, factor, share: None })
}

/// The RoPE that turns a share of a head's pairs.
fn proportional(value: &Value, path: &str) -> Result<Stated> {
    let known = ["rope_type", "rope_theta", "factor", "partial_rotary_factor"];
    let at = |entry: &str| format!("{path}.{entry}");
    let mut unknown =
        object(value, path)?.iter().filter(|(key, value)| !known.contains(&key.as_str()) && !value.is_null());
    if let Some((key, value)) = unknown.next() {
        return Err(NnError::unsupported(at(key), value, NO_SUCH_ENTRY));
    }
    let said = |entry: &str| number(value, entry, &at(entry));
    let share = said("partial_rotary_factor")?.unwrap_or_else(|| (at("partial_rotary_factor"), 1.0));
    if share.1 > 1.0 {
        return Err(NnError::unsupported(share.0, share.1, "at most 1"));
    }
    Ok(Stated { theta: said("rope_theta")?, factor: said("factor")?, share: Some(share) })
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| NnError::unsupported(path, value, "an object"))
}

fn number(of: &Value, field: &str, path: &str) -> Result<Said> {
    let Some(value) = of.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
    let found = value.as_f64().ok_or_else(|| NnError::unsupported(path, value, "a number above 0"))?;
    positive(path, found)?;
    Ok(Some((path.to_owned(), found)))
}
