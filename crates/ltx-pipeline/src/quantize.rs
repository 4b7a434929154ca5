//! An official checkpoint, a component of one, or a Gemma text encoder to GGUF: what the file says about itself, so that it needs
//! no other for the parts it has.
//!
//! Must not know how a tensor is converted.

use crate::{
    Result,
    inspect::inspect_opened,
    opened::{T5Files, TOKENIZER, TextFolder, checkpoint_in, configuration, stated},
};
use ltx_model::text_encoder::{GemmaConfig, Generation, Rope};
use ltx_types::CancelToken;
use ltx_weights::{
    MetaValue, Naming, QuantizeReport, QuantizeType, Recipe, TensorSet, WeightsError, quantize as quantize_tensors,
};
use std::path::{Path, PathBuf};

/// Reads `files`, accounts for every key as a load would, and writes them as one GGUF file to `out`. `progress` is told bytes
/// read and bytes in all.
///
/// # Errors
/// A file is not what it should be, `out` cannot be written, or `cancel` was asked for; then nothing is left of `out`.
pub fn quantize(
    files: &[PathBuf],
    out: &Path,
    (kind, keep): (QuantizeType, Vec<String>),
    cancel: &CancelToken,
    progress: impl FnMut(u64, u64),
) -> Result<QuantizeReport> {
    if let [path] = files
        && (path.is_dir() || holds_gemma_4(path)?)
    {
        if !path.join("model_index.json").exists() && T5Files::is_at(path) {
            let text = T5Files::open(path)?;
            text.account().complete()?;
            let recipe = Recipe { kind, keep, naming: Naming::T5, metadata: t5(&text)? };
            return Ok(quantize_tensors(&text.tensors, out, &recipe, cancel, progress)?);
        }
        if path.join("model_index.json").exists() {
            return quantize(&checkpoint_in(path)?, out, (kind, keep), cancel, progress);
        }
        let text = TextFolder::open(path)?;
        text.account().complete()?;
        if text.config.generation == Generation::Four {
            return Ok(quantize_tensors(&gemma_4_tensors(path)?, out, &gemma_4(&text, kind, keep)?, cancel, progress)?);
        }
        let recipe = Recipe { kind, keep, naming: Naming::Gemma { prefix: text.prefix }, metadata: gemma(&text)? };
        return Ok(quantize_tensors(&text.tensors, out, &recipe, cancel, progress)?);
    }
    let (inspected, set) = inspect_opened(files, &[])?;
    // What is not for this engine is never complete.
    let (true, Some(set)) = (inspected.report.is_complete(), set) else {
        let report = Box::new(inspected.report);
        return Err(WeightsError::Keys { file: inspected.path, report }.into());
    };
    let words = |key: &str, value: &str| (key.to_owned(), MetaValue::Text(value.to_owned()));
    let mut metadata =
        vec![words("general.architecture", "ltxv"), words("config", &configuration(&set, None)?.0.to_string())];
    metadata.extend(stated::entries(&set).iter().map(|(entry, value)| words(entry, value)));
    let recipe = Recipe { kind, keep, naming: Naming::Official, metadata };
    Ok(quantize_tensors(&set, out, &recipe, cancel, progress)?)
}

/// Whether a file is a whole text encoder of the generation whose files hold more than a language model.
fn holds_gemma_4(file: &Path) -> Result<bool> {
    let tensors = TensorSet::open_file(file)?;
    Ok(TextFolder::prefix_in(&tensors).is_some() && tensors.json("gemma_config")?.is_some())
}

/// All tensors of a text encoder, the text projection among them.
fn gemma_4_tensors(path: &Path) -> Result<TensorSet> {
    Ok(if path.is_dir() { TensorSet::open_folder(path)? } else { TensorSet::open_file(path)? })
}

/// Official names, the configuration and `tokenizer.json`: llama.cpp's keys for this model are not known here.
fn gemma_4(text: &TextFolder, kind: QuantizeType, keep: Vec<String>) -> Result<Recipe> {
    let tokenizer = String::from_utf8_lossy(&text.tokenizer_json()?).into_owned();
    let words = |key: &str, value: String| (key.to_owned(), MetaValue::Text(value));
    let metadata = vec![
        words("general.architecture", "gemma4_unified".to_owned()),
        words("config", text.config_json().to_string()),
        words(TOKENIZER, tokenizer),
    ];
    Ok(Recipe { kind, keep, naming: Naming::Official, metadata })
}

/// llama.cpp's keys of T5's encoder, and beside them the whole configuration and `tokenizer.json`.
fn t5(text: &T5Files) -> Result<Vec<(String, MetaValue)>> {
    let words = |key: &str, value: String| (key.to_owned(), MetaValue::Text(value));
    let whole = |key: &str, value: usize| (format!("t5encoder.{key}"), MetaValue::Whole(value as u32));
    let config = &text.config;
    let tokenizer = String::from_utf8_lossy(&text.tokenizer_json()?.0).into_owned();
    Ok(vec![
        words("general.architecture", "t5encoder".to_owned()),
        whole("block_count", config.num_layers),
        whole("embedding_length", config.d_model),
        whole("feed_forward_length", config.d_ff),
        whole("attention.head_count", config.num_heads),
        whole("attention.key_length", config.d_kv),
        whole("attention.relative_buckets_count", config.relative_attention_num_buckets),
        words("config", config.to_json().to_string()),
        words(TOKENIZER, tokenizer),
    ])
}

/// llama.cpp's keys, and beside them the whole configuration and `tokenizer.json`.
fn gemma(text: &TextFolder) -> Result<Vec<(String, MetaValue)>> {
    // As it was read, which may be from several places; every entry is stated.
    let config = text.config_json().to_string();
    let tokenizer = String::from_utf8_lossy(&text.tokenizer_json()?).into_owned();
    let words = |key: &str, value: String| (key.to_owned(), MetaValue::Text(value));
    let whole = |key: &str, value: usize| (format!("gemma3.{key}"), MetaValue::Whole(value as u32));
    let real = |key: &str, value: f64| (format!("gemma3.{key}"), MetaValue::Real(value as f32));
    let GemmaConfig { hidden_size, intermediate_size, num_hidden_layers, head_dim, .. } = text.config;
    let Rope { theta, factor, .. } = text.config.rope(true);
    let mut metadata = vec![
        words("general.architecture", "gemma3".to_owned()),
        whole("embedding_length", hidden_size),
        whole("feed_forward_length", intermediate_size),
        whole("block_count", num_hidden_layers),
        whole("attention.head_count", text.config.num_attention_heads),
        whole("attention.head_count_kv", text.config.num_key_value_heads),
        whole("attention.key_length", head_dim),
        whole("attention.value_length", head_dim),
        whole("attention.sliding_window", text.config.sliding_window),
        real("attention.layer_norm_rms_epsilon", text.config.rms_norm_eps),
        real("rope.freq_base", theta),
    ];
    if factor != 1.0 {
        metadata.push(words("gemma3.rope.scaling.type", "linear".to_owned()));
        metadata.push(real("rope.scaling.factor", factor));
    }
    metadata.push(words("config", config));
    metadata.push(words(TOKENIZER, tokenizer));
    Ok(metadata)
}
