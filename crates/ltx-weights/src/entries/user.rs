//! Entries of headers that hold what people wrote, or what a training was fed with: captions, folders, titles. What stands in them is
//! no statement about the file, whatever words it has.
//!
//! Must not know what an entry that is a statement means.

use ltx_types::words;

/// Last words in the names of entries that are for people.
const FOR_PEOPLE: [&str; 68] = [
    "abstract",
    "alias",
    "author",
    "authors",
    "changelog",
    "citation",
    "comment",
    "comments",
    "contact",
    "copyright",
    "creator",
    "credit",
    "credits",
    "date",
    "desc",
    "description",
    "descriptions",
    "dir",
    "directory",
    "dirs",
    "doi",
    "example",
    "examples",
    "file",
    "filename",
    "folder",
    "hash",
    "hint",
    "hints",
    "homepage",
    "id",
    "instructions",
    "keyword",
    "keywords",
    "licence",
    "license",
    "link",
    "links",
    "message",
    "name",
    "names",
    "note",
    "notes",
    "paper",
    "path",
    "paths",
    "phrase",
    "phrases",
    "preview",
    "readme",
    "remark",
    "remarks",
    "repo",
    "repository",
    "subtitle",
    "summary",
    "terms",
    "thumbnail",
    "title",
    "titles",
    "trigger",
    "triggers",
    "url",
    "urls",
    "usage",
    "user",
    "username",
    "website",
];

/// Words in the names of entries that hold what a training was fed with, or a picture of that.
const DATA: [&str; 22] = [
    "bucket",
    "buckets",
    "caption",
    "captions",
    "concept",
    "concepts",
    "dataset",
    "datasets",
    "folders",
    "images",
    "keep",
    "prompt",
    "prompts",
    "sample",
    "samples",
    "shuffle",
    "subset",
    "subsets",
    "tag",
    "tags",
    "validation",
    "wildcards",
];

/// Words in the names of a record's entries that are about how a training went.
const TRAINING: [&str; 37] = [
    "accumulation",
    "augmentation",
    "checkpointing",
    "clip",
    "discount",
    "dropout",
    "ema",
    "epoch",
    "epochs",
    "flow",
    "gamma",
    "grad",
    "gradient",
    "guidance",
    "huber",
    "learning",
    "logit",
    "loss",
    "lr",
    "mode",
    "noise",
    "norm",
    "norms",
    "optimiser",
    "optimizer",
    "reg",
    "regularization",
    "sampling",
    "scheduler",
    "sigmoid",
    "snr",
    "steps",
    "timestep",
    "timesteps",
    "train",
    "training",
    "warmup",
];

/// Words in the names of a record's entries that are about the adapter itself.
const ADAPTER: [&str; 7] = ["adapter", "dora", "lora", "lycoris", "network", "peft", "rslora"];

/// How entries of a trainer's record begin, of which only some say how much pairs count.
const RECORD: &str = "ss_";

fn has(name: &str, known: &[&str]) -> bool {
    words(name).iter().any(|word| known.contains(&word.as_str()))
}

/// Whether an entry belongs to a trainer's record.
pub(crate) fn is_of_a_record(name: &str) -> bool {
    name.starts_with(RECORD)
}

/// Whether the name of an entry says that it holds words for people, or what a training was fed with.
pub(crate) fn is_for_people(name: &str) -> bool {
    let last = words(name).pop().unwrap_or_default();
    FOR_PEOPLE.contains(&last.as_str()) || DATA.contains(&last.as_str())
}

/// Whether nothing that an entry of this name holds is a statement about the file.
pub(crate) fn is_no_statement(name: &str) -> bool {
    is_for_people(name) || has(name, &DATA) || (is_of_a_record(name) && !has(name, &ADAPTER))
}

/// Whether the name of an entry, though it has a word that counts, is no statement about the file: `scale_note`, `ss_lr_scale`.
pub(crate) fn sounds_only(name: &str) -> bool {
    is_for_people(name) || (is_of_a_record(name) && (has(name, &DATA) || has(name, &TRAINING)))
}

/// Whether an entry holds the settings of a training's data, which configure no weights.
pub(crate) fn is_of_data(name: &str) -> bool {
    has(name, &DATA)
}

/// Whether an entry is about how a training went, or what it was fed with.
pub(crate) fn is_of_training(name: &str) -> bool {
    has(name, &DATA) || has(name, &TRAINING)
}

/// Whether the name of an entry says that it is about the adapter itself.
pub(crate) fn is_of_an_adapter(name: &str) -> bool {
    has(name, &ADAPTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_and_what_trainings_are_fed_with_is_no_statement() {
        for name in [
            "ss_tag_frequency",
            "ss_dataset_dirs",
            "ss_reg_dataset_dirs",
            "ss_bucket_info",
            "ss_datasets",
            "ss_training_comment",
            "ss_output_name",
            "ss_sd_model_name",
            "modelspec.title",
            "captions",
            "captionText_tags",
            "sample_prompts",
            "usage_hint",
            "loraTitle",
            "lora_name",
            "scale_comment",
        ] {
            assert!(is_no_statement(name), "{name}");
        }
        for name in ["ss_network_module", "ss_network_args", "model_type", "modelspec.architecture", "peft", "metadata"]
        {
            assert!(!is_no_statement(name), "{name}");
        }
        for name in ["scale_comment", "ss_lr_scale", "ss_tag_rank", "strength_hint", "ss_loss_multiplier"] {
            assert!(sounds_only(name), "{name}");
        }
        for name in ["lora_scale", "ss_multiplier", "ss_network_scale", "prompt_scale", "comment_strength"] {
            assert!(!sounds_only(name), "{name}");
        }
    }
}
