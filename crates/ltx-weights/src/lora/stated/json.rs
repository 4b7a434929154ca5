//! JSON whose objects keep the order of their entries: the first pattern that matches a layer counts.
//!
//! Must not know what it states.

use ltx_types::json::{Built, read_as};
use serde_json::Number;
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
    let read = begins.then(|| read_as(text.as_bytes()).ok()).flatten();
    read.unwrap_or_else(|| Json::Text(text.to_owned()))
}

impl Built for Json {
    fn null() -> Self {
        Self::Null
    }

    fn number(number: Number) -> Self {
        Self::Number(number.as_f64().unwrap_or(f64::NAN))
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items)
    }

    fn object(entries: Vec<(String, Self)>) -> Self {
        Self::Object(entries)
    }
}

impl From<bool> for Json {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_order_and_hold_a_name_once() {
        let Json::Object(entries) = read_as(br#"{"b": 1, "a": {"z": null, "y": [true, "x", 2.5]}}"#).unwrap() else {
            panic!("no object");
        };
        assert_eq!(entries[0], ("b".into(), Json::Number(1.0)));
        assert_eq!(entries[1].1.to_string(), "{z: null, …}");
        assert!(read_as::<Json>(br#"{"a": 1, "a": 2}"#).is_err());
    }
}
