//! Laying sources over each other. The defaults say which keys there are, and of which kind.
//!
//! Must not know what a key means, but for those that are paths.

use super::{ConfigError, read_text};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};
use toml::{Table, Value};

const DEFAULTS: &str = include_str!("defaults.toml");
/// Relative to the file they stand in.
const PATHS: [&str; 5] = ["data_dir", "models_dir", "tokens_file", "tls.cert", "tls.key"];
/// Variables of the commands, which are no keys.
const OTHER_VARIABLES: [&str; 7] =
    ["LTXD_CONFIG", "LTXD_SERVER", "LTXD_TOKEN_FILE", "LTXD_CA", "LTXD_MODEL", "LTXD_MODELS", "LTXD_CPU_LEVEL"];

/// Older names of keys in the environment.
const ALIASES: [(&str, &str); 2] = [("LTXD_GRAPHS", "cuda.graphs"), ("LTXD_KERNELS", "cuda.kernels")];

/// What begins the keys of the section whose names are the operator's own, dots and spaces included.
const OPEN: &str = "aliases.";

/// The layers so far, as one.
pub(super) struct Layers(Table);

impl Layers {
    pub(super) fn defaults() -> Result<Self, ConfigError> {
        let syntax = |source| ConfigError::Syntax { path: "defaults.toml".into(), source: Box::new(source) };
        DEFAULTS.parse().map(Self).map_err(syntax)
    }

    pub(super) fn into_table(self) -> Table {
        self.0
    }

    /// A file over what is there.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = read_text(path)?;
        let syntax = |source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) };
        let table: Table = text.parse().map_err(syntax)?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let place = path.display().to_string();
        for (key, value) in leaves(&table) {
            // A section of ours with nothing in it.
            if value.is_table() && find(&mut self.0, &key).is_some_and(|slot| slot.is_table()) {
                continue;
            }
            let value = match (&value, PATHS.contains(&key.as_str())) {
                (Value::String(said), true) if !said.is_empty() => under(&folder, said),
                _ => value,
            };
            self.put(&place, &key, value)?;
        }
        Ok(())
    }

    /// `LTXD_LIMITS_QUEUED=100` and the like over what is there. A variable that is no key is left alone only if a command
    /// knows it.
    pub(super) fn environment(
        &mut self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        let keys: Vec<String> = leaves(&self.0).into_iter().map(|(key, _)| key).collect();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let Some(rest) = name.strip_prefix("LTXD_") else { continue };
            let Some(value) = value.to_str() else { return Err(ConfigError::NotUtf8(name.to_owned())) };
            let key = keys.iter().find(|key| key.replace('.', "_").eq_ignore_ascii_case(rest));
            let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
            match (key.map(String::as_str), alias) {
                (Some(key), _) => self.put_text(name, key, value)?,
                (None, Some((_, key))) => self.put_text(name, key, switched(value))?,
                _ if OTHER_VARIABLES.contains(&name) => {}
                _ => return Err(unknown("the environment".into(), name, &[])),
            }
        }
        Ok(())
    }

    /// A key as text over what is there.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.put_text("the command line", key, value)
    }

    fn put_text(&mut self, place: &str, key: &str, text: &str) -> Result<(), ConfigError> {
        let kind = |expected| ConfigError::Kind {
            place: place.to_owned(),
            key: key.to_owned(),
            found: format!("“{text}”"),
            expected,
        };
        let value = match find(&mut self.0, key) {
            Some(Value::Integer(_)) => Value::Integer(text.parse().map_err(|_| kind("a whole number"))?),
            Some(Value::Float(_)) => Value::Float(text.parse().map_err(|_| kind("a number"))?),
            Some(Value::Boolean(_)) => Value::Boolean(text.parse().map_err(|_| kind("true or false"))?),
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            _ => Value::String(text.to_owned()),
        };
        self.put(place, key, value)
    }

    fn put(&mut self, place: &str, key: &str, value: Value) -> Result<(), ConfigError> {
        if let Some(name) = key.strip_prefix(OPEN) {
            return self.put_open(place, key, (name, value));
        }
        let keys = leaves(&self.0);
        let Some(slot) = find(&mut self.0, key).filter(|slot| !slot.is_table()) else {
            return Err(unknown(place.to_owned(), key, &keys));
        };
        let value = match (&*slot, value) {
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        let strings = |value: &Value| value.as_array().is_none_or(|items| items.iter().all(Value::is_str));
        if !slot.same_type(&value) || !strings(&value) {
            let expected = match slot {
                Value::Integer(_) => "a whole number",
                Value::Float(_) => "a number",
                Value::Boolean(_) => "true or false",
                Value::Array(_) => "a list of strings",
                _ => "a string",
            };
            let (place, key, found) = (place.to_owned(), key.to_owned(), value.to_string());
            return Err(ConfigError::Kind { place, key, found, expected });
        }
        *slot = value;
        Ok(())
    }
}

impl Layers {
    /// A name of the operator's own in the section that takes any.
    fn put_open(&mut self, place: &str, key: &str, (name, value): (&str, Value)) -> Result<(), ConfigError> {
        let section = self.0.get_mut(OPEN.trim_end_matches('.')).and_then(Value::as_table_mut);
        match section.filter(|_| value.is_str()) {
            Some(section) => drop(section.insert(name.to_owned(), value)),
            None => {
                let (place, key, found) = (place.to_owned(), key.to_owned(), value.to_string());
                return Err(ConfigError::Kind { place, key, found, expected: "a string" });
            }
        }
        Ok(())
    }
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

fn under(folder: &Path, said: &str) -> Value {
    let path: PathBuf = folder.join(said);
    Value::String(path.to_string_lossy().into_owned())
}

/// Every value with its dotted key; a section with nothing in it is one.
fn leaves(table: &Table) -> Vec<(String, Value)> {
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

fn find<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        Some((section, rest)) => find(table.get_mut(section)?.as_table_mut()?, rest),
        None => table.get_mut(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layered(file: &str, variables: &[(&str, &str)]) -> Result<Table, ConfigError> {
        let mut layers = Layers::defaults().unwrap();
        let table: Table = file.parse().unwrap();
        for (key, value) in leaves(&table) {
            layers.put("node.toml", &key, value)?;
        }
        layers.environment(variables.iter().map(|(name, value)| (name.into(), value.into())))?;
        Ok(layers.into_table())
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let table = layered("[limits]\nqueued = 7\nrequest_burst = 8", &[("LTXD_LIMITS_QUEUED", "9")]).unwrap();
        assert_eq!(table["limits"]["queued"].as_integer(), Some(9));
        assert_eq!(table["limits"]["request_burst"].as_integer(), Some(8));
        assert_eq!(table["limits"]["queued_per_client"].as_integer(), Some(2048));
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        for (file, variables, named) in [
            ("lisen = \"x\"", &[][..], "lisen"),
            ("queued = 3", &[], "limits.queued"),
            ("[limits]\nqeued = 3", &[], "limits.qeued"),
            ("limits = 3", &[], "limits"),
            ("", &[("LTXD_LIMITS_QEUED", "3")], "LTXD_LIMITS_QEUED"),
        ] {
            let error = layered(file, variables).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_value_of_another_kind_is_refused_by_its_key() {
        for (file, variables) in [
            ("[limits]\nqueued = \"many\"", &[][..]),
            ("[limits]\nqueued = 1.5", &[]),
            ("", &[("LTXD_LIMITS_QUEUED", "many")]),
        ] {
            let error = layered(file, variables).unwrap_err().to_string();
            assert!(error.contains("limits.queued") && error.contains("a whole number"), "{error}");
        }
        assert!(layered("[aliases]\nx = 1", &[]).unwrap_err().to_string().contains("aliases.x"));
        assert!(layered("models = [1]", &[]).unwrap_err().to_string().contains("a list of strings"));
        assert!(layered("[limits]\nrequests_per_second = 5", &[]).is_ok());
    }

    #[test]
    fn aliases_have_any_name() {
        let mut layers = Layers(layered("[aliases]\n\"Carat Basic Video (LTX 2.3)\" = \"tiny\"", &[]).unwrap());
        layers.set("aliases.LTX 2.3", "other").unwrap();
        let table = layers.into_table();
        assert_eq!(table["aliases"]["Carat Basic Video (LTX 2.3)"].as_str(), Some("tiny"));
        assert_eq!(table["aliases"]["LTX 2.3"].as_str(), Some("other"));
        assert!(layered("aliases = 3", &[]).is_err());
    }

    #[test]
    fn the_older_names_of_a_gpus_switches_are_keys_too() {
        let cuda = |variables: &[(&str, &str)]| {
            let table = layered("", variables).unwrap();
            (table["cuda"]["graphs"].as_bool(), table["cuda"]["kernels"].as_str().map(str::to_owned))
        };
        assert_eq!(cuda(&[]), (Some(true), Some("newest".into())));
        for (graphs, kernels) in [
            (("LTXD_GRAPHS", "off"), ("LTXD_KERNELS", "ampere")),
            (("LTXD_CUDA_GRAPHS", "false"), ("LTXD_CUDA_KERNELS", "ampere")),
        ] {
            assert_eq!(cuda(&[graphs, kernels]), (Some(false), Some("ampere".into())));
            assert!(is_of_cuda(OsStr::new(graphs.0)) && is_of_cuda(OsStr::new(kernels.0)));
        }
        assert_eq!(cuda(&[("LTXD_GRAPHS", "on")]).0, Some(true));
        let error = layered("", &[("LTXD_GRAPHS", "perhaps")]).unwrap_err().to_string();
        assert!(error.contains("LTXD_GRAPHS: cuda.graphs") && error.contains("true or false"), "{error}");
        assert!(!is_of_cuda(OsStr::new("LTXD_MODEL")) && !is_of_cuda(OsStr::new("LTXD_CUDA_PATH")));
    }

    #[test]
    fn lists_come_with_commas() {
        let table = layered("", &[("LTXD_MODELS_DIR", "m"), ("LTXD_POLICY_PLANS", "Pro, Business")]).unwrap();
        assert_eq!(table["policy"]["plans"].as_array().map(Vec::len), Some(2));
    }
}
