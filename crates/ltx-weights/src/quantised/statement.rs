//! What a safetensors file states about the quantisation of its layers: the header's entry `_quantization_metadata`, and tensors
//! `….comfy_quant` that hold the same JSON for one layer. Source: `docs/QUANTIZATION`, `comfy/utils.py` and `comfy/ops.py` of ComfyUI.
//!
//! Must not know how a format is read.

use crate::{
    Result, WeightsError,
    entries::{shown, user},
    names::{official_of, weight_keys},
    weight_file::Header,
};
use serde_json::{Map, Value};
use std::{cell::OnceCell, collections::BTreeMap, fmt::Debug, path::Path};

/// The header's entry.
const ENTRY: &str = "_quantization_metadata";
/// The last word of a layer's tensor.
const TENSOR: &str = "comfy_quant";
/// Bytes that such a tensor has at most.
const MOST: usize = 1 << 16;
/// Fields that change nothing here: how products are rounded is nothing that a file decides.
const IDLE: [&str; 2] = ["full_precision_matrix_mult", "orig_dtype"];

/// Names in the header's entry that say who wrote it.
const BY_WHOM: [&str; 6] = ["converter", "created_by", "generator", "producer", "tool", "tool_version"];
/// Values that are rotated together where that is not stated.
const ROTATED: usize = 256;

/// What is stated about one layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Statement {
    pub(super) format: String,
    /// Values that are rotated together, if they are.
    pub(super) rotation: Option<usize>,
    /// The side of a block that shares a scale.
    pub(super) block: Option<usize>,
    /// The matrix's shape before it was filled up.
    pub(super) shape: Option<Vec<usize>>,
    /// Whether every row has a scale of its own.
    pub(super) per_row: Option<bool>,
}

impl Statement {
    /// Whether another statement about the same layer says nothing else.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.clone().joined(other.clone()).is_ok()
    }

    /// The statement of the header, with what it, or a layer's own tensor, states again.
    ///
    /// # Errors
    /// They contradict each other: what the second states, and what the first does.
    fn joined(self, own: Self) -> Result<Self, [String; 2]> {
        let differ = |name: &str, header: &dyn Debug, own: &dyn Debug| {
            Err([format!("{name} {own:?}"), format!("{header:?}, as the header states")])
        };
        if self.format != own.format {
            return differ("format", &self.format, &own.format);
        }
        if self.rotation != own.rotation {
            return differ("convrot_groupsize", &self.rotation, &own.rotation);
        }
        match (&self.block, &own.block) {
            (Some(header), Some(own)) if header != own => return differ("group_size", header, own),
            _ => {}
        }
        match (&self.shape, &own.shape) {
            (Some(header), Some(own)) if header != own => return differ("orig_shape", header, own),
            _ => {}
        }
        match (self.per_row, own.per_row) {
            (Some(header), Some(own)) if header != own => return differ("per_row", &header, &own),
            _ => {}
        }
        let per_row = own.per_row.or(self.per_row);
        Ok(Self { block: own.block.or(self.block), shape: own.shape.or(self.shape), per_row, ..self })
    }
}

/// What a file states.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// By what stands in front of `weight` in the file's own key of a layer.
    pub(super) by_stem: BTreeMap<String, Statement>,
    /// The layers, by their names in the statement, that are not in this file.
    pub(super) elsewhere: Vec<(String, Statement)>,
    /// The tensors that state some of it.
    pub(super) tensors: Vec<String>,
}

impl Collected {
    /// Adds what is stated about a layer; `key` says where.
    fn add(&mut self, path: &Path, stem: String, statement: Statement, key: &str) -> Result<()> {
        let joined = match self.by_stem.remove(&stem) {
            Some(known) => known.joined(statement),
            None => Ok(statement),
        };
        let statement = joined.map_err(|[found, expected]| WeightsError::Quantisation {
            file: path.to_owned(),
            key: key.to_owned(),
            found,
            expected,
        })?;
        self.by_stem.insert(stem, statement);
        Ok(())
    }
}

/// The layers of a file, by any spelling of their names.
struct Layers<'a> {
    header: &'a Header,
    map: &'a [u8],
    /// The file's own keys of weights by their official ones; made when a layer is not called as in the file.
    by_official: OnceCell<BTreeMap<String, &'a str>>,
}

impl Layers<'_> {
    /// What stands in front of a layer's `weight` in this file, if it holds the layer.
    fn stem_of(&self, layer: &str) -> Option<String> {
        let keys = weight_keys(layer);
        let [own, ..] = &keys;
        let by_official = || {
            let by_official = self.by_official.get_or_init(|| {
                let official = official_of(self.header, self.map);
                let weights = self.header.entries.keys().filter(|key| key.ends_with("weight"));
                weights.map(|key| (official(key), key.as_str())).collect()
            });
            keys.iter().find_map(|key| by_official.get(key).copied())
        };
        let found = if self.header.entries.contains_key(own) { own } else { by_official()? };
        found.strip_suffix("weight").map(str::to_owned)
    }
}

/// Everything that a file states about its layers.
///
/// # Errors
/// A statement is no JSON of the kind, states something that nobody here understands, or two contradict each other.
pub(super) fn collect(path: &Path, map: &[u8], header: &Header) -> Result<Collected> {
    let mut collected = Collected::default();
    let layers = Layers { header, map, by_official: OnceCell::new() };
    if let Some(text) = header.values.get(ENTRY) {
        for (layer, stated) in layers_of_header(path, text)? {
            let statement = read(&stated).map_err(|fault| fault.of(path, &layer))?;
            match layers.stem_of(&layer) {
                Some(stem) => collected.add(path, stem, statement, &layer)?,
                // Where it lies in another file, that one states it, too.
                None => collected.elsewhere.push((layer, statement)),
            }
        }
    }
    for (key, entry) in &header.entries {
        let Some(stem) = key.strip_suffix(TENSOR).filter(|stem| stem.is_empty() || stem.ends_with('.')) else {
            continue;
        };
        let stem = if header.entries.contains_key(&format!("{stem}weight")) {
            stem.to_owned()
        } else {
            // Of a weight that is not here, it stays a tensor that nothing asks for.
            let Some(stem) = layers.stem_of(stem.trim_end_matches('.')) else { continue };
            stem
        };
        let bytes = map.get(entry.range.clone()).filter(|bytes| bytes.len() <= MOST).unwrap_or_default();
        let parsed = ltx_types::json::read(bytes).map_err(|source| WeightsError::BadJson {
            file: path.to_owned(),
            what: "a tensor comfy_quant",
            source,
        })?;
        let statement = read(&parsed).map_err(|fault| fault.of(path, key))?;
        collected.add(path, stem, statement, key)?;
        collected.tensors.push(key.clone());
    }
    Ok(collected)
}

/// The layers of the header's entry, with what is stated about each.
fn layers_of_header(path: &Path, text: &str) -> Result<Map<String, Value>> {
    let what = "the metadata entry _quantization_metadata";
    let parsed = ltx_types::json::read(text.as_bytes());
    let parsed = parsed.map_err(|source| WeightsError::BadJson { file: path.to_owned(), what, source })?;
    let wrong = |found: String, expected: &str| WeightsError::Quantisation {
        file: path.to_owned(),
        key: ENTRY.to_owned(),
        found,
        expected: expected.to_owned(),
    };
    let none = || wrong("no object `layers`".into(), "one with an entry for each quantised layer");
    let Value::Object(mut entries) = parsed else { return Err(none()) };
    for (name, value) in &entries {
        match (name.as_str(), value) {
            ("layers", _) => {}
            ("format_version", Value::String(version)) if version.starts_with("1.") || version == "1" => {}
            ("format_version", Value::Number(version)) if version.as_f64() == Some(1.0) => {}
            ("format_version", other) => return Err(wrong(format!("format_version {other}"), "1.0")),
            (_, Value::Null) => {}
            (name, _) if BY_WHOM.contains(&name) || user::is_for_people(name) => {}
            (name, value) => {
                let found = format!("{name} {}", shown(&value.to_string()));
                return Err(wrong(found, "format_version and layers alone: nobody here knows what else changes"));
            }
        }
    }
    match entries.remove("layers") {
        Some(Value::Object(layers)) => Ok(layers),
        _ => Err(none()),
    }
}

/// What is wrong with a statement.
struct Fault {
    found: String,
    expected: &'static str,
}

impl Fault {
    fn of(self, path: &Path, key: &str) -> WeightsError {
        let (file, key) = (path.to_owned(), key.to_owned());
        WeightsError::Quantisation { file, key, found: self.found, expected: self.expected.to_owned() }
    }
}

/// A layer's statement: the format's name, or an object of fields, some of which may be in an object `params`.
fn read(stated: &Value) -> Result<Statement, Fault> {
    if let Value::String(format) = stated {
        return Ok(Statement { format: format.clone(), ..Statement::default() });
    }
    let Some(fields) = stated.as_object() else {
        return Err(Fault { found: stated.to_string(), expected: "an object with a `format`" });
    };
    let inner = fields.get("params").map(|params| params.as_object().ok_or(params)).transpose();
    let inner = inner.map_err(|params| Fault { found: format!("params {params}"), expected: "an object" })?;
    for (name, value) in inner.into_iter().flatten() {
        match fields.get(name) {
            _ if name == "params" => {
                return Err(Fault { found: "params within params".into(), expected: "params once" });
            }
            Some(outer) if outer != value => {
                let found = format!("{name} {outer}, and {value} in params");
                return Err(Fault { found, expected: "one of the two" });
            }
            _ => {}
        }
    }
    let (mut statement, mut rotated, mut rotation) = (Statement::default(), None, None);
    for (name, value) in inner.into_iter().flatten().chain(fields) {
        let fault = |expected| Fault { found: format!("{name} {value}"), expected };
        let count = || value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
        match name.as_str() {
            "format" => value.as_str().ok_or_else(|| fault("a name"))?.clone_into(&mut statement.format),
            "per_row" => statement.per_row = Some(value.as_bool().ok_or_else(|| fault("true or false"))?),
            "convrot" => rotated = Some(value.as_bool().ok_or_else(|| fault("true or false"))?),
            "convrot_groupsize" => rotation = Some(count().ok_or_else(|| fault("a number of values"))?),
            "group_size" => statement.block = Some(count().ok_or_else(|| fault("a number of values"))?),
            "orig_shape" => {
                let sides: Option<Vec<usize>> = value.as_array().and_then(|sides| {
                    sides.iter().map(|side| usize::try_from(side.as_u64()?).ok()).collect::<Option<_>>()
                });
                statement.shape = Some(sides.ok_or_else(|| fault("a shape"))?);
            }
            "params" => {}
            name if IDLE.contains(&name) => {}
            _ => return Err(fault("no such field: nobody here knows what it changes")),
        }
    }
    statement.rotation = match (rotated, rotation) {
        (Some(true), size) => Some(size.unwrap_or(ROTATED)),
        (None, Some(size)) => {
            let found = format!("convrot_groupsize {size} without convrot");
            return Err(Fault { found, expected: "convrot true beside it, or none of the two" });
        }
        (Some(false), _) | (None, None) => None,
    };
    if statement.format.is_empty() {
        return Err(Fault { found: stated.to_string(), expected: "an object with a `format`" });
    }
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_understood_or_refused() {
        let format = |name: &str| Statement { format: name.into(), ..Statement::default() };
        for (stated, expected) in [
            (json!("nvfp4"), format("nvfp4")),
            (
                json!({"format": "nvfp4", "full_precision_matrix_mult": true, "orig_dtype": "torch.bfloat16"}),
                format("nvfp4"),
            ),
            (
                json!({"format": "int8_tensorwise", "convrot": false, "per_row": true}),
                Statement { per_row: Some(true), ..format("int8_tensorwise") },
            ),
            (
                json!({"format": "int8_tensorwise", "convrot": true}),
                Statement { rotation: Some(256), ..format("int8_tensorwise") },
            ),
            (
                json!({"format": "int8_tensorwise", "params": {"convrot": true, "convrot_groupsize": 64}}),
                Statement { rotation: Some(64), ..format("int8_tensorwise") },
            ),
            (
                json!({"format": "int8_tensorwise", "convrot": false, "convrot_groupsize": 64}),
                format("int8_tensorwise"),
            ),
            (
                json!({"format": "int8_tensorwise", "convrot": true, "params": {"convrot": true, "convrot_groupsize": 16}}),
                Statement { rotation: Some(16), ..format("int8_tensorwise") },
            ),
            (
                json!({"format": "mxfp8", "group_size": 32, "orig_shape": [40, 64]}),
                Statement { block: Some(32), shape: Some(vec![40, 64]), ..format("mxfp8") },
            ),
        ] {
            assert_eq!(read(&stated).ok(), Some(expected), "{stated}");
        }
        let of = |block, shape: Option<[usize; 2]>| Statement {
            block,
            shape: shape.map(|sides| sides.to_vec()),
            ..format("mxfp8")
        };
        assert_eq!(of(Some(32), None).joined(of(None, Some([40, 64]))), Ok(of(Some(32), Some([40, 64]))));
        let by_row = |per_row| Statement { per_row: Some(per_row), ..format("mxfp8") };
        assert_eq!(by_row(true).joined(format("mxfp8")), Ok(by_row(true)));
        assert!(by_row(true).joined(by_row(false)).unwrap_err()[0].contains("per_row false"));
        assert!(of(Some(32), None).joined(of(Some(16), None)).unwrap_err()[0].contains("group_size 16"));
        assert!(of(None, Some([40, 64])).joined(of(None, Some([41, 64]))).is_err());
        assert!(format("nvfp4").joined(format("mxfp8")).unwrap_err()[1].contains("nvfp4"));
        for stated in [
            json!(1),
            json!({}),
            json!({"format": 4}),
            json!({"format": "nvfp4", "transposed": true}),
            json!({"format": "nvfp4", "params": 3}),
            json!({"format": "int8_tensorwise", "per_row": "yes"}),
            json!({"format": "nvfp4", "group_size": -1}),
            json!({"format": "int8_tensorwise", "convrot": 1}),
            json!({"format": "int8_tensorwise", "convrot_groupsize": 64}),
            json!({"format": "int8_tensorwise", "params": {"convrot_groupsize": 64}}),
            json!({"format": "int8_tensorwise", "convrot": false, "params": {"convrot": true}}),
            json!({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 64, "params": {"convrot_groupsize": 16}}),
            json!({"format": "int8_tensorwise", "params": {"format": "float8_e4m3fn"}}),
            json!({"format": "int8_tensorwise", "params": {"params": {"convrot": true}}}),
        ] {
            assert!(read(&stated).is_err(), "{stated}");
        }
    }
}
