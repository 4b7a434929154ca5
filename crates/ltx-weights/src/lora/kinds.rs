//! Adapters that are no LoRA pairs, told by the names of their tensors and by the names that headers give them.
//!
//! Must not know files.

use crate::entries::{known, user};
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

/// The first entry of a header by which an IC-LoRA is known, and what it states: its name, where it is not switched off, or a
/// value that names the kind.
pub(super) fn reference<'a>(mut entries: impl Iterator<Item = (&'a str, &'a str)>) -> Option<(&'a str, &'a str)> {
    let is_off = |text: &str| {
        ["", "0", "no", "off", "false", "none", "null"].contains(&text.trim().to_ascii_lowercase().as_str())
    };
    // Of what changes nothing, one entry says what a file is.
    let states =
        |name: &str| !user::is_no_statement(name) && (name == "modelspec.architecture" || !known::is_idle(name));
    entries.find(|(name, text)| match is_reference(name) {
        true => !is_off(text),
        false => states(name) && names_ic_lora(text),
    })
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
        ] {
            assert_eq!(reference([("format", "pt"), (entry, text)].into_iter()), Some((entry, text)));
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
        ] {
            assert_eq!(reference([("format", "pt"), (entry, text)].into_iter()), None, "{entry}");
        }
    }
}
