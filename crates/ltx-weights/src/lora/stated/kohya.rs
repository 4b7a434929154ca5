//! What kohya's trainers and LyCORIS write into a header: `ss_network_dim`, `ss_network_alpha`, `ss_network_module`,
//! `ss_network_args`.
//!
//! Must not know tensors.

use super::{json::Json, named};
use crate::{
    entries,
    lora::{kinds, problem::LoraProblem},
};
use ltx_types::words;

/// Algorithms of LyCORIS whose files hold plain pairs.
const PAIRS: [&str; 6] = ["lora", "locon", "dylora", "lora_fa", "lierla", "loraplus"];
/// Sizes of convolutions, which the models here have none of in their layers.
const OF_CONVOLUTIONS: [&str; 2] = ["conv_dim", "conv_alpha"];
/// Words in the names of arguments that give layers sizes of their own.
const SIZES: [&str; 6] = ["dim", "dims", "alpha", "alphas", "rank", "ranks"];

/// Sizes that the header states for every pair.
#[derive(Debug, Default)]
pub(super) struct Kohya {
    rank: Option<u64>,
    alpha: Option<f64>,
    /// The scale is alpha over the root of the rank.
    pub(super) root: bool,
    /// Layers have sizes of their own, which only their tensors say.
    by_layer: bool,
}

impl Kohya {
    /// The entries that are read.
    pub(super) const READ: [&str; 4] = ["ss_network_dim", "ss_network_alpha", "ss_network_module", "ss_network_args"];

    /// From the entries of a header; `None` where it has none of kohya's.
    pub(super) fn read<'a>(entry: impl Fn(&str) -> Option<&'a str>, problems: &mut Vec<LoraProblem>) -> Option<Self> {
        let (rank, alpha) = (entry("ss_network_dim"), entry("ss_network_alpha"));
        let (module, arguments) = (entry("ss_network_module"), entry("ss_network_args"));
        let any = [rank, alpha, module, arguments].iter().any(Option::is_some);
        if !any {
            return None;
        }
        let mut refuse = |entry: &str, found: &str, why: String| {
            let found = format!("{:?}", found.chars().take(80).collect::<String>());
            problems.push(LoraProblem::Stated { entry: format!("header entry {entry}"), found, why });
        };
        let mut kohya = Self::default();
        // Tools that give every layer a size of its own write a word here.
        if let Some(text) = rank.filter(|text| states(text)) {
            match text.trim().parse::<f64>() {
                Ok(number) if number >= 1.0 && number.fract() == 0.0 && number <= 1e9 => {
                    kohya.rank = Some(number as u64)
                }
                _ => refuse("ss_network_dim", text, "expected a whole number above 0".into()),
            }
        }
        if let Some(text) = alpha.filter(|text| states(text)) {
            match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => kohya.alpha = Some(number),
                _ => refuse("ss_network_alpha", text, "expected one finite number".into()),
            }
        }
        if let Some((text, kind)) = module.and_then(|text| Some((text, kind_of_module(text)?))) {
            refuse("ss_network_module", text, not_read(kind));
        }
        if let Some(text) = arguments.filter(|text| states(text)) {
            match serde_json::from_str::<Json>(text) {
                Ok(Json::Object(arguments)) => {
                    for (name, value) in &arguments {
                        if let Some(why) = kohya.take(name, value) {
                            refuse(&format!("ss_network_args {name}"), &value.to_string(), why);
                        }
                    }
                }
                Ok(Json::Null) => {}
                _ => refuse("ss_network_args", text, "expected an object of JSON".into()),
            }
        }
        Some(kohya)
    }

    /// Takes an argument of the network; says why it is refused.
    fn take(&mut self, name: &str, value: &Json) -> Option<String> {
        match name {
            "algo" => match value {
                Json::Text(algo) if holds_pairs(algo) => None,
                Json::Null => None,
                Json::Text(algo) => Some(not_read(kinds::named(algo).unwrap_or(algo))),
                _ => Some("expected the name of an algorithm".to_owned()),
            },
            "dora_wd" | "weight_decompose" | "use_dora" if !value.is_empty() => Some(not_read("DoRA")),
            "rs_lora" | "use_rslora" => match value.flag() {
                Some(root) => {
                    self.root = root;
                    None
                }
                None => Some("expected true or false".to_owned()),
            },
            name if OF_CONVOLUTIONS.contains(&name) => None,
            name if named::is_a_factor("", name, value)
                || (is_factor(name) && value.number().is_some_and(|factor| factor != 1.0)) =>
            {
                Some("an argument that is not known here, and its name says how much the pairs count".to_owned())
            }
            // block_dims, block_alphas, reg_dims, network_reg_alphas, …_dim of single layers.
            name => {
                let words = words(name);
                let has = |word: &&str| words.iter().any(|found| found == word);
                self.by_layer |= !value.is_empty() && SIZES.iter().any(has) && !has(&"dropout");
                None
            }
        }
    }

    /// The rank of every pair.
    pub(super) fn rank(&self) -> Option<u64> {
        self.rank.filter(|_| !self.by_layer)
    }

    /// The alpha of every pair.
    pub(super) fn alpha(&self) -> Option<f64> {
        self.alpha.filter(|_| !self.by_layer)
    }

    /// Whether only the tensors say what a pair's alpha is.
    pub(super) fn leaves_alpha_to_tensors(&self) -> bool {
        self.by_layer
    }
}

/// Whether an argument's name says that pairs are multiplied by it; what scales training is none.
fn is_factor(name: &str) -> bool {
    let of_training = |word: &String| ["dropout", "norm", "norms", "lr"].contains(&word.as_str());
    entries::is_factor(name) && !words(name).iter().any(of_training)
}

fn states(text: &str) -> bool {
    !["", "none", "null", "dynamic", "adaptive"].contains(&text.trim().to_ascii_lowercase().as_str())
}

/// The kind that the path of a module names, if it is another than LoRA. What stands before its own name is where somebody put it.
pub(super) fn kind_of_module(text: &str) -> Option<&'static str> {
    let own = text.strip_suffix(".py").unwrap_or(text).rsplit(['.', '/', '\\']).next().unwrap_or(text);
    let words = own.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| *word != "full").find_map(kinds::named)
}

/// Whether the files of an algorithm hold plain pairs.
pub(super) fn holds_pairs(algo: &str) -> bool {
    PAIRS.contains(&algo.trim().to_ascii_lowercase().as_str())
}

pub(super) fn not_read(kind: &str) -> String {
    format!("an adapter of the kind {kind} is not read; take a file of plain LoRA pairs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(entries: &[(&str, &str)]) -> Vec<LoraProblem> {
        let mut problems = Vec::new();
        let entry = |name: &str| entries.iter().find(|(found, _)| *found == name).map(|(_, text)| *text);
        assert!(Kohya::read(entry, &mut problems).is_some());
        problems
    }

    #[test]
    fn only_a_number_other_than_1_is_a_factor() {
        let told =
            |name: &str, value: &str| problems(&[("ss_network_args", &format!("{{\"{name}\": {value}}}"))]).len();
        for (name, value) in [
            ("rescaled", "\"True\""),
            ("scale", "1.0"),
            ("scale", "\"True\""),
            ("scale", "\"linear\""),
            ("scaling", "true"),
            ("upscaler", "3"),
            ("loraplus_lr_scale", "4"),
        ] {
            assert_eq!(told(name, value), 0, "{name}: {value}");
        }
        for (name, value) in [("scale", "0.5"), ("lora_strength", "\"2\""), ("multiplier", "0"), ("netScale", "3")] {
            assert_eq!(told(name, value), 1, "{name}: {value}");
        }
    }

    #[test]
    fn a_module_is_named_by_its_last_word() {
        for module in ["networks.lora", "/home/vera/road/networks/lora.py", "miss.bone.lora_wan", "lycoris.kohya"] {
            assert_eq!(problems(&[("ss_network_module", module)]), [], "{module}");
        }
        for module in ["networks.loha", "networks/lokr.py", "networks.oft_flux"] {
            assert_eq!(problems(&[("ss_network_module", module)]).len(), 1, "{module}");
        }
    }

    #[test]
    fn sizes_of_layers_are_known_by_whole_words() {
        let by_layer = |name: &str| {
            let mut kohya = Kohya::default();
            assert_eq!(kohya.take(name, &Json::Text("4".into())), None);
            kohya.by_layer
        };
        assert!(["block_dims", "attn_rank", "blockAlphas", "reg_dims"].into_iter().all(by_layer));
        assert!(!["franken_mode", "dimension", "rank_dropout", "alphabet"].into_iter().any(by_layer));
    }
}
