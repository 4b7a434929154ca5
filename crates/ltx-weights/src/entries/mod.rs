//! Entries of headers: every one is obeyed where it is read, known to change nothing, refused by name where its name says that it
//! counts, or said.
//!
//! Must not know what an entry that is read means.

mod architecture;
pub(crate) mod known;
pub(crate) mod origin;
pub(crate) mod user;

use crate::{
    Result, TensorSet, WeightsError,
    names::weight_keys,
    quantised::Statement,
    vocabulary::{is_audio, is_duration, is_vision},
};
use architecture::Verdict;
use ltx_types::{unknown_entry, words};
use std::{fmt, path::Path};

/// Words in the name of an entry by which it may change what weights are.
const COUNTS: [&str; 11] = [
    "alpha",
    "alphas",
    "rank",
    "ranks",
    "scale",
    "scales",
    "scaling",
    "strength",
    "strengths",
    "multiplier",
    "multipliers",
];
/// Of those that count, the words of which 1 changes nothing.
const FACTORS: [&str; 7] = ["scale", "scales", "scaling", "strength", "strengths", "multiplier", "multipliers"];
/// What may stand in one word with those.
const BEFORE_COUNTS: [&str; 2] = ["lora", "network"];
/// Words by which the entry of a checkpoint may.
const CONFIGURES: [&str; 15] = [
    "quant",
    "quants",
    "quantize",
    "quantized",
    "quantizer",
    "quantization",
    "quantise",
    "quantised",
    "quantisation",
    "config",
    "configs",
    "configuration",
    "rotation",
    "rotations",
    "convrot",
];
/// The version of ggml's blocks that are read.
const BLOCKS_VERSION: &str = "2";
/// What the header of a file with LTX's tensors may state as its architecture.
const LTX_ALONE: &str =
    "ltxv, for a file that holds a transformer or a video VAE of LTX: take the file as converters write it";
/// What is shown of an entry's text.
const SHOWN: usize = 60;

/// Whether a name says that the entry counts: the word by which it does. Words count whole: `upscaler` is no `scale`.
pub(crate) fn telling(name: &str) -> Option<&'static str> {
    if user::sounds_only(name) {
        return None;
    }
    let words = words(name);
    COUNTS.into_iter().find(|count| words.iter().any(|word| is_word(word, count)))
}

/// Whether a word of a name is one of those that count, alone or behind what it counts for: `lorascale`.
fn is_word(word: &str, count: &str) -> bool {
    let bare = BEFORE_COUNTS.iter().find_map(|head| word.strip_prefix(head)).unwrap_or(word);
    word == count || bare == count
}

/// Whether a name says that a product is multiplied by what it states: a factor of 1 changes nothing.
pub(crate) fn is_factor(name: &str) -> bool {
    let words = words(name);
    let any = |counts: &[&str]| counts.iter().any(|count| words.iter().any(|word| is_word(word, count)));
    any(&FACTORS) && !any(&["alpha", "alphas"])
}

/// Whether a name says that the entry configures a model.
pub(crate) fn configures(name: &str) -> bool {
    let is_set = || words(name).iter().any(|word| CONFIGURES.contains(&word.as_str()));
    !user::is_for_people(name) && !user::is_of_data(name) && is_set()
}

/// Whether an entry holds nothing.
pub(crate) fn is_empty(text: &str) -> bool {
    ["", "null", "{}", "[]"].contains(&text.trim())
}

/// Whether an entry states nothing, or a factor of 1.
pub(crate) fn says_nothing(name: &str, text: &str) -> bool {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    ["", "none", "null", "false", "{}", "[]"].contains(&lower.as_str()) || (is_factor(name) && text.parse() == Ok(1.0))
}

/// An entry's text as it is shown.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

impl TensorSet {
    /// Looks at every entry of the files' headers, of which checkpoints and text encoders are; what is not known here is said.
    ///
    /// # Errors
    /// An entry that nobody here knows and whose name says that it counts, an entry of the architecture's own that is read by nobody
    /// here, a list in the place of one value, or a version of quantised blocks that is not read.
    pub fn check_entries(&self) -> Result<Vec<String>> {
        let mut notes = self.remarks().to_vec();
        for file in self.speaking() {
            notes.extend(file.header.remarks.iter().map(|remark| format!("{}: {remark}", file.path.display())));
            let kind = if architecture::is_of_ltx(file) { origin::Kind::Model } else { origin::Kind::Any };
            let architecture = file.metadata("general.architecture");
            let own = |name: &str| {
                let head = |head: &str| name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
                architecture.is_some_and(head) || head("ltxv")
            };
            let header = &file.header;
            let names = header.values.keys().chain(header.texts.keys()).chain(header.arrays.keys());
            for name in names {
                let text = file.metadata(name).unwrap_or("a list");
                let refused = |expected: &str| {
                    let (entry, found, expected) = (name.clone(), shown(text), expected.to_owned());
                    Err(WeightsError::Entry { file: file.path.clone(), entry, found, expected })
                };
                let path = file.path.display();
                let unknown = "no entry of this name: what it changes is not known here; take it out of the header";
                notes.extend(origin::note(name, text, kind).map(|note| format!("{path}: {note}")));
                match name.as_str() {
                    name if header.arrays.contains_key(name) && known::is_one_value(name) => {
                        return refused("one value: take the list out of the header");
                    }
                    "general.quantization_version" if text == BLOCKS_VERSION => {}
                    "general.quantization_version" => {
                        return refused(
                            "2, the version of ggml's blocks that is read: take the file as converters write it today",
                        );
                    }
                    "general.architecture" => match architecture::judged(file, text) {
                        Verdict::Known => {}
                        Verdict::Said => notes.push(format!(
                            "{path}: general.architecture is {}: no model that is known here; its tensors have names that are read, and count",
                            shown(text)
                        )),
                        Verdict::Refused => return refused(LTX_ALONE),
                    },
                    // The tensors of a GGUF have their types.
                    "_quantization_metadata" if file.header.format == "GGUF" => return refused(unknown),
                    name if header.shapes_of_none.contains(name) => {
                        notes.push(format!("{path}: header entry {name} is of no tensor in the file, and left alone"));
                    }
                    name if own(name) && architecture.is_some_and(known::is_read_architecture) => {}
                    name if known::is_read(name) || known::is_idle(name) || is_empty(text) => {}
                    name if known::is_said(name) => {
                        notes.push(format!(
                            "{path}: header entry {name} is {}: what each layer states counts",
                            shown(text)
                        ));
                    }
                    // One that is switched off, and a factor of 1, are said like the others.
                    name if (own(name) || telling(name).is_some() || configures(name)) && !says_nothing(name, text) => {
                        return refused(unknown);
                    }
                    name => {
                        notes.push(unknown_entry(format_args!("{path}: header entry {name}"), shown(text)));
                    }
                }
            }
        }
        Ok(notes)
    }
}

/// A quantisation that a file states and that is attached to no tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatedInVain<'a> {
    /// The file that states it.
    pub file: &'a Path,
    /// The first layer that it states so.
    pub layer: &'a str,
    /// How many there are in the file.
    pub count: usize,
    /// The file that holds the first of them and does not state it so itself; none where no file holds it.
    pub holder: Option<&'a Path>,
}

impl fmt::Display for StatedInVain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement in _quantization_metadata about a layer ")?;
        match self.holder {
            Some(holder) => write!(f, "of {}, whose own header does not state it so", holder.display())?,
            None => f.write_str("that no file holds")?,
        }
        write!(f, " ({} in all)", self.count)
    }
}

impl TensorSet {
    /// What files state about the quantisation of layers that are not theirs, unless the file that holds the layer states the same; of
    /// each file the first. What is left on disk here (audio, vision) need not be there.
    pub fn stated_in_vain(&self) -> Vec<StatedInVain<'_>> {
        let left = |layer: &str| is_audio(layer) || is_vision(layer) || is_duration(layer);
        let vain = |layer: &str, statement: &Statement| {
            let found = weight_keys(layer).into_iter().find_map(|key| Some((self.entry(&key)?.0, key)));
            let Some((holder, key)) = found else { return Some(None) };
            let agrees = holder.header.stated.get(&key).is_some_and(|own| own.agrees(statement));
            (!agrees).then_some(Some(holder.path.as_path()))
        };
        let mut lost = Vec::new();
        for file in self.speaking() {
            let stated = file.header.stated_elsewhere.iter().filter(|(layer, _)| !left(layer));
            let mut of_file = stated.filter_map(|(layer, statement)| Some((layer.as_str(), vain(layer, statement)?)));
            if let Some((layer, holder)) = of_file.next() {
                lost.push(StatedInVain { file: &file.path, layer, count: 1 + of_file.count(), holder });
            }
        }
        lost
    }

    /// Refuses a set of files that is whole and in which a quantisation is stated that is attached to no tensor: of a layer that no
    /// file holds, or of one whose own file does not state it so.
    ///
    /// # Errors
    /// There is such a layer.
    pub fn check_statements(&self) -> Result<()> {
        let lost = self.stated_in_vain();
        let Some(first) = lost.first() else { return Ok(()) };
        let expected = match first.holder {
            Some(_) => "the statement in the header of the file that holds the layer",
            None => "the file that holds it, named as a component, or a header without it",
        };
        Err(WeightsError::Quantisation {
            file: first.file.to_owned(),
            key: first.layer.to_owned(),
            found: first.to_string(),
            expected: expected.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whether_its_entry_counts() {
        for name in
            ["lora_scale", "LoRA_alpha", "networkAlphas", "strength", "Rank", "lora.scale", "a-rank", "lorascale"]
        {
            assert!(telling(name).is_some(), "{name}");
        }
        for name in ["upscaler_version", "frank_x", "grayscale", "prankster", "scale_note", "format", "model_version"] {
            assert!(telling(name).is_none(), "{name}");
        }
        for name in ["quantization_config", "transformerConfig", "quant", "convrot_groupsize"] {
            assert!(configures(name), "{name}");
        }
        for name in ["quantstack_note", "quantum", "quantity", "quant_description", "dataset_config", "reconfigured"] {
            assert!(!configures(name), "{name}");
        }
        assert!(says_nothing("scale", "1.0") && says_nothing("alpha", "") && says_nothing("strength", "None"));
        assert!(is_empty(" ") && is_empty("null") && is_empty("[]") && !is_empty("false") && !is_empty("none"));
        assert!(!says_nothing("alpha", "1") && !says_nothing("scale", "0.5") && !says_nothing("rank", "1"));
    }
}
