//! Which layers of a Gemma see all earlier tokens: by a list of layer types, or every so many.
//!
//! Must not know what a layer computes.

use super::Generation;
use crate::config::within;
use ltx_nn::{NnError, Result};
use serde_json::Value;

/// Without a word about it, every sixth layer is global.
const PATTERN: usize = 6;
/// Both names of the period; the second is what transformers 4 writes of a private field.
const PERIODS: [&str; 2] = ["sliding_window_pattern", "_sliding_window_pattern"];
const FIELD: &str = "layer_types";
const TYPES: [&str; 2] = ["sliding_attention", "full_attention"];

/// What a configuration calls a layer.
pub(super) fn name(global: bool) -> &'static str {
    TYPES[usize::from(global)]
}

/// Of every layer, whether it is global. The last one of a Gemma 4 is, whatever the period.
///
/// # Errors
/// A type that is not known, a list of another length, or entries that say different things.
pub(super) fn global(text: &Value, generation: Generation, layers: usize) -> Result<Vec<bool>> {
    let mut global = stated(text, layers)?;
    let Some(last) = global.last_mut().filter(|last| generation == Generation::Four && !**last) else {
        return Ok(global);
    };
    match text.get(FIELD).is_some_and(|listed| !listed.is_null()) {
        true => Err(NnError::unsupported(FIELD, format!("{} at the end", TYPES[0]), TYPES[1])),
        false => {
            *last = true;
            Ok(global)
        }
    }
}

fn stated(text: &Value, layers: usize) -> Result<Vec<bool>> {
    let listed = listed(text, layers)?;
    let mut period: Option<(&str, usize)> = None;
    for name in PERIODS {
        let Some(value) = text.get(name).filter(|value| !value.is_null()) else { continue };
        let number = value.as_u64().map(|number| number as usize).filter(|number| (1..=512).contains(number));
        let number = number.ok_or_else(|| NnError::unsupported(name, value, "1..=512"))?;
        match period {
            Some((first, other)) if other != number => {
                return Err(NnError::unsupported(name, number, format!("{other}, as {first} states")));
            }
            _ => period = Some((name, number)),
        }
    }
    let periodic = |period: usize| (1..=layers).map(|layer| layer.is_multiple_of(period)).collect::<Vec<_>>();
    match (listed, period) {
        (Some(listed), Some((name, number))) if periodic(number) != listed => {
            Err(NnError::unsupported(name, number, "what layer_types states"))
        }
        (Some(listed), _) => Ok(listed),
        (None, period) => Ok(periodic(period.map_or(PATTERN, |(_, number)| number))),
    }
}

fn listed(text: &Value, layers: usize) -> Result<Option<Vec<bool>>> {
    let Some(value) = text.get(FIELD).filter(|value| !value.is_null()) else { return Ok(None) };
    let types = value.as_array().ok_or_else(|| NnError::unsupported(FIELD, value, "a list"))?;
    within(&format!("{FIELD} (count)"), types.len(), layers..=layers)?;
    let one = |kind: &Value| match TYPES.iter().position(|known| kind == known) {
        Some(place) => Ok(place == 1),
        None => Err(NnError::unsupported(FIELD, kind, TYPES.join(" or "))),
    };
    types.iter().map(one).collect::<Result<_>>().map(Some)
}
