//! What published files call their tensors, and what the official ones do. Everything above this file knows official keys only.
//!
//! - Transformer-only files (as ComfyUI and its GGUF converters publish them) leave out `model.diffusion_model.`, VAE-only
//!   files `vae.`, files of the text projection `text_embedding_projection.`.
//! - diffusers' folders for LTX-Video 0.9.x have names of their own ([`crate::diffusers`]).
//! - An audio VAE without `audio_vae.` has the video VAE's names; its shapes tell.
//! - llama.cpp names Gemma-3's tensors its own way, and its norm weights already hold the 1 that the model adds.
//!
//! Must not know shapes.

use crate::{
    Result, WeightsError,
    diffusers::Component,
    vocabulary::{AUDIO, GEMMA, OFFICIAL, PREFIXES, Prefix, TRANSFORMER, VISION, VISION_HEADS},
    weight_file::Header,
};
use std::path::Path;

/// llama.cpp's names within a Gemma-3 layer, and the official ones. Norms hold the 1 that the model adds.
pub(crate) const GEMMA_LAYER: [(&str, &str); 13] = [
    ("attn_norm.weight", "input_layernorm.weight"),
    ("post_attention_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_norm.weight", "pre_feedforward_layernorm.weight"),
    ("post_ffw_norm.weight", "post_feedforward_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("attn_q_norm.weight", "self_attn.q_norm.weight"),
    ("attn_k_norm.weight", "self_attn.k_norm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
];
/// llama.cpp's names outside the layers of Gemma-3, and the official ones.
pub(crate) const GEMMA_ROOT: [(&str, &str); 3] = [
    ("token_embd.weight", "embed_tokens.weight"),
    ("output_norm.weight", "norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// Before the keys of the transformer as some tools have them.
const DIFFUSION: &str = "diffusion_model.";
/// Beginnings of keys that only T5's encoder has.
const T5_MARKS: [&str; 2] = ["encoder.block.", "encoder.final_layer_norm."];
/// llama.cpp's names within a layer of T5's encoder, and the official ones.
pub(crate) const T5_LAYER: [(&str, &str); 10] = [
    ("attn_norm.weight", "layer.0.layer_norm.weight"),
    ("attn_q.weight", "layer.0.SelfAttention.q.weight"),
    ("attn_k.weight", "layer.0.SelfAttention.k.weight"),
    ("attn_v.weight", "layer.0.SelfAttention.v.weight"),
    ("attn_o.weight", "layer.0.SelfAttention.o.weight"),
    ("attn_rel_b.weight", "layer.0.SelfAttention.relative_attention_bias.weight"),
    ("ffn_norm.weight", "layer.1.layer_norm.weight"),
    ("ffn_gate.weight", "layer.1.DenseReluDense.wi_0.weight"),
    ("ffn_up.weight", "layer.1.DenseReluDense.wi_1.weight"),
    ("ffn_down.weight", "layer.1.DenseReluDense.wo.weight"),
];
/// The same outside the layers.
pub(crate) const T5_ROOT: [(&str, &str); 2] =
    [("token_embd.weight", "shared.weight"), ("enc.output_norm.weight", "encoder.final_layer_norm.weight")];

/// Whose names a file's tensors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// LTX's, with the official prefixes or without.
    Ltx,
    /// Those of an LTX audio VAE, which are also the video VAE's, or of its vocoder, without their prefixes.
    Audio,
    /// Those of a component of diffusers' folders for LTX-Video 0.9.x.
    Diffusers(Component),
    /// T5's, which begin like an autoencoder's.
    T5,
    /// llama.cpp's of a T5.
    T5Llama,
    /// llama.cpp's of a Gemma-3.
    Gemma,
    /// llama.cpp's of what a language model sees images with.
    Vision,
}

impl Names {
    fn of(header: &Header, map: &[u8]) -> Self {
        let architecture = header.texts.get("general.architecture").and_then(|range| map.get(range.clone()));
        match architecture {
            Some(b"gemma3") => Self::Gemma,
            Some(b"clip") => Self::Vision,
            Some(b"t5" | b"t5encoder") => Self::T5Llama,
            _ if header.entries.keys().any(|key| T5_MARKS.iter().any(|mark| key.starts_with(mark))) => Self::T5,
            _ if is_audio_vae(header) => Self::Audio,
            _ => Component::of(header).map_or(Self::Ltx, Self::Diffusers),
        }
    }

    fn official(self, key: &str) -> String {
        match self {
            Self::Ltx => official_ltx(key),
            Self::Diffusers(component) => component.official(key),
            Self::Audio => match AUDIO.iter().find(|prefix| prefix.heads.iter().any(|head| key.starts_with(head))) {
                Some(Prefix { official, .. }) => format!("{official}{key}"),
                None => official_ltx(key),
            },
            Self::T5 => key.to_owned(),
            Self::T5Llama => official_t5(key),
            Self::Gemma if VISION_HEADS.iter().any(|head| key.starts_with(head)) => format!("{VISION}{key}"),
            Self::Gemma => official_gemma(key),
            Self::Vision => format!("{VISION}{key}"),
        }
    }
}

/// Whether a file is an LTX audio VAE: its first convolutions are two-dimensional.
fn is_audio_vae(header: &Header) -> bool {
    let flat = |key| header.entries.get(key).is_some_and(|entry| entry.shape.len() == 4);
    flat("encoder.conv_in.conv.weight") || flat("decoder.conv_in.conv.weight")
}

/// Renames a file's tensors to what the official files call them.
///
/// # Errors
/// Two tensors of the file are the same one.
pub(crate) fn make_official(path: &Path, header: &mut Header, map: &[u8]) -> Result<()> {
    let names = Names::of(header, map);
    for (key, mut entry) in std::mem::take(&mut header.entries) {
        let official = names.official(&key);
        entry.plus_one = names == Names::Gemma && official != key && official.ends_with("norm.weight");
        if header.entries.insert(official.clone(), entry).is_some() {
            let (first, second, how) = (path.to_owned(), path.to_owned(), "by two names".to_owned());
            return Err(WeightsError::DuplicateKey { key: official, first, second, how });
        }
    }
    let stated = std::mem::take(&mut header.stated);
    header.stated = stated.into_iter().map(|(key, statement)| (names.official(&key), statement)).collect();
    Ok(())
}

/// The official name of a key of an LTX file; others stay as they are.
pub(crate) fn official_ltx(key: &str) -> String {
    let starts = |heads: &[&str]| heads.iter().any(|head| key.starts_with(head));
    if starts(&OFFICIAL) {
        return key.to_owned();
    }
    if key.starts_with(DIFFUSION) {
        return format!("model.{key}");
    }
    match PREFIXES.iter().find(|prefix| starts(prefix.heads)) {
        Some(Prefix { official, .. }) => format!("{official}{key}"),
        None => key.to_owned(),
    }
}

/// What the tensors of a file are called officially, by its own keys.
pub(crate) fn official_of(header: &Header, map: &[u8]) -> impl Fn(&str) -> String + use<> {
    let names = Names::of(header, map);
    move |key| names.official(key)
}

/// Keys that the weight of a layer may have whose name stands in a statement, official ones and with or without what tools put in front
/// of a model's names. The name as it stands comes first.
pub(crate) fn weight_keys(layer: &str) -> [String; 6] {
    let own = format!("{}.weight", layer.strip_suffix(".weight").unwrap_or(layer));
    let bare =
        [TRANSFORMER, DIFFUSION, GEMMA].iter().find_map(|head| own.strip_prefix(head)).unwrap_or(&own).to_owned();
    let of_transformer = format!("{TRANSFORMER}{bare}");
    [own.clone(), official_ltx(&own), official_ltx(&bare), of_transformer, bare, format!("{GEMMA}{own}")]
}

/// The official name of a tensor of llama.cpp's; others stay as they are.
fn official_gemma(key: &str) -> String {
    let renamed = |names: &[(&str, &'static str)], name: &str| {
        names.iter().find(|(theirs, _)| *theirs == name).map(|(_, official)| *official)
    };
    let layer = || {
        let (number, name) = key.strip_prefix("blk.")?.split_once('.')?;
        number.parse::<u16>().ok()?;
        Some(format!("{GEMMA}layers.{number}.{}", renamed(&GEMMA_LAYER, name)?))
    };
    let root = || renamed(&GEMMA_ROOT, key).map(|name| format!("{GEMMA}{name}"));
    layer().or_else(root).unwrap_or_else(|| key.to_owned())
}

/// The official name of a tensor of T5's encoder in a file of llama.cpp's; others stay as they are.
fn official_t5(key: &str) -> String {
    let renamed = |names: &[(&str, &'static str)], name: &str| {
        names.iter().find(|(theirs, _)| *theirs == name).map(|(_, official)| *official)
    };
    let layer = || {
        let (number, name) = key.strip_prefix("enc.blk.")?.split_once('.')?;
        number.parse::<u16>().ok()?;
        Some(format!("encoder.block.{number}.{}", renamed(&T5_LAYER, name)?))
    };
    layer().or_else(|| renamed(&T5_ROOT, key).map(str::to_owned)).unwrap_or_else(|| key.to_owned())
}

/// llama.cpp's name of a tensor of T5's encoder; `None` for what its files leave out.
pub(crate) fn llama_t5_name(key: &str) -> Option<String> {
    let theirs = |names: &[(&'static str, &str)], name: &str| {
        names.iter().find(|(_, official)| *official == name).map(|(theirs, _)| *theirs)
    };
    match key.strip_prefix("encoder.block.").and_then(|rest| rest.split_once('.')) {
        Some((number, name)) => Some(format!("enc.blk.{number}.{}", theirs(&T5_LAYER, name)?)),
        None => theirs(&T5_ROOT, key).map(str::to_owned),
    }
}

/// llama.cpp's name of a tensor of a Gemma folder, the folder's own prefix removed; `None` for what its files leave out.
pub(crate) fn llama_name(key: &str) -> Option<String> {
    let theirs = |names: &[(&'static str, &str)], name: &str| {
        names.iter().find(|(_, official)| *official == name).map(|(theirs, _)| *theirs)
    };
    match key.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
        Some((number, name)) => Some(format!("blk.{number}.{}", theirs(&GEMMA_LAYER, name)?)),
        None => theirs(&GEMMA_ROOT, key).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_become_official_ones() {
        for (published, official) in [
            ("transformer_blocks.0.attn1.to_q.weight", "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight"),
            ("diffusion_model.proj_out.bias", "model.diffusion_model.proj_out.bias"),
            ("scale_shift_table", "model.diffusion_model.scale_shift_table"),
            ("audio_scale_shift_table", "model.diffusion_model.audio_scale_shift_table"),
            ("audio_aggregate_embed.bias", "text_embedding_projection.audio_aggregate_embed.bias"),
            ("per_channel_statistics.std-of-means", "vae.per_channel_statistics.std-of-means"),
            ("decoder.conv_in.conv.weight", "vae.decoder.conv_in.conv.weight"),
            ("audio_vae.encoder.conv_in.conv.weight", "audio_vae.encoder.conv_in.conv.weight"),
            ("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
            ("res_blocks.0.conv1.weight", "res_blocks.0.conv1.weight"),
        ] {
            assert_eq!(official_ltx(published), official);
        }
    }

    #[test]
    fn a_stated_layer_is_found_by_any_spelling_of_its_name() {
        let block = "transformer_blocks.0.attn1.to_q";
        for (layer, official) in [
            (block.to_owned(), format!("{TRANSFORMER}{block}.weight")),
            (format!("diffusion_model.{block}"), format!("{TRANSFORMER}{block}.weight")),
            (format!("model.{block}"), format!("{TRANSFORMER}{block}.weight")),
            ("some.layer".to_owned(), format!("{TRANSFORMER}some.layer.weight")),
            (format!("{TRANSFORMER}some.layer"), "some.layer.weight".to_owned()),
            (format!("{TRANSFORMER}{block}.weight"), format!("{TRANSFORMER}{block}.weight")),
            ("encoder.conv_in.conv".to_owned(), "vae.encoder.conv_in.conv.weight".to_owned()),
            ("layers.3.mlp.up_proj".to_owned(), "model.layers.3.mlp.up_proj.weight".to_owned()),
            ("model.layers.3.mlp.up_proj".to_owned(), "layers.3.mlp.up_proj.weight".to_owned()),
        ] {
            assert!(weight_keys(&layer).contains(&official), "{layer}");
        }
        assert!(!weight_keys("audio_vae.encoder.conv_in.conv").contains(&"vae.encoder.conv_in.conv.weight".to_owned()));
    }

    #[test]
    fn gemma_goes_to_llama_and_back() {
        for (official, theirs) in [
            ("layers.11.self_attn.q_proj.weight", "blk.11.attn_q.weight"),
            ("layers.0.pre_feedforward_layernorm.weight", "blk.0.ffn_norm.weight"),
            ("embed_tokens.weight", "token_embd.weight"),
            ("norm.weight", "output_norm.weight"),
        ] {
            assert_eq!(llama_name(official).as_deref(), Some(theirs));
            assert_eq!(official_gemma(theirs), format!("model.{official}"));
        }
        assert_eq!(llama_name("layers.0.something.weight"), None);
        assert_eq!(official_gemma("blk.x.attn_q.weight"), "blk.x.attn_q.weight");
    }
}
