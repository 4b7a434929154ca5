//! What a safetensors file states about the quantisation of its layers: the header's entry `_quantization_metadata`, and tensors
//! `….comfy_quant` that hold the same JSON for one layer. Source: `docs/QUANTIZATION`, `comfy/utils.py` and `comfy/ops.py` of ComfyUI.
//!
//! Must not know how a format is read.

use crate::{Result, WeightsError, vocabulary::TRANSFORMER, weight_file::Header};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Debug, path::Path};

/// The header's entry.
const ENTRY: &str = "_quantization_metadata";
/// The last word of a layer's tensor.
pub(super) const TENSOR: &str = "comfy_quant";
/// Bytes that such a tensor has at most.
const MOST: usize = 1 << 16;
/// Fields that change nothing here: how products are rounded is nothing that a file decides.
const IDLE: [&str; 3] = ["full_precision_matrix_mult", "orig_dtype", "per_row"];

/// What is stated about one layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Statement {
    pub(super) format: String,
    /// Values that are rotated together, if they are.
    pub(super) rotation: Option<usize>,
    /// The side of a block that shares a scale.
    pub(super) block: Option<usize>,
    /// The matrix's shape before it was filled up.
    pub(super) shape: Option<Vec<usize>>,
}

impl Statement {
    /// The statement of the header, with what a layer's own tensor states.
    ///
    /// # Errors
    /// They contradict each other: what the tensor states, and what the header does.
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
        Ok(Self { block: own.block.or(self.block), shape: own.shape.or(self.shape), ..self })
    }
}

/// The statements by what stands in front of a layer's `weight`, and the layers that are stated and not in this file.
///
/// # Errors
/// A statement is no JSON of the kind, states something that nobody here understands, or two contradict each other.
pub(super) fn collect(path: &Path, map: &[u8], header: &Header) -> Result<(BTreeMap<String, Statement>, Vec<String>)> {
    let (mut statements, mut elsewhere) = (BTreeMap::new(), Vec::new());
    if let Some(text) = header.values.get(ENTRY) {
        let what = "the metadata entry _quantization_metadata";
        let parsed: Value = serde_json::from_str(text).map_err(|source| WeightsError::BadJson {
            file: path.to_owned(),
            what,
            source,
        })?;
        let wrong = |found: String, expected: &str| WeightsError::Quantisation {
            file: path.to_owned(),
            key: ENTRY.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        match parsed.get("format_version") {
            None => {}
            Some(Value::String(version)) if version.starts_with("1.") || version == "1" => {}
            Some(Value::Number(version)) if version.as_f64() == Some(1.0) => {}
            Some(other) => return Err(wrong(format!("format_version {other}"), "1.0")),
        }
        let Some(layers) = parsed.get("layers").and_then(Value::as_object) else {
            return Err(wrong("no object `layers`".into(), "one with an entry for each quantised layer"));
        };
        for (layer, stated) in layers {
            let statement = read(stated).map_err(|fault| fault.of(path, layer))?;
            match stems_of(layer).into_iter().find(|stem| header.entries.contains_key(&format!("{stem}weight"))) {
                Some(stem) => drop(statements.insert(stem, statement)),
                // Where it lies in another file, that one states it, too.
                None => elsewhere.push(layer.clone()),
            }
        }
    }
    for (key, entry) in &header.entries {
        let Some(stem) = key.strip_suffix(TENSOR).filter(|stem| stem.is_empty() || stem.ends_with('.')) else {
            continue;
        };
        let bytes = map.get(entry.range.clone()).filter(|bytes| bytes.len() <= MOST).unwrap_or_default();
        let parsed: Value = serde_json::from_slice(bytes).map_err(|source| WeightsError::BadJson {
            file: path.to_owned(),
            what: "a tensor comfy_quant",
            source,
        })?;
        let statement = read(&parsed).map_err(|fault| fault.of(path, key))?;
        let joined = match statements.remove(stem) {
            Some(header) => Statement::joined(header, statement),
            None => Ok(statement),
        };
        let statement = joined.map_err(|[found, expected]| WeightsError::Quantisation {
            file: path.to_owned(),
            key: key.clone(),
            found,
            expected,
        })?;
        statements.insert(stem.to_owned(), statement);
    }
    Ok((statements, elsewhere))
}

/// What may stand in front of a stated layer's `weight`.
pub(crate) fn stems_of(layer: &str) -> [String; 4] {
    let bare = layer.strip_suffix(".weight").unwrap_or(layer);
    [
        format!("{bare}."),
        // What tools leave out in front of the transformer's keys.
        format!("{TRANSFORMER}{bare}."),
        format!("{}.", bare.strip_prefix(TRANSFORMER).unwrap_or(bare)),
        format!("{}.", bare.strip_prefix("model.").unwrap_or(bare)),
    ]
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
    let (mut statement, mut rotated, mut rotation) = (Statement::default(), false, 256);
    for (name, value) in inner.into_iter().flatten().chain(fields) {
        let fault = |expected| Fault { found: format!("{name} {value}"), expected };
        let count = || value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
        match name.as_str() {
            "format" => value.as_str().ok_or_else(|| fault("a name"))?.clone_into(&mut statement.format),
            "convrot" => rotated = value.as_bool().ok_or_else(|| fault("true or false"))?,
            "convrot_groupsize" => rotation = count().ok_or_else(|| fault("a number of values"))?,
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
    statement.rotation = rotated.then_some(rotation);
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
            (json!({"format": "int8_tensorwise", "convrot": false, "per_row": true}), format("int8_tensorwise")),
            (
                json!({"format": "int8_tensorwise", "convrot": true}),
                Statement { rotation: Some(256), ..format("int8_tensorwise") },
            ),
            (
                json!({"format": "int8_tensorwise", "params": {"convrot": true, "convrot_groupsize": 64}}),
                Statement { rotation: Some(64), ..format("int8_tensorwise") },
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
        assert!(of(Some(32), None).joined(of(Some(16), None)).unwrap_err()[0].contains("group_size 16"));
        assert!(of(None, Some([40, 64])).joined(of(None, Some([41, 64]))).is_err());
        assert!(format("nvfp4").joined(format("mxfp8")).unwrap_err()[1].contains("nvfp4"));
        for stated in [
            json!(1),
            json!({}),
            json!({"format": 4}),
            json!({"format": "nvfp4", "transposed": true}),
            json!({"format": "nvfp4", "params": 3}),
            json!({"format": "nvfp4", "group_size": -1}),
            json!({"format": "int8_tensorwise", "convrot": 1}),
        ] {
            assert!(read(&stated).is_err(), "{stated}");
        }
    }
}
