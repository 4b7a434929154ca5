//! JSON whose objects keep the order of their entries: the first pattern that matches a layer counts.
//!
//! Must not know what it states.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// A value of JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Whether it says nothing: null, false, nought, or nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) => true,
            Self::Bool(true) => false,
            Self::Number(number) => *number == 0.0,
            Self::Text(text) => ["", "false", "none", "null"].contains(&text.trim().to_ascii_lowercase().as_str()),
            Self::List(list) => list.is_empty(),
            Self::Object(entries) => entries.is_empty(),
        }
    }

    /// A finite number, or the text of one.
    pub(crate) fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite())
    }

    /// Yes or no, or the text of it.
    pub(crate) fn flag(&self) -> Option<bool> {
        match self {
            Self::Null => Some(false),
            Self::Bool(flag) => Some(*flag),
            Self::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" | "" | "none" | "null" => Some(false),
                _ => None,
            },
            Self::Number(number) if *number == 0.0 => Some(false),
            Self::Number(number) if *number == 1.0 => Some(true),
            Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{:?}", text.chars().take(60).collect::<String>()),
            Self::List(list) => {
                f.write_str("[")?;
                for (i, item) in list.iter().take(3).enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(if list.len() > 3 { ", …]" } else { "]" })
            }
            Self::Object(entries) => match entries.first() {
                Some((key, value)) => {
                    write!(f, "{{{key}: {value}{}}}", if entries.len() > 1 { ", …" } else { "" })
                }
                None => f.write_str("{}"),
            },
        }
    }
}

/// What a text holds: an object or a list where it is JSON of one, else the text itself.
pub(crate) fn json_of(text: &str) -> Json {
    let begins = text.trim_start().starts_with(['{', '[']);
    let read = begins.then(|| serde_json::from_str(text).ok()).flatten();
    read.unwrap_or_else(|| Json::Text(text.to_owned()))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        while let Some(entry) = entries.next_entry::<String, Json>()? {
            object.push(entry);
        }
        let mut names: Vec<&str> = object.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(A::Error::custom(format!("{} is stated twice", pair[0]))),
            None => Ok(Json::Object(object)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_order_and_hold_a_name_once() {
        let Json::Object(entries) =
            serde_json::from_str(r#"{"b": 1, "a": {"z": null, "y": [true, "x", 2.5]}}"#).unwrap()
        else {
            panic!("no object");
        };
        assert_eq!(entries[0], ("b".into(), Json::Number(1.0)));
        assert_eq!(entries[1].1.to_string(), "{z: null, …}");
        assert!(serde_json::from_str::<Json>(r#"{"a": 1, "a": 2}"#).is_err());
    }
}
