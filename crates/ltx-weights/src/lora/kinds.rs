//! Adapters that are no LoRA pairs, told by the names of their tensors and by the names that headers give them.
//!
//! Must not know files.

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

/// Beginnings of entries by which an IC-LoRA is known: scales of its reference, or the transfer of HDR frames that it is given.
const REFERENCES: [&str; 7] =
    ["reference_", "hdr_transform", "use_hdr_transform", "ic_lora", "ic-lora", "iclora", "in_context"];
/// The end of such entries, whatever stands before it.
const REFERENCE_END: &str = "downscale_factor";
/// Entries that are for people, and may name what the file is not.
const FOR_PEOPLE: [&str; 5] = ["description", "comment", "usage_hint", "license", "tags"];
/// The longest text that is the name of a kind.
const KIND: usize = 120;

/// Whether an entry's name is of an IC-LoRA's.
pub(super) fn is_reference(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(REFERENCE_END) || REFERENCES.iter().any(|mark| name.starts_with(mark))
}

/// The first entry of a header by which an IC-LoRA is known, and what it states: its name, where it is not switched off, or a
/// value that names the kind.
pub(super) fn reference<'a>(mut entries: impl Iterator<Item = (&'a str, &'a str)>) -> Option<(&'a str, &'a str)> {
    let is_off = |text: &str| ["", "false", "none", "null"].contains(&text.trim().to_ascii_lowercase().as_str());
    let names_it = |text: &str| {
        let words = text.to_ascii_lowercase().replace(['_', ' '], "-");
        text.len() <= KIND
            && (words.contains("ic-lora") || words.contains("iclora") || words.contains("in-context-lora"))
    };
    entries.find(|(name, text)| match is_reference(name) {
        true => !is_off(text),
        false => !FOR_PEOPLE.iter().any(|word| name.ends_with(word)) && names_it(text),
    })
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
        ] {
            assert_eq!(reference([("format", "pt"), (entry, text)].into_iter()), None, "{entry}");
        }
    }
}
