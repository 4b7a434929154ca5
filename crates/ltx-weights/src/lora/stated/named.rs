//! Entries whose names say what a file is or how much its pairs count, under the names that trainers have for that beside those that are
//! read: another kind of adapter, rsLoRA, a factor.
//!
//! Must not know where an entry stands.

use super::{json::Json, kohya};
use crate::{entries, entries::user, lora::kinds};
use ltx_types::words;

/// Words in front of a switch's own name.
const SWITCHES: [&str; 7] = ["adapter", "enable", "enabled", "is", "network", "ss", "use"];
/// Switches by which the rows of a sum have magnitudes.
const DORA: [&str; 7] =
    ["dora", "doralora", "dorawd", "loradora", "weightdecompose", "weightdecomposed", "weightdecomposition"];
/// Switches by which the scale is alpha over the root of the rank.
const ROOT: [&str; 2] = ["rslora", "lorars"];
/// Last words of entries that name an algorithm.
const ALGORITHMS: [&str; 3] = ["algo", "algorithm", "algos"];
/// Last words of entries that name a kind.
const KINDS: [&str; 3] = ["kind", "method", "type"];
/// Last words of a factor that may also be something else, so that a number tells.
const FACTORS: [&str; 7] = ["amount", "coef", "coeff", "coefficient", "gain", "intensity", "weight"];
/// Words of an entry that speaks of pairs, whatever else is in its name.
const OF_PAIRS: [&str; 3] = ["linear", "lycoris", "pairs"];
/// Why rsLoRA is refused there: whether alpha tensors beside it have the root in them already differs from tool to tool.
const ROOT_WHY: &str =
    "rsLoRA under this name is not read; state use_rslora, r and lora_alpha in lora_adapter_metadata, or take it out";

/// Why an entry is refused, where its name and value say that the file holds no plain pairs, or pairs by another scale. `under` is the
/// entry that it stands in: an algorithm of a training's, such as its optimizer's, is none of the pairs'.
pub(super) fn another_kind(under: &str, name: &str, value: &Json) -> Option<String> {
    let words = words(name);
    let own: String = words.iter().filter(|word| !SWITCHES.contains(&word.as_str())).map(String::as_str).collect();
    let is_on = !value.is_empty() && value.flag() != Some(false);
    if DORA.contains(&own.as_str()) {
        return is_on.then(|| kohya::not_read("DoRA"));
    }
    if ROOT.contains(&own.as_str()) {
        return is_on.then(|| ROOT_WHY.to_owned());
    }
    let Json::Text(text) = value else { return None };
    let last = words.last()?.as_str();
    if ALGORITHMS.contains(&last) {
        let whose = words.iter().all(|word| ALGORITHMS.contains(&word.as_str()) || speaks_of_pairs(word));
        return match kinds::named(text.trim()) {
            Some(kind) => Some(kohya::not_read(kind)),
            None if whose && !user::is_of_training(under) && !value.is_empty() && !kohya::holds_pairs(text) => {
                Some(kohya::not_read(text))
            }
            None => None,
        };
    }
    if last == "module" {
        return kohya::kind_of_module(text).map(kohya::not_read);
    }
    let of_an_adapter = KINDS.contains(&last) && words.iter().any(|word| speaks_of_pairs(word));
    of_an_adapter.then(|| kinds::named(text.trim())).flatten().map(kohya::not_read)
}

/// Whether a number is a factor of the pairs by the name of its entry, and another than 1; one in an entry `under` that is about a
/// training is none.
pub(super) fn is_a_factor(under: &str, name: &str, value: &Json) -> bool {
    let is_named = words(name).last().is_some_and(|last| FACTORS.contains(&last.as_str()));
    let of_training = user::is_of_training(name) || user::is_of_training(under);
    is_named && !of_training && value.number().is_some_and(|factor| factor != 1.0)
}

/// Whether an entry within another says how much the pairs count: a word that does, in a name that speaks of pairs.
pub(super) fn counts(name: &str, value: &Json) -> bool {
    let speaks = || words(name).iter().any(|word| speaks_of_pairs(word));
    let is_one = || entries::is_factor(name) && value.number() == Some(1.0);
    entries::telling(name).is_some() && speaks() && !user::is_of_training(name) && !value.is_empty() && !is_one()
}

fn speaks_of_pairs(word: &str) -> bool {
    user::is_of_an_adapter(word) || OF_PAIRS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Json {
        Json::Text(text.into())
    }

    #[test]
    fn another_kind_is_told_by_any_name_of_its_switch() {
        for (name, value) in [
            ("rs_lora", text("True")),
            ("rslora", text("true")),
            ("RSLoRA", Json::Bool(true)),
            ("use_rs_lora", Json::Number(1.0)),
            ("dora", text("true")),
            ("DoRA", text("yes")),
            ("ss_use_dora", Json::Bool(true)),
            ("dora_wd", text("True")),
            ("weight_decompose", text("True")),
            ("weightDecomposition", text("True")),
            ("algo", text("loha")),
            ("algo", text("something")),
            ("lycoris_algo", text("LoKr")),
            ("network_module", text("lycoris.loha")),
            ("networkModule", text("networks.oft_flux")),
            ("module", text("networks/lokr.py")),
            ("lora_type", text("DoRA")),
            ("network_type", text("lokr")),
        ] {
            assert!(another_kind("", name, &value).is_some(), "{name}: {value}");
        }
        for (name, value) in [
            ("rs_lora", text("False")),
            ("use_dora", text("0")),
            ("dora", Json::Null),
            ("algo", text("locon")),
            ("algo", text("None")),
            ("optimizer_algo", text("adam")),
            ("network_module", text("networks.lora")),
            ("network_module", text("lycoris.kohya")),
            ("lora_type", text("lora")),
            ("model_type", text("full")),
            ("training_type", text("full")),
            ("dorado", text("true")),
            ("weight_decay", text("0.1")),
        ] {
            assert_eq!(another_kind("", name, &value), None, "{name}: {value}");
        }
    }

    #[test]
    fn numbers_are_factors_where_their_names_speak_of_pairs() {
        for (name, value) in [("lora_weight", 0.5), ("default_weight", 2.0), ("gain", 0.0), ("loraCoef", 0.5)] {
            assert!(
                is_a_factor("", name, &Json::Number(value)) && is_a_factor("", name, &text(&value.to_string())),
                "{name}"
            );
            assert!(!is_a_factor("", name, &Json::Number(1.0)), "{name}");
        }
        for name in ["weight_decay", "loss_weight", "caption_weight", "prior_loss_weight", "weight_format", "weights"] {
            assert!(!is_a_factor("", name, &Json::Number(0.5)), "{name}");
        }
        assert!(!is_a_factor("", "lora_weight", &text("lora.safetensors")));
        for name in ["linear_alpha", "lora_scale_factor", "networkAlpha", "lycoris_strength"] {
            assert!(counts(name, &Json::Number(2.0)), "{name}");
        }
        for name in ["guidance_scale", "lora_lr_scale", "network_rank_dropout", "latent_scale", "linear", "alphabet"] {
            assert!(!counts(name, &Json::Number(2.0)), "{name}");
        }
        assert!(!counts("lora_scale_factor", &Json::Number(1.0)) && counts("linear_alpha", &Json::Number(1.0)));
    }
}
