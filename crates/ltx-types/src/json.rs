//! JSON values of configurations of a model: each entry stated once; whether two say the same, and both joined to one.
//!
//! Must not know what an entry means, or which files state it.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use std::{collections::HashSet, fmt, marker::PhantomData};

/// Reads JSON in which no object states an entry twice.
///
/// # Errors
/// It is no JSON, or one does: the entry.
pub fn read(bytes: &[u8]) -> serde_json::Result<Value> {
    read_as(bytes)
}

/// The same as a value of another kind.
///
/// # Errors
/// As [`read`].
pub fn read_as<T: Built>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<Once<T>>(bytes).map(|Once(value)| value)
}

/// A kind of value that JSON is read as.
pub trait Built: From<bool> + From<String> + Sized {
    /// `null`.
    fn null() -> Self;
    /// A number.
    fn number(number: Number) -> Self;
    /// A list.
    fn list(items: Vec<Self>) -> Self;
    /// An object, its entries in the order in which they are stated, each once.
    fn object(entries: Vec<(String, Self)>) -> Self;
}

impl Built for Value {
    fn null() -> Self {
        Self::Null
    }

    fn number(number: Number) -> Self {
        Self::Number(number)
    }

    fn list(items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn object(entries: Vec<(String, Self)>) -> Self {
        Self::Object(entries.into_iter().collect())
    }
}

/// A value whose objects state every entry once.
struct Once<T>(T);

impl<'de, T: Built> Deserialize<'de> for Once<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(OnceVisitor(PhantomData))
    }
}

struct OnceVisitor<T>(PhantomData<T>);

impl<'de, T: Built> Visitor<'de> for OnceVisitor<T> {
    type Value = Once<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Once<T>, E> {
        Ok(Once(T::null()))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Once<T>, E> {
        Ok(Once(flag.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Once<T>, E> {
        Ok(Once(T::number(number.into())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Once<T>, E> {
        Ok(Once(T::number(number.into())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Once<T>, E> {
        // JSON has no other numbers than finite ones.
        Ok(Once(Number::from_f64(number).map_or_else(T::null, T::number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Once<T>, E> {
        Ok(Once(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Once(T::list(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Once<T>, A::Error> {
        let (mut object, mut names) = (Vec::new(), HashSet::new());
        while let Some((name, Once(value))) = entries.next_entry::<String, Once<T>>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("{name} is stated twice")));
            }
            object.push((name, value));
        }
        Ok(Once(T::object(object)))
    }
}

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
    fn an_entry_is_stated_once() {
        let all = r#"{"b": [1, -2, 2.5, null, true, "x"], "a": {"z": {}}}"#;
        assert_eq!(read(all.as_bytes()).unwrap(), serde_json::from_str::<Value>(all).unwrap());
        let twice = read(br#"{"a": [{"rope": 1, "rope": 2}]}"#).unwrap_err().to_string();
        assert!(twice.starts_with("rope is stated twice"), "{twice}");
        assert!(read(b"{").is_err());
    }

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
