//! Gemma-3's configuration as llama.cpp's GGUF files state it, under `gemma3.`. What they leave out is the same for every
//! Gemma-3: the base of the sliding layers, one global layer in six, and scores divided by the square root of the head's width
//! (for 27B: of hidden width over heads).
//!
//! Must not know files.

use super::{GemmaConfig, layers, sizes::Size};
use crate::config::{Entries, positive};
use ltx_nn::{NnError, Result};
use ltx_types::json::{Contradiction, joined};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a GGUF file states under `gemma3.`, the rest of each key with its value.
#[derive(Debug, Clone, Default)]
pub struct LlamaKeys {
    /// Numbers, words, and `true` and `false`.
    pub values: BTreeMap<String, String>,
    /// Lists of numbers.
    pub lists: BTreeMap<String, Vec<f64>>,
    /// Rows of the embedding, 0 where it is not there.
    pub vocabulary: usize,
    /// Layers that there are tensors of, 0 where that is not known.
    pub layers: usize,
    /// The id of `<bos>`, stated with the tokenizer.
    pub bos: Option<u32>,
    /// The id of `<pad>`, likewise.
    pub pad: Option<u32>,
}

/// What positions of global layers are divided by in a file that does not say it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnstatedFactor {
    /// By how much.
    pub factor: f64,
    /// The published model that has the file's sizes, if one has.
    pub size: Option<&'static str>,
}

/// Layers of the 27B model, which divides scores otherwise.
const LAYERS_OF_27B: u64 = 62;

/// Keys that hold a whole number, and the entry of `config.json` that says the same.
const WHOLE: [(&str, &str); 9] = [
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.sliding_window", "sliding_window"),
    ("context_length", "max_position_embeddings"),
    ("vocab_size", "vocab_size"),
];

const KEYS: Entries<'static> = Entries {
    of: "gemma3",
    read: &[
        "attention.layer_norm_rms_epsilon",
        "attention.scale",
        "attention.sliding_window_pattern",
        "attention.value_length",
        "rope.dimension_count",
        "rope.freq_base",
        "rope.freq_base_swa",
        "rope.global.freq_base",
        "rope.local.freq_base",
        "rope.scaling.factor",
        "rope.scaling.type",
    ],
    fixed: &[
        ("attention.causal", "true"),
        ("rope.scaling.attn_factor", "1.0"),
        ("attn_logit_softcapping", "0"),
        ("final_logit_softcapping", "0"),
    ],
    idle: &["rope.scaling.finetuned", "rope.scaling.original_context_length", "tensor_data_layout"],
    idle_heads: &["vision.", "mm."],
};

impl LlamaKeys {
    /// The entries of `config.json` that the keys state, and no others.
    ///
    /// # Errors
    /// A key that nobody here knows, or with a value that is not implemented.
    fn stated(&self) -> Result<Map<String, Value>> {
        self.check()?;
        let mut entries = Map::new();
        let mut put = |entry: &str, value: Value| drop(entries.insert(entry.to_owned(), value));
        put("model_type", json!("gemma3_text"));
        if self.vocabulary > 0 {
            put("vocab_size", json!(self.vocabulary));
        }
        for (entry, id) in [("bos_token_id", self.bos), ("pad_token_id", self.pad)] {
            if let Some(id) = id {
                put(entry, json!(id));
            }
        }
        for (key, entry) in WHOLE {
            if let Some(number) = self.whole(key)? {
                put(entry, json!(number));
            }
        }
        if let Some(epsilon) = self.real("attention.layer_norm_rms_epsilon")? {
            put("rms_norm_eps", json!(epsilon));
        }
        let layers = self.whole("block_count")?.unwrap_or(0);
        if let Some(scale) = self.real("attention.scale")? {
            positive("gemma3.attention.scale", scale)?;
            // Stored in 32 bits, so that a whole number comes back a little off.
            let (exact, whole) = (scale.powi(-2), scale.powi(-2).round());
            put("query_pre_attn_scalar", json!(if (exact - whole).abs() <= 1e-6 * whole { whole } else { exact }));
        } else if let (LAYERS_OF_27B, Some(hidden), Some(heads)) =
            (layers, self.real("embedding_length")?, self.real("attention.head_count")?)
        {
            put("query_pre_attn_scalar", json!(hidden / heads));
        }
        if let Some(types) = self.layer_types(layers as usize)? {
            put("layer_types", json!(types));
        }
        if let Some(ropes) = self.ropes()? {
            put("rope_parameters", ropes);
        }
        Ok(entries)
    }

    /// What global layers divide positions by where no key says it: as the published model of these sizes does. Nothing where a key
    /// says it, or no published model has these sizes.
    ///
    /// # Errors
    /// A size that is no whole number.
    pub fn unstated_factor(&self) -> Result<Option<UnstatedFactor>> {
        if ["type", "factor"].iter().any(|key| self.values.contains_key(&format!("rope.scaling.{key}"))) {
            return Ok(None);
        }
        let number = |key: &str| Ok::<_, NnError>(self.whole(key)?.unwrap_or(0));
        let widths = [number("embedding_length")?, number("feed_forward_length")?, number("attention.key_length")?];
        let heads = [number("attention.head_count")?, number("attention.head_count_kv")?];
        let size = Size::of(number("block_count")?, widths, heads);
        Ok(Some(UnstatedFactor { factor: size.map_or(1.0, |size| size.factor), size: size.map(|size| size.name) }))
    }

    fn check(&self) -> Result<()> {
        for (key, text) in self.values.iter().filter(|(key, _)| !WHOLE.iter().any(|(whole, _)| key == whole)) {
            let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
            KEYS.check(&json!({ key: value }))?;
        }
        for (key, list) in &self.lists {
            if key != "attention.sliding_window_pattern" && !KEYS.idle_heads.iter().any(|head| key.starts_with(head)) {
                return Err(NnError::unsupported(format!("gemma3.{key}"), format!("{list:?}"), "one number"));
            }
        }
        let width = self.whole("attention.key_length")?;
        for same in ["attention.value_length", "rope.dimension_count"] {
            match (self.whole(same)?, width) {
                (Some(found), Some(width)) if found != width => {
                    let expected = format!("{width}, as gemma3.attention.key_length states");
                    return Err(NnError::unsupported(format!("gemma3.{same}"), found, expected));
                }
                _ => {}
            }
        }
        let of_tensors = [
            ("vocab_size", self.vocabulary, "the rows of the embedding"),
            ("block_count", self.layers, "the layers that there are tensors of"),
        ];
        for (key, there, what) in of_tensors {
            match self.whole(key)? {
                Some(found) if there > 0 && found != there as u64 => {
                    return Err(NnError::unsupported(format!("gemma3.{key}"), found, format!("{there}, {what}")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn layer_types(&self, count: usize) -> Result<Option<Vec<&'static str>>> {
        const KEY: &str = "attention.sliding_window_pattern";
        if let Some(period) = self.whole(KEY)? {
            if period == 0 || count > 512 {
                return Err(NnError::unsupported(format!("gemma3.{KEY}"), period, "1..=512"));
            }
            return Ok(Some((1..=count as u64).map(|layer| layers::name(layer.is_multiple_of(period))).collect()));
        }
        // Of every layer: whether it slides.
        let types = self.lists.get(KEY).map(|list| list.iter().map(|slides| layers::name(*slides == 0.0)).collect());
        Ok(types)
    }

    fn ropes(&self) -> Result<Option<Value>> {
        let (mut global, mut sliding) = (Map::new(), Map::new());
        // Each by llama.cpp's name and by ollama's.
        let bases = [
            (&mut global, ["rope.freq_base", "rope.global.freq_base"]),
            (&mut sliding, ["rope.freq_base_swa", "rope.local.freq_base"]),
        ];
        for (of, [first, second]) in bases {
            let [one, other] = [self.real(first)?, self.real(second)?];
            if let (Some(one), Some(other)) = (one, other)
                && one != other
            {
                return Err(NnError::unsupported(
                    format!("gemma3.{second}"),
                    other,
                    format!("{one}, as gemma3.{first} states"),
                ));
            }
            if let Some(theta) = one.or(other) {
                of.insert("rope_theta".into(), json!(theta));
            }
        }
        let kind = self.values.get("rope.scaling.type").map(String::as_str);
        match (kind, self.real("rope.scaling.factor")?) {
            (None | Some("none"), None) => {}
            (None | Some("linear"), Some(factor)) => {
                global.insert("rope_type".into(), json!("linear"));
                global.insert("factor".into(), json!(factor));
            }
            (Some("linear"), None) => {
                return Err(NnError::unsupported("gemma3.rope.scaling.factor", "absent", "a number"));
            }
            (Some("none"), Some(factor)) => {
                return Err(NnError::unsupported("gemma3.rope.scaling.factor", factor, "none, or the type linear"));
            }
            (Some(other), _) => return Err(NnError::unsupported("gemma3.rope.scaling.type", other, "linear or none")),
        }
        let mut both = Map::new();
        for (name, one) in [("full_attention", global), ("sliding_attention", sliding)] {
            if !one.is_empty() {
                both.insert(name.into(), Value::Object(one));
            }
        }
        Ok((!both.is_empty()).then_some(Value::Object(both)))
    }

    fn real(&self, key: &str) -> Result<Option<f64>> {
        let Some(text) = self.values.get(key) else { return Ok(None) };
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.map(Some).ok_or_else(|| NnError::unsupported(format!("gemma3.{key}"), text, "a number"))
    }

    fn whole(&self, key: &str) -> Result<Option<u64>> {
        let Some(number) = self.real(key)? else { return Ok(None) };
        if number >= 0.0 && number.fract() == 0.0 && number < 1e15 {
            return Ok(Some(number as u64));
        }
        Err(NnError::unsupported(format!("gemma3.{key}"), number, "a whole number"))
    }

    /// Adds what the keys leave out to what they state, or the reverse: `config.json` beside a file is more complete.
    ///
    /// # Errors
    /// As [`GemmaConfig::from_llama`]; or, within, what both state and differently.
    pub fn agrees_with(&self, config: &GemmaConfig) -> Result<Result<(), Contradiction>> {
        let mut stated = Value::Object(self.stated()?);
        // A longer context than another says changes nothing, nor do rows of the embedding that no token has.
        if let Some(entries) = stated.as_object_mut() {
            entries.remove("max_position_embeddings");
            entries.remove("vocab_size");
        }
        Ok(joined(&mut stated, config.to_json()))
    }
}

impl GemmaConfig {
    /// From what a GGUF file of llama.cpp's states.
    ///
    /// # Errors
    /// A value is missing, is no number, or is one that this engine does not implement; or as [`Self::from_json`].
    pub fn from_llama(keys: &LlamaKeys) -> Result<Self> {
        let mut entries = keys.stated()?;
        let needed = WHOLE.iter().filter(|(key, _)| !["context_length", "vocab_size"].contains(key));
        let needed = needed.copied().chain([("attention.layer_norm_rms_epsilon", "rms_norm_eps")]);
        for (key, entry) in needed.chain([("rope.freq_base", "rope_parameters")]) {
            if !entries.contains_key(entry) {
                return Err(NnError::unsupported(format!("gemma3.{key}"), "absent", "a number"));
            }
        }
        if let Some(UnstatedFactor { factor, .. }) = keys.unstated_factor()?
            && factor != 1.0
        {
            let ropes = entries.get_mut("rope_parameters").and_then(|ropes| ropes.as_object_mut());
            if let Some(ropes) = ropes {
                let global = ropes.entry("full_attention").or_insert_with(|| json!({}));
                global["rope_type"] = json!("linear");
                global["factor"] = json!(factor);
            }
        }
        if !entries.contains_key("query_pre_attn_scalar") {
            let width = entries.get("head_dim").cloned().unwrap_or_default();
            entries.insert("query_pre_attn_scalar".into(), width);
        }
        Self::from_json(&Value::Object(entries))
    }
}
