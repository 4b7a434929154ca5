//! Adapters that are no LoRA pairs, told by the names of their tensors and by the names that headers give them.
//!
//! Must not know files.

use super::stated::{Json, json_of};
use crate::entries::{known, shown, user};
use ltx_types::words;
use regex::Regex;
use std::sync::LazyLock;

/// Parts of a tensor's name between dots, and what they are of.
const TENSORS: [(&str, &str); 41] = [
    ("dora_scale", "a magnitude of DoRA"),
    ("lora_magnitude_vector", "a magnitude of DoRA"),
    ("hada_w1_a", "LoHa"),
    ("hada_w1_b", "LoHa"),
    ("hada_w2_a", "LoHa"),
    ("hada_w2_b", "LoHa"),
    ("hada_t1", "LoHa"),
    ("hada_t2", "LoHa"),
    ("lokr_w1", "LoKr"),
    ("lokr_w1_a", "LoKr"),
    ("lokr_w1_b", "LoKr"),
    ("lokr_w2", "LoKr"),
    ("lokr_w2_a", "LoKr"),
    ("lokr_w2_b", "LoKr"),
    ("lokr_t2", "LoKr"),
    ("oft_blocks", "OFT"),
    ("oft_diag", "OFT"),
    ("oft_r", "OFT"),
    ("oft_R", "OFT"),
    ("oft_s", "OFT"),
    ("boft_R", "BOFT"),
    ("boft_s", "BOFT"),
    ("ia3_l", "IA3"),
    ("on_input", "IA3"),
    ("a1", "GLoRA"),
    ("a2", "GLoRA"),
    ("b1", "GLoRA"),
    ("b2", "GLoRA"),
    ("diff", "a full difference (diff) of a weight"),
    ("diff_b", "a difference (diff_b) of a bias"),
    ("set_weight", "a replaced weight (set_weight)"),
    ("reshape_weight", "a reshaped weight (reshape_weight)"),
    ("w_norm", "a difference (w_norm) of a norm"),
    ("b_norm", "a difference (b_norm) of a norm's bias"),
    ("lora_mid", "the core (lora_mid) of a Tucker decomposition"),
    ("lora_E", "AdaLoRA"),
    ("lora_embedding_A", "a pair over an embedding"),
    ("lora_embedding_B", "a pair over an embedding"),
    ("vera_lambda_b", "VeRA"),
    ("vera_lambda_d", "VeRA"),
    ("scalar", "a scalar of LyCORIS"),
];

/// Words of `ss_network_module`, of `algo` in `ss_network_args` and of PEFT's `peft_type`, and the kinds that they name.
const NAMED: [(&str, &str); 24] = [
    ("loha", "LoHa"),
    ("lokr", "LoKr"),
    ("oft", "OFT"),
    ("boft", "BOFT"),
    ("diag-oft", "OFT"),
    ("ia3", "IA3"),
    ("dora", "DoRA"),
    ("glora", "GLoRA"),
    ("full", "a full difference of weights"),
    ("norms", "a difference of norms"),
    ("adalora", "AdaLoRA"),
    ("vera", "VeRA"),
    ("fourierft", "FourierFT"),
    ("xlora", "X-LoRA"),
    ("hra", "HRA"),
    ("bone", "Bone"),
    ("miss", "MiSS"),
    ("randlora", "RandLora"),
    ("shira", "SHiRA"),
    ("c3a", "C3A"),
    ("road", "RoAd"),
    ("waveft", "WaveFT"),
    ("delora", "DeLoRA"),
    ("ln_tuning", "LN tuning"),
];

/// What a tensor that is none of a pair belongs to.
pub(super) fn of_tensor(key: &str) -> Option<&'static str> {
    let words = || key.split('.');
    let by_word = || TENSORS.iter().find(|(word, _)| words().any(|found| found == *word)).map(|(_, kind)| *kind);
    let bias = ["lora_B", "lora_up"].iter().any(|up| words().any(|word| word == *up)) && key.ends_with(".bias");
    let whole = || (key.ends_with(".weight") || key.ends_with(".bias")).then_some("a whole tensor (modules_to_save)");
    if bias { Some("the bias of a pair (lora_bias)") } else { by_word().or_else(whole) }
}

/// Whether a tensor's name alone says that it is of an adapter.
pub(super) fn is_of_an_adapter(key: &str) -> bool {
    key.split('.').any(|word| {
        TENSORS.iter().any(|(known, _)| *known == word && !["scalar", "a1", "a2", "b1", "b2"].contains(&word))
    })
}

/// The kind that a word of a header names, if it is another than LoRA.
pub(super) fn named(word: &str) -> Option<&'static str> {
    NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, kind)| *kind)
}

/// Beginnings of the names of entries by which an IC-LoRA is known, word by word: scales of its reference, or the transfer of HDR
/// frames that it is given.
const REFERENCES: [&[&str]; 3] = [&["hdr", "transform"], &["use", "hdr", "transform"], &["in", "context"]];
/// The first of several words.
const REFERENCE: &str = "reference";
/// The end of such entries, whatever stands before it.
const REFERENCE_END: [&str; 2] = ["downscale", "factor"];
/// The kind itself, wherever a name has it.
const IC_LORA: [&[&str]; 3] = [&["ic", "lora"], &["iclora"], &["in", "context", "lora"]];
/// Last words of entries that say of which type something is, and what the type is called there.
const TYPES: [&str; 2] = ["type", "kind"];
const IN_CONTEXT: [&[&str]; 3] = [&["in", "context"], &["incontext"], &["ic"]];
/// Last words of entries that say how a training went about it, and the way that takes a reference clip (Lightricks' trainer).
const STRATEGIES: [&str; 1] = ["strategy"];
const BY_REFERENCE: [&[&str]; 1] = [&["video", "to", "video"]];
/// Entries with the graph of an editor, in which everything may stand.
const GRAPHS: [&str; 2] = ["prompt", "workflow"];
/// How deep entries in entries are looked at.
const DEPTH: usize = 16;
/// The longest text that is the name of a kind.
const KIND: usize = 120;

/// The kind in a text: words of their own, or of a name in camel case, so that "cinematic LoRA" is none.
static IN_A_TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let between = r"[-_. ]*";
    let first = format!(r"(?:(?:^|\P{{L}})(?i:ic|in{between}context)|\p{{Ll}}(?:Ic|In{between}[Cc]ontext))");
    Regex::new(&format!(r"{first}{between}(?i:loras?)(?:$|\P{{Ll}})")).ok()
});

/// Whether an entry's name is of an IC-LoRA's. What people wrote about a reference is none.
pub(super) fn is_reference(name: &str) -> bool {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let begun = REFERENCES.iter().any(|mark| words.starts_with(mark)) || matches!(words[..], [REFERENCE, _, ..]);
    let named = IC_LORA.iter().any(|kind| words.windows(kind.len()).any(|found| found == *kind));
    (begun || named || words.ends_with(&REFERENCE_END)) && !user::is_for_people(name)
}

/// The first entry of a header by which an IC-LoRA is known, and what it states: its name, where it is not switched off, a value that
/// names the kind, or one of these within JSON.
pub(super) fn reference<'a>(mut entries: impl Iterator<Item = (&'a str, &'a str)>) -> Option<(String, String)> {
    // Of what changes nothing, one entry says what a file is.
    let states =
        |name: &str| !user::is_no_statement(name) && (name == "modelspec.architecture" || !known::is_idle(name));
    entries.find_map(|(name, text)| {
        if is_reference(name) {
            return (!is_off(text)).then(|| (name.to_owned(), shown(text)));
        }
        let is_silent = || user::is_for_people(name) || user::is_of_data(name) || GRAPHS.contains(&name);
        match json_of(text) {
            Json::Text(text) => (states(name) && names_the_kind(name, &text)).then(|| (name.to_owned(), shown(&text))),
            _ if is_silent() => None,
            json => reference_in(&json, name, DEPTH).map(|(own, found)| (format!("{name}: {own}"), found)),
        }
    })
}

/// The same within JSON that stands under `name`, JSON within its texts included; what people wrote aside.
fn reference_in(json: &Json, name: &str, depth: usize) -> Option<(String, String)> {
    let depth = depth.checked_sub(1)?;
    match json {
        Json::Object(entries) => entries.iter().find_map(|(own, value)| {
            if is_reference(own) {
                let off = matches!(value, Json::Text(text) if is_off(text)) || value.is_empty();
                return (!off).then(|| (own.clone(), value.to_string()));
            }
            // The name of a strategy says which it is.
            let under = if own == "name" { name } else { own.as_str() };
            if under == own && (user::is_for_people(own) || user::is_of_data(own)) {
                return None;
            }
            match value {
                Json::Text(text) if names_the_kind(under, text) => Some((own.clone(), value.to_string())),
                value => reference_in(value, own, depth),
            }
        }),
        Json::List(list) => list.iter().find_map(|item| reference_in(item, name, depth)),
        Json::Text(text) => match json_of(text) {
            Json::Text(_) => None,
            inner => reference_in(&inner, name, depth),
        },
        Json::Null | Json::Bool(_) | Json::Number(_) => None,
    }
}

fn is_off(text: &str) -> bool {
    ["", "0", "no", "off", "false", "none", "null"].contains(&text.trim().to_ascii_lowercase().as_str())
}

/// Whether a value names the kind: by its whole name in a text, by a part of it where the entry is of a type, or by the strategy of a
/// training.
fn names_the_kind(name: &str, text: &str) -> bool {
    if names_ic_lora(text) {
        return true;
    }
    if text.len() > KIND {
        return false;
    }
    let name = words(name);
    let last = |known: &[&str]| name.last().is_some_and(|last| known.contains(&last.as_str()));
    let text = words(text);
    let is_one_of = |known: &[&[&str]]| known.iter().any(|known| text == *known);
    (last(&TYPES) && is_one_of(&IN_CONTEXT)) || (last(&STRATEGIES) && is_one_of(&BY_REFERENCE))
}

/// Whether a short text names the kind.
fn names_ic_lora(text: &str) -> bool {
    text.len() <= KIND && IN_A_TEXT.as_ref().is_some_and(|kind| kind.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_known_by_its_tensors() {
        let layer = "diffusion_model.transformer_blocks.0.attn1.to_q";
        for (tensor, kind) in [
            ("dora_scale", "DoRA"),
            ("lora_magnitude_vector.default.weight", "DoRA"),
            ("hada_w1_a", "LoHa"),
            ("lokr_w2_b", "LoKr"),
            ("oft_blocks", "OFT"),
            ("a1.weight", "GLoRA"),
            ("diff", "full difference"),
            ("diff_b", "difference (diff_b)"),
            ("set_weight", "set_weight"),
            ("lora_B.bias", "lora_bias"),
            ("lora_B.default.bias", "lora_bias"),
            ("lora_mid.weight", "Tucker"),
            ("weight", "modules_to_save"),
        ] {
            let found = of_tensor(&format!("{layer}.{tensor}"));
            assert!(found.is_some_and(|found| found.contains(kind)), "{tensor}: {found:?}");
        }
        assert_eq!(of_tensor("something.else"), None);
    }

    #[test]
    fn an_ic_lora_is_known_by_its_header() {
        for (entry, text) in [
            ("reference_downscale_factor", "1"),
            ("reference_temporal_scale_factor", "4"),
            ("downscale_factor", "2"),
            ("use_hdr_transform", "true"),
            ("modelspec.architecture", "ltx2/ic-lora"),
            ("model_type", "IC_LoRA"),
            ("model_type", "ltx2-ic-lora-v1"),
            ("adapter", "ICLoraPipeline"),
            ("kind", "LtxIcLora"),
            ("kind", "an in-context LoRA"),
            ("kind", "two IC LoRAs, merged"),
            ("is_ic_lora", "true"),
            ("useICLoRA", "1"),
            ("in_context_scale", "2"),
            ("referenceDownscaleFactor", "2"),
            ("ss_reference_downscale_factor", "2"),
            ("lora_type", "in-context"),
            ("adapter_type", "In_Context"),
            ("type", "ic"),
            ("training_strategy", "video_to_video"),
            ("ss_training_config", r#"{"ic_lora": true}"#),
            ("ss_training_config", r#"{"network": {"type": "ic-lora"}}"#),
            ("metadata", r#"{"reference_downscale_factor": 2}"#),
            ("metadata", r#"[{"a": {"reference_downscale_factor": 1}}]"#),
            ("metadata", r#"{"a": "{\"use_hdr_transform\": true}"}"#),
            ("training_config", r#"{"training_strategy": {"name": "video_to_video", "x": 1}}"#),
            ("config", r#"{"training_strategy": "video_to_video"}"#),
            ("ss_network_args", r#"{"ic_lora": "True"}"#),
        ] {
            let found = reference([("format", "pt"), (entry, text)].into_iter());
            let found = found.unwrap_or_else(|| panic!("{entry}: {text}")).0;
            assert!(found == entry || found.starts_with(&format!("{entry}: ")), "{text}: {found}");
        }
        for (entry, text) in [
            ("ss_network_dim", "4"),
            ("preferences", "none"),
            ("use_hdr_transform", "false"),
            ("ic_lora", "False"),
            ("modelspec.architecture", "ltx2/lora"),
            ("modelspec.description", "no IC-LoRA"),
            ("modelspec.title", "IC-LoRA of mine"),
            ("ss_output_name", "my_ic_lora"),
            ("ss_tag_frequency", r#"{"a": {"ic-lora": 3}}"#),
            ("base", "cinematic_lora_v1"),
            ("base", "Static LoRA"),
            ("kind", "Dynamic LoRA"),
            ("kind", "MagIC-LoRA"),
            ("kind", "epicLora"),
            ("kind", "panoramic.lora"),
            ("kind", "within context loras"),
            ("kind", "IC-LoRax"),
            ("kind", "ic-loranger"),
            ("magic_lora", "yes"),
            ("cinematicLora", "yes"),
            ("reference_paper", "arXiv 2501"),
            ("reference", "a book"),
            ("is_ic_lora", "0"),
            ("ss_training_config", r#"{"ic_lora": false, "reference_downscale_factor": null}"#),
            ("ss_training_config", r#"{"caption": "ic-lora", "output_name": "my_ic_lora"}"#),
            ("ss_datasets", r#"[{"type": "ic-lora"}]"#),
            ("workflow", r#"{"nodes": [{"type": "LTXICLoraLoader", "title": "IC-LoRA"}]}"#),
            ("config", r#"{"transformer": {"name": "video_to_video", "in_channels": 128}}"#),
            ("training_strategy", "text_to_video"),
            ("model_type", "ltx2"),
            ("comment_type", "a picture"),
        ] {
            assert_eq!(reference([("format", "pt"), (entry, text)].into_iter()), None, "{entry}");
        }
    }
}
