//! What kohya's trainers and LyCORIS write into a header: `ss_network_dim`, `ss_network_alpha`, `ss_network_module`,
//! `ss_network_args`.
//!
//! Must not know tensors.

use super::{json::Json, named};
use crate::{
    entries::{self, user},
    lora::{kinds, problem::LoraProblem},
};
use ltx_types::{json::read_as, unknown_entry, words};

/// Algorithms of LyCORIS whose files hold plain pairs.
const PAIRS: [&str; 6] = ["lora", "locon", "dylora", "lora_fa", "lierla", "loraplus"];
/// Sizes of convolutions, which the models here have none of in their layers.
const OF_CONVOLUTIONS: [&str; 2] = ["conv_dim", "conv_alpha"];
/// Arguments of trainings, and of kinds of layers that show in the tensors; what else is about a training is known by its words.
const IDLE: [&str; 27] = [
    "bypass_mode",
    "constraint",
    "decompose_both",
    "disable_conv_cp",
    "dora_wd",
    "exclude_patterns",
    "factor",
    "full_matrix",
    "ggpo_beta",
    "ggpo_sigma",
    "include_patterns",
    "lora_fa",
    "only_if_contains",
    "preset",
    "reg_lrs",
    "rescaled",
    "split_qkv",
    "train_blocks",
    "train_double_block_indices",
    "train_single_block_indices",
    "unbalanced_factorization",
    "use_cp",
    "use_dora",
    "use_scalar",
    "use_tucker",
    "verbose",
    "weight_decompose",
];
/// Arguments by which the scale is alpha over the root of the rank.
const ROOT: [&str; 2] = ["rs_lora", "use_rslora"];
/// Why rsLoRA is refused where nothing says which alpha the root is taken for.
const ROOT_WHY: &str = "rsLoRA is read beside a number in ss_network_alpha that counts for all pairs, and there is none; state use_rslora, \
                        r and lora_alpha in lora_adapter_metadata, or take it out";
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
    /// What is said of arguments that are not known.
    pub(super) notes: Vec<String>,
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
            match read_as::<Json>(text.as_bytes()) {
                Ok(Json::Object(arguments)) => {
                    for (name, value) in &arguments {
                        if let Some(why) = kohya.take(name, value) {
                            refuse(&format!("ss_network_args {name}"), &value.to_string(), why);
                        }
                    }
                    // Whether tensors of alpha have the root in them already differs from tool to tool.
                    let is_root = |name: &str, value: &Json| ROOT.contains(&name) && value.flag() == Some(true);
                    let root = arguments.iter().find(|(name, value)| is_root(name, value));
                    if let Some((name, value)) = root.filter(|_| kohya.alpha().is_none()) {
                        refuse(&format!("ss_network_args {name}"), &value.to_string(), ROOT_WHY.to_owned());
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
            name if ROOT.contains(&name) => match value.flag() {
                Some(root) => {
                    self.root |= root;
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
                let is_size = SIZES.iter().any(has) && !has(&"dropout");
                self.by_layer |= is_size && !value.is_empty();
                if !is_size && !is_idle(name) && !holds_nothing(value) {
                    self.notes.push(unknown_entry(format_args!("header entry ss_network_args {name}"), value));
                }
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

/// Whether an argument is about a training, or about what the tensors show.
fn is_idle(name: &str) -> bool {
    IDLE.contains(&name) || user::is_of_training(name) || words(name).iter().any(|word| word == "lrs")
}

fn holds_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Text(text) => entries::is_empty(text),
        Json::List(list) => list.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
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
    fn what_is_not_known_is_said_and_a_root_of_nothing_is_refused() {
        let notes = |arguments: &str| {
            let kohya = Kohya::read(|name| (name == "ss_network_args").then_some(arguments), &mut Vec::new());
            kohya.unwrap_or_default().notes
        };
        let text = r#"{"mood": "calm", "causal": false, "dropout": 0.1, "loraplus_lr_ratio": 16, "use_tucker": "True",
            "block_dims": "4", "empty": null, "algo": "lora", "scale": "linear"}"#;
        assert_eq!(
            notes(text),
            ["mood is \"calm\"", "causal is false", "scale is \"linear\""]
                .map(|what| format!("header entry ss_network_args {what}: not known here, and left alone"))
        );
        for text in [r#"{"rs_lora": true}"#, r#"{"use_rslora": "True", "rs_lora": false}"#] {
            let said = problems(&[("ss_network_args", text)]);
            assert!(said.len() == 1 && said[0].to_string().contains("rsLoRA is read beside"), "{said:?}");
        }
        assert_eq!(problems(&[("ss_network_args", r#"{"rs_lora": true}"#), ("ss_network_alpha", "2")]), []);
        assert_eq!(problems(&[("ss_network_args", r#"{"rs_lora": "False"}"#)]), []);
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
