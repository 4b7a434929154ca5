//! Entries of headers that published files have and that change nothing of what is computed, each with the reason; and those that
//! are read elsewhere in this engine.
//!
//! Must not know what is done about an entry that is not known.

use super::telling;
use crate::gguf::SHAPE_OF;
use ltx_types::{MODEL_VERSION, VAE_VERSION};

/// Entries that change nothing: names, beginnings of names, and why.
struct Idle {
    names: &'static [&'static str],
    heads: &'static [&'static str],
    #[cfg_attr(not(test), expect(dead_code, reason = "said in the list, for people"))]
    why: &'static str,
}

const IDLE: [Idle; 10] = [
    Idle { names: &["format"], heads: &[], why: "the framework whose tensors were written" },
    Idle {
        names: &[
            "license",
            "licence",
            "license_name",
            "license_link",
            "author",
            "authors",
            "name",
            "title",
            "description",
            "tags",
            "comment",
            "date",
            "url",
        ],
        heads: &["modelspec."],
        why: "for people: names, terms, descriptions",
    },
    Idle { names: &["encrypted_wandb_properties"], heads: &[], why: "Lightricks' mark of a training run" },
    Idle { names: &["prompt", "workflow"], heads: &[], why: "the graph of ComfyUI that saved the file" },
    Idle {
        names: &[
            "general.alignment",
            "general.author",
            "general.basename",
            "general.datasets",
            "general.description",
            "general.doi",
            "general.file_type",
            "general.finetune",
            "general.languages",
            "general.license",
            "general.name",
            "general.organization",
            "general.parameter_count",
            "general.quantized_by",
            "general.repo_url",
            "general.size_label",
            "general.tags",
            "general.type",
            "general.url",
            "general.uuid",
            "general.version",
        ],
        heads: &["general.base_model.", "general.dataset.", "general.license.", "general.sampling.", "general.source."],
        why: "llama.cpp's account of where a file is from; alignment is read with the file",
    },
    Idle {
        names: &[],
        heads: &["split."],
        why: "which part of a file in several it is: keys that are missing are told of",
    },
    Idle {
        names: &[],
        heads: &["quantize.imatrix.", "imatrix.", "mradermacher."],
        why: "how a GGUF was quantised: every tensor has its type",
    },
    Idle {
        names: &[
            "ss_adaptive_noise_scale",
            "ss_dataset_config",
            "ss_guidance_scale",
            "ss_huber_scale",
            "ss_ip_noise_gamma_random_strength",
            "ss_mode_scale",
            "ss_noise_offset_random_strength",
            "ss_rank_dropout",
            "ss_scale_weight_norms",
            "ss_sigmoid_scale",
            "ss_training_config",
        ],
        heads: &[],
        why: "kohya's record of a training: noise, losses, data; how far pairs were held, which their values show",
    },
    Idle {
        names: &[
            "software",
            "training_info",
            "base_model",
            "base_model_name",
            "trigger_word",
            "trigger_words",
            "instance_prompt",
        ],
        heads: &["sshs_", "ot_"],
        why: "a trainer's record; OneTrainer's configuration (ot_config), whose pairs have alpha tensors",
    },
    Idle { names: &[MODEL_VERSION, VAE_VERSION], heads: &[], why: "read where versions are" },
];

/// Entries of checkpoints and text encoders that are read elsewhere.
const READ: [&str; 5] =
    ["config", "gemma_config", "gemma_source_checkpoint", "_quantization_metadata", "tokenizer.huggingface.json"];
/// Entries that are read as one value, beside those.
const SINGLE: [&str; 4] = ["general.architecture", "general.quantization_version", MODEL_VERSION, VAE_VERSION];
/// The same among those of a tokenizer in a GGUF: what stands before their own names, those names, and how others begin or end.
const TOKENIZER: &str = "tokenizer.ggml.";
const SINGLE_OF_TOKENIZER: [&str; 3] = ["model", "pre", "remove_extra_whitespaces"];
const SWITCH: &str = "add_";
const ID: &str = "_token_id";
/// Beginnings of such entries whose rest names a tensor: its shape.
const OF_TENSORS: [&str; 1] = [SHAPE_OF];
/// Beginnings of such entries: a tokenizer's.
const READ_HEADS: [&str; 1] = ["tokenizer."];
/// Architectures of GGUF files whose own entries are read elsewhere.
const READ_ARCHITECTURES: [&str; 3] = ["gemma3", "t5", "t5encoder"];

/// Entries whose names sound as if they counted, and of which published files have others that do.
const SAID: [&str; 4] = ["quant_format", "quant_mixed_hi_layers", "quant_source", "quant_type"];

/// Whether an entry changes nothing, by its name. A beginning alone does not say so of one that sounds as if it counted.
pub(crate) fn is_idle(name: &str) -> bool {
    let begun = |idle: &Idle| idle.heads.iter().any(|head| name.starts_with(head)) && telling(name).is_none();
    IDLE.iter().any(|idle| idle.names.contains(&name) || begun(idle))
}

/// Whether an entry of a checkpoint or a text encoder is read elsewhere. A beginning alone does not say so of one that sounds as if it
/// counted.
pub(crate) fn is_read(name: &str) -> bool {
    let begun = |heads: &[&str]| heads.iter().any(|head| name.starts_with(head));
    READ.contains(&name) || begun(&OF_TENSORS) || (begun(&READ_HEADS) && telling(name).is_none())
}

/// Whether an entry is read as one value, so that a list of values would be passed over.
pub(crate) fn is_one_value(name: &str) -> bool {
    let of_tokenizer = |own: &str| SINGLE_OF_TOKENIZER.contains(&own) || own.starts_with(SWITCH) || own.ends_with(ID);
    READ.contains(&name) || SINGLE.contains(&name) || name.strip_prefix(TOKENIZER).is_some_and(of_tokenizer)
}

/// Whether the own entries of an architecture are read elsewhere.
pub(crate) fn is_read_architecture(architecture: &str) -> bool {
    READ_ARCHITECTURES.contains(&architecture)
}

/// Whether an entry is said, whatever its name sounds like: tools write it beside what every layer states for itself.
pub(crate) fn is_said(name: &str) -> bool {
    SAID.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_a_reason_and_every_entry_one_place() {
        assert!(IDLE.iter().all(|idle| !idle.why.is_empty()));
        assert!(IDLE.iter().all(|idle| idle.names.len() + idle.heads.len() > 0));
        let mut names: Vec<_> = IDLE.iter().flat_map(|idle| idle.names).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(READ.iter().chain(&SAID).all(|name| !is_idle(name)));
        assert!(is_idle(MODEL_VERSION) && is_idle(VAE_VERSION));
        assert!(is_read("comfy.gguf.orig_shape.a.scale_shift_table") && is_read("tokenizer.ggml.scores"));
        assert!(!is_read("comfy.gguf.scale") && !is_read("comfy.gguf.orig_shapes") && !is_read("tokenizer.ggml.scale"));
        assert!(is_one_value("tokenizer.ggml.add_bos_token") && is_one_value("tokenizer.ggml.bos_token_id"));
        assert!(!is_one_value("tokenizer.ggml.added_tokens") && !is_one_value("tokenizer.ggml.tokens"));
        assert!(is_one_value("config") && is_one_value(MODEL_VERSION) && !is_one_value("general.tags"));
        assert!(is_idle("modelspec.title") && !is_idle("modelspec.lora_scale"));
    }
}
