//! JSON values of two configurations of one model: whether they say the same, and both joined to one.
//!
//! Must not know what an entry means, or which files state it.

use serde_json::{Map, Value};
use std::fmt;

/// Whether two values say the same: numbers by their value, however they are written.
pub fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64().is_some_and(|x| y.as_f64() == Some(x)),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| alike(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| alike(x, y)))
        }
        (a, b) => a == b,
    }
}

/// Joins a configuration to another of the same model: what only one of them states is stated.
///
/// # Errors
/// The first entry that both state with different values: its path, and both values.
pub fn joined(first: &mut Value, second: Value) -> Result<(), Contradiction> {
    join_at(first, second, "")
}

/// An entry that two configurations state differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Contradiction {
    /// The entry, sections before it.
    pub entry: String,
    /// As the first states it.
    pub first: Box<Value>,
    /// As the second does.
    pub second: Box<Value>,
}

fn join_at(first: &mut Value, second: Value, path: &str) -> Result<(), Contradiction> {
    match (first, second) {
        (_, Value::Null) => Ok(()),
        (first @ Value::Null, second) => {
            *first = second;
            Ok(())
        }
        (Value::Object(first), Value::Object(second)) => join_entries(first, second, path),
        (first, second) if alike(first, &second) => Ok(()),
        (first, second) => {
            let (first, second) = (Box::new(first.clone()), Box::new(second));
            Err(Contradiction { entry: path.to_owned(), first, second })
        }
    }
}

fn join_entries(first: &mut Map<String, Value>, second: Map<String, Value>, path: &str) -> Result<(), Contradiction> {
    for (key, value) in second {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        join_at(first.entry(key).or_insert(Value::Null), value, &at)?;
    }
    Ok(())
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} and {}", self.entry, self.first, self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn configurations_are_joined_and_contradictions_named() {
        let mut first = json!({"transformer": {"num_layers": 48, "norm_eps": 1e-6}, "vae": null});
        let second = json!({"transformer": {"num_layers": 48.0, "rope_type": "split"}, "vae": {"dims": 3}});
        joined(&mut first, second).unwrap();
        assert_eq!(first["transformer"]["rope_type"], "split");
        assert_eq!(first["vae"]["dims"], 3);
        let other = joined(&mut first, json!({"vae": {"dims": 2}})).unwrap_err();
        assert_eq!((other.entry.as_str(), *other.first, *other.second), ("vae.dims", json!(3), json!(2)));
    }
}
