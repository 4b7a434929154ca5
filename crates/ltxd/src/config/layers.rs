//! Laying sources over each other: the defaults, a file, the environment, the command line. Each is held against the defaults,
//! which say which keys there are and of which kind.
//!
//! Must not know what a key means, but for those that are paths, nor which values can be.

use super::{ConfigError, otel, read_text};
use figment::{
    Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::Serialized,
    value::{Dict, Map},
};
use ltx_types::FieldError;
use serde::de::DeserializeOwned;
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};
use toml::{Table, Value};

pub(super) const DEFAULTS: &str = include_str!("defaults.toml");
/// What the defaults are called.
const DEFAULTS_PLACE: &str = "defaults.toml";
/// Relative to the file they stand in.
const PATHS: [&str; 15] = [
    "data_dir",
    "models_dir",
    "tokens_file",
    "tls.cert",
    "tls.key",
    "provenance.certificate",
    "provenance.key",
    "provenance.dir",
    "cluster.credentials_file",
    "cluster.nkey_file",
    "cluster.tls_ca",
    "cluster.tls_cert",
    "cluster.tls_key",
    "cluster.s3_credentials_file",
    "traces.headers_file",
];
/// Variables of the commands, which are no keys.
const OTHER_VARIABLES: [&str; 8] = [
    "LTXD_CONFIG",
    "LTXD_SERVER",
    "LTXD_TOKEN_FILE",
    "LTXD_CA",
    "LTXD_MODEL",
    "LTXD_MODELS",
    "LTXD_CPU_LEVEL",
    "LTXD_NO_CACHE",
];
/// Older names of keys in the environment.
const ALIASES: [(&str, &str); 2] = [("LTXD_GRAPHS", "cuda.graphs"), ("LTXD_KERNELS", "cuda.kernels")];
/// What begins the keys of the section whose names are the operator's own, dots and spaces included.
const OPEN: &str = "aliases.";

/// A source of keys, as it is called in errors.
struct Layer {
    place: String,
    keys: Table,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Serialized::defaults(&self.keys).data()
    }
}

/// The layers so far, as one.
#[derive(Debug)]
pub(super) struct Layers {
    defaults: Table,
    merged: Figment,
    /// What the variables of OpenTelemetry say.
    otel: otel::Said,
}

impl Layers {
    pub(super) fn defaults() -> Result<Self, ConfigError> {
        let syntax = |source| ConfigError::Syntax { path: DEFAULTS_PLACE.into(), source: Box::new(source) };
        DEFAULTS.parse().map(Self::of).map_err(syntax)
    }

    /// Nothing but defaults.
    pub(super) fn of(defaults: Table) -> Self {
        let merged = Figment::from(Layer { place: DEFAULTS_PLACE.to_owned(), keys: defaults.clone() });
        Self { defaults, merged, otel: otel::Said::default() }
    }

    /// A file over what is there.
    pub(super) fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let syntax = |source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) };
        let table: Table = text.parse().map_err(syntax)?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut values = leaves(&table);
        // A section of ours with nothing in it says nothing.
        values.retain(|(key, value)| !value.is_table() || !find(&self.defaults, key).is_some_and(Value::is_table));
        for (key, value) in &mut values {
            if let Value::String(said) = value
                && PATHS.contains(&key.as_str())
                && !said.is_empty()
            {
                *said = under(&folder, said);
            }
        }
        self.lay(&path.display().to_string(), values)
    }

    /// `LTXD_LIMITS_QUEUED=100` and the like over what is there. A variable that is no key is left alone only if a command
    /// knows it. Beneath them lies what OpenTelemetry's own variables say of traces.
    pub(super) fn environment(
        self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let keys: Vec<String> = leaves(&self.defaults).into_iter().map(|(key, _)| key).collect();
        let mut layers = self;
        let variables: Vec<_> = variables.collect();
        layers.otel = otel::read(variables.iter());
        for (name, key, value) in std::mem::take(&mut layers.otel.keys) {
            layers = layers.texts(name, [(key, value.as_str())])?;
        }
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let Some(rest) = name.strip_prefix("LTXD_") else { continue };
            let Some(value) = value.to_str() else { return Err(ConfigError::NotUtf8(name.to_owned())) };
            let key = keys.iter().find(|key| key.replace('.', "_").eq_ignore_ascii_case(rest));
            let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
            layers = match (key, alias) {
                (Some(key), _) => layers.texts(name, [(key.as_str(), value)])?,
                (None, Some((_, key))) => layers.texts(name, [(*key, switched(value))])?,
                _ if OTHER_VARIABLES.contains(&name) => layers,
                _ => return Err(unknown("the environment".into(), name, &[])),
            };
        }
        Ok(layers)
    }

    /// Keys of the command line over what is there.
    pub(super) fn set<'a>(self, keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigError> {
        self.texts("the command line", keys)
    }

    /// The settings that some part of the node reads from its own keys; or a table of everything.
    pub(super) fn extract<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.merged.extract().map_err(|error| self.refused(error))
    }

    /// The keys of a section that have other values than their defaults.
    pub(super) fn changed(&self, section: &str) -> Result<Vec<String>, ConfigError> {
        let (effective, prefix): (Table, _) = (self.extract()?, format!("{section}."));
        let of_it = leaves(&self.defaults).into_iter().filter(|(key, _)| key.starts_with(&prefix));
        let changed = of_it.filter(|(key, default)| find(&effective, key) != Some(default));
        Ok(changed.map(|(key, _)| key).collect())
    }

    /// A variable of OpenTelemetry's that is about traces and not obeyed.
    pub(super) fn refused_of_otel(&self) -> Option<ConfigError> {
        self.otel.refused()
    }

    /// Whether a variable of OpenTelemetry's says a key's value.
    pub(super) fn is_of_otel(&self, key: &str) -> bool {
        self.merged.find_metadata(key).is_some_and(|metadata| metadata.name.starts_with("OTEL_"))
    }

    /// A key's value cannot be.
    pub(super) fn refuse(&self, key: &str, rule: impl Into<String>) -> ConfigError {
        let place = self.merged.find_metadata(key).map(|metadata| metadata.name.clone().into_owned());
        let place = place.filter(|place| place != DEFAULTS_PLACE);
        let value = self.merged.find_value(key).ok().and_then(|value| Value::try_from(value).ok());
        ConfigError::Value {
            place,
            key: key.to_owned(),
            value: value.map(shown).unwrap_or_default(),
            rule: rule.into(),
        }
    }

    /// The same as a part of the node says it of its own key; a value that it does not repeat is not repeated here.
    pub(super) fn refuse_field(&self, FieldError { field, value, rule, .. }: FieldError) -> ConfigError {
        match self.refuse(field, rule) {
            ConfigError::Value { place, key, rule, .. } if value == FieldError::HIDDEN => {
                ConfigError::Value { place, key, value, rule }
            }
            refused => refused,
        }
    }

    fn refused(&self, error: figment::Error) -> ConfigError {
        match &error.kind {
            Kind::Message(rule) => self.refuse(&error.path.join("."), rule),
            _ => ConfigError::Inconsistent(Box::new(error)),
        }
    }

    /// Text becomes what the key's default is.
    fn texts<'a>(self, place: &str, keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigError> {
        let value = |(key, text): (&str, &str)| Ok((key.to_owned(), self.value_of(place, key, text)?));
        let values = keys.into_iter().map(value).collect::<Result<_, ConfigError>>()?;
        self.lay(place, values)
    }

    fn value_of(&self, place: &str, key: &str, text: &str) -> Result<Value, ConfigError> {
        let kind = |expected| ConfigError::Kind {
            place: place.to_owned(),
            key: key.to_owned(),
            found: format!("“{text}”"),
            expected,
        };
        Ok(match find(&self.defaults, key) {
            Some(Value::Integer(_)) => Value::Integer(text.parse().map_err(|_| kind("a whole number"))?),
            Some(Value::Float(_)) => Value::Float(text.parse().map_err(|_| kind("a number"))?),
            Some(Value::Boolean(_)) => Value::Boolean(text.parse().map_err(|_| kind("true or false"))?),
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            _ => Value::String(text.to_owned()),
        })
    }

    /// Values over what is there, the last of a key's counting.
    fn lay(mut self, place: &str, values: Vec<(String, Value)>) -> Result<Self, ConfigError> {
        let mut keys = Table::new();
        for (key, value) in values {
            let value = self.conforming(place, &key, value)?;
            match key.split_once('.') {
                Some((section, name)) => {
                    let section = keys.entry(section).or_insert_with(|| Value::Table(Table::new()));
                    section.as_table_mut().map(|section| section.insert(name.to_owned(), value));
                }
                None => drop(keys.insert(key, value)),
            }
        }
        self.merged = self.merged.merge(Layer { place: place.to_owned(), keys });
        Ok(self)
    }

    /// The value, if there is such a key and its default is of the same kind.
    fn conforming(&self, place: &str, key: &str, value: Value) -> Result<Value, ConfigError> {
        let of_kind = |holds: bool, expected, value: Value| match holds {
            true => Ok(value),
            false => {
                let (place, key, found) = (place.to_owned(), key.to_owned(), value.to_string());
                Err(ConfigError::Kind { place, key, found, expected })
            }
        };
        if key.starts_with(OPEN) {
            return of_kind(value.is_str(), "a string", value);
        }
        let Some(default) = find(&self.defaults, key).filter(|default| !default.is_table()) else {
            return Err(unknown(place.to_owned(), key, &leaves(&self.defaults)));
        };
        match (default, value) {
            (Value::Float(_), Value::Integer(whole)) => Ok(Value::Float(whole as f64)),
            (Value::Integer(_), value) => of_kind(value.is_integer(), "a whole number", value),
            (Value::Float(_), value) => of_kind(value.is_float(), "a number", value),
            (Value::Boolean(_), value) => of_kind(value.is_bool(), "true or false", value),
            (Value::Array(_), value) => {
                let strings = value.as_array().is_some_and(|items| items.iter().all(Value::is_str));
                of_kind(strings, "a list of strings", value)
            }
            (_, value) => of_kind(value.is_str(), "a string", value),
        }
    }
}

/// Whether a variable says a key of the section `provenance`.
pub(super) fn is_of_provenance(name: &OsStr) -> bool {
    name.to_string_lossy().to_uppercase().starts_with("LTXD_PROVENANCE_")
}

/// Whether a variable says a key of the section `cuda`.
pub(super) fn is_of_cuda(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let said = |key: &str| format!("LTXD_{}", key.replace('.', "_")).eq_ignore_ascii_case(&name);
    ALIASES.iter().any(|(alias, key)| key.starts_with("cuda.") && (*alias == name || said(key)))
}

/// A switch, whose older name says `on` and `off`.
fn switched(value: &str) -> &str {
    match value {
        "on" => "true",
        "off" => "false",
        other => other,
    }
}

fn unknown(place: String, key: &str, keys: &[(String, Value)]) -> ConfigError {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let near = keys.iter().find(|(known, _)| last(known) == last(key)).map(|(known, _)| known.clone());
    ConfigError::Unknown { place, key: key.to_owned(), near }
}

/// A value as errors show it: text without its quotes, as long as there is some.
fn shown(value: Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text,
        Value::Float(number) => number.to_string(),
        value => value.to_string(),
    }
}

fn under(folder: &Path, said: &str) -> String {
    let path: PathBuf = folder.join(said);
    path.to_string_lossy().into_owned()
}

/// Every value with its dotted key; a section with nothing in it is one.
pub(super) fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                out.extend(leaves(inner).into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)));
            }
            value => out.push((key.clone(), value.clone())),
        }
    }
    out
}

fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
