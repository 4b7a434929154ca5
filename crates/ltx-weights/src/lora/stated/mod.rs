//! What a LoRA file states beside its tensors about how much its pairs count: alpha, rank, rsLoRA.
//!
//! The places, in the order in which they count: the pair's own `.alpha` tensor; the header's `lora_adapter_metadata` (a
//! configuration of PEFT's as diffusers writes it, one for each component, or one without a component) and its relatives; such
//! entries in the header itself; PEFT's `adapter_config.json` beside the file; kohya's `ss_network_alpha`. Where none says
//! anything, the scale is 1. Two that say different things are an error.
//!
//! Any other entry of the header whose name or content says that it is about how much pairs count is refused by name; what else is
//! not known is said.
//!
//! Must not know which weights the pairs belong to.

mod json;
mod kohya;
mod named;
mod others;
mod pattern;
mod peft;
mod targets;

use super::{kinds, names::Component, problem::LoraProblem};
use crate::entries::shown;
pub(super) use json::{Json, json_of};
use kohya::Kohya;
use ltx_files::AdapterConfig;
use ltx_types::json::read_as;
use peft::PeftConfig;
use std::{fs, path::Path};

/// Entries of a header that hold a configuration as JSON.
const CONFIGURATIONS: [&str; 4] = ["lora_adapter_metadata", "adapter_config", "peft_config", "lora_config"];
/// Entries that PEFT's configuration has, where a header holds them one by one.
const ONE_BY_ONE: [&str; 16] = [
    "r",
    "rank",
    "lora_rank",
    "network_dim",
    "lora_alpha",
    "alpha",
    "network_alpha",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "peft_type",
    "bias",
    "init_lora_weights",
];
/// The entry that is obeyed with the tensors.
const QUANTISATION: &str = "_quantization_metadata";
/// The most bytes of an `adapter_config.json` that are read.
const CONFIG_BYTES: u64 = 16 << 20;
/// Entries of a header that state the alpha of all pairs.
const ALPHAS: [&str; 4] = ["lora_alpha", "alpha", "network_alpha", "ss_network_alpha"];
/// Entries that state the rank of all pairs.
const RANKS: [&str; 4] = ["r", "rank", "lora_rank", "network_dim"];
/// What stands in the place of a number where every pair has one of its own.
const BY_PAIR: [&str; 2] = ["dynamic", "adaptive"];

/// Entries of a configuration.
type Entries<'a> = Vec<(&'a str, &'a Json)>;

/// What a file states.
#[derive(Debug, Default)]
pub(super) struct Stated {
    configs: Vec<Config>,
    kohya: Option<Kohya>,
    /// The entry by which every pair has an alpha of its own, and its text.
    left_to_tensors: Option<(String, String)>,
    /// What is said of entries that nothing is made of.
    pub(super) notes: Vec<String>,
}

/// One configuration of PEFT's.
#[derive(Debug)]
struct Config {
    place: String,
    /// The component that it is for; of all, where it names none.
    component: Option<Component>,
    peft: PeftConfig,
    /// Whether a rank above what a layer's sides allow stands for the largest that they do.
    capped: bool,
}

impl Config {
    /// Whether it has to state an alpha and does not. A rank alone in a header only says how large the file is.
    fn lacks_alpha(&self) -> bool {
        if self.capped { self.peft.root } else { self.peft.lacks_alpha() }
    }
}

/// The layer of a pair, as far as statements look at it.
pub(super) struct Layer<'a> {
    /// A tensor of the pair, for errors.
    pub(super) key: &'a str,
    /// The layer's names, without what stands before the model's own; the file's own spelling first.
    pub(super) names: Vec<String>,
    pub(super) component: Component,
    pub(super) rank: usize,
    /// The smaller side of the weight.
    pub(super) side: usize,
}

/// The alpha of a pair's own tensor.
pub(super) struct OwnAlpha<'a> {
    pub(super) key: &'a str,
    pub(super) alpha: f32,
    /// How far its type may have rounded it.
    pub(super) rounding: f64,
}

/// A scale, and where it is from.
struct Scale {
    said: String,
    scale: f64,
}

impl Stated {
    /// Reads the header's entries, and the configuration beside the file where PEFT puts one.
    pub(super) fn read(path: &Path, entries: &[(&str, &str)]) -> (Self, Vec<LoraProblem>) {
        let (mut stated, mut problems) = (Self::default(), Vec::new());
        let entry = |name: &str| entries.iter().find(|(found, _)| *found == name).map(|(_, text)| *text);
        if let Some((entry, found)) = kinds::reference(entries.iter().copied()) {
            problems.push(LoraProblem::NeedsReference { entry, found });
        }
        for name in CONFIGURATIONS {
            let Some(text) = entry(name) else { continue };
            stated.configuration(&format!("header entry {name}:"), text, &mut problems);
        }
        let texts: Vec<_> = ONE_BY_ONE.iter().filter_map(|name| Some((*name, as_json(name, entry(name)?)?))).collect();
        if !texts.is_empty() {
            let (place, texts) = ("header entry", texts.iter().map(|(name, json)| (*name, json)).collect::<Vec<_>>());
            let peft = PeftConfig::read(place, &texts, &mut problems);
            stated.notes.extend(peft.notes.iter().cloned());
            stated.configs.push(Config { place: place.to_owned(), component: None, peft, capped: true });
        }
        stated.kohya = Kohya::read(entry, &mut problems);
        stated.notes.extend(stated.kohya.iter().flat_map(|kohya| kohya.notes.iter().cloned()));
        let left = ALPHAS.iter().find_map(|name| Some((*name, entry(name).filter(|text| is_left_to_tensors(text))?)));
        stated.left_to_tensors = left.map(|(name, text)| (format!("header entry {name}"), shown(text)));
        for (name, text) in entries.iter().filter(|(name, _)| !is_read(name) && !kinds::is_reference(name)) {
            match others::look_at(name, text) {
                Ok(note) => stated.notes.extend(note),
                Err(problem) => problems.push(problem),
            }
        }
        match AdapterConfig::beside(path) {
            Some(AdapterConfig::OfTheFile(file)) => {
                let place = format!("{}:", file.file_name().unwrap_or_default().to_string_lossy());
                match read_beside(&file) {
                    Ok(text) => stated.configuration(&place, &text, &mut problems),
                    Err(why) => problems.push(LoraProblem::Stated { entry: place, found: "not readable".into(), why }),
                }
            }
            Some(others @ AdapterConfig::OfAnother { .. }) => stated.notes.push(others.to_string()),
            None => {}
        }
        (stated, problems)
    }

    /// A configuration as JSON: entries with a component and a dot in front are that component's.
    fn configuration(&mut self, place: &str, text: &str, problems: &mut Vec<LoraProblem>) {
        let object = match read_as::<Json>(text.as_bytes()) {
            Ok(Json::Object(object)) => object,
            Ok(Json::Null) => return,
            Ok(other) => {
                let (entry, why) = (place.to_owned(), "expected an object of JSON".to_owned());
                problems.push(LoraProblem::Stated { entry, found: other.to_string(), why });
                return;
            }
            Err(error) => {
                let (entry, why) = (place.to_owned(), format!("expected an object of JSON ({error})"));
                problems.push(LoraProblem::Stated { entry, found: "not JSON".into(), why });
                return;
            }
        };
        let mut of: Vec<(Option<&str>, Entries<'_>)> = Vec::new();
        for (name, value) in &object {
            let (component, name) = match name.rsplit_once('.') {
                Some((component, name)) => (Some(component), name),
                None => (None, name.as_str()),
            };
            match of.iter_mut().find(|(known, _)| *known == component) {
                Some((_, entries)) => entries.push((name, value)),
                None => of.push((component, vec![(name, value)])),
            }
        }
        for (name, entries) in of {
            let component = name.map(Component::named);
            if let Some(None) = component {
                let (entry, found) = (place.to_owned(), name.unwrap_or_default().to_owned());
                let why = "it states values for a component that is no part of the video model".to_owned();
                problems.push(LoraProblem::Stated { entry, found, why });
                continue;
            }
            let place = name.map_or_else(|| place.to_owned(), |name| format!("{place} {name}."));
            let peft = PeftConfig::read(&place, &entries, problems);
            self.notes.extend(peft.notes.iter().cloned());
            self.configs.push(Config { place, component: component.flatten(), peft, capped: false });
        }
    }

    /// What is said of entries by which a layer would have no pair, and it has one; of each layer its component, and all of its names.
    pub(super) fn denied(&self, layers: &[(Component, Vec<String>)]) -> Vec<String> {
        let of_config = |config: &Config| {
            let counts = |component: &Component| config.component.is_none_or(|of| of == *component);
            let names = layers.iter().filter(|(component, _)| counts(component)).map(|(_, names)| names.as_slice());
            let denied = config.peft.targets.denied(names);
            denied
                .into_iter()
                .map(|(entry, layer)| {
                    format!(
                        "{} {entry} leaves out {layer}, and the file holds a pair for it, which counts",
                        config.place
                    )
                })
                .collect::<Vec<_>>()
        };
        self.configs.iter().flat_map(of_config).collect()
    }

    /// What is wrong with patterns that match no layer; of each its component, and all of its names.
    pub(super) fn unmatched(&self, layers: &[(Component, Vec<String>)]) -> Vec<LoraProblem> {
        let of_config = |config: &Config| {
            let counts = |component: &Component| config.component.is_none_or(|of| of == *component);
            let names: Vec<_> =
                layers.iter().filter(|(component, _)| counts(component)).map(|(_, names)| names.clone()).collect();
            let unmatched = config.peft.unmatched(&names);
            unmatched.into_iter().map(|(entry, found)| LoraProblem::Stated {
                entry: format!("{} {entry}", config.place),
                found: shown(&found),
                why: "this pattern matches no layer of the file; write a layer as its tensors are called, or take it out".into(),
            }).collect::<Vec<_>>()
        };
        self.configs.iter().flat_map(of_config).collect()
    }

    /// What the product of a pair is multiplied by, the strength apart.
    pub(super) fn scale(&self, layer: &Layer<'_>, own: Option<&OwnAlpha<'_>>) -> Result<f32, LoraProblem> {
        let rank = layer.rank as f64;
        let configs = || {
            let of_layer = |config: &&Config| config.component.is_none_or(|component| component == layer.component);
            self.configs.iter().filter(of_layer)
        };
        self.check_ranks(layer, configs())?;
        // rsLoRA is how PEFT takes an alpha, wherever that is from.
        let root = configs().any(|config| config.peft.root);
        let over = |alpha: f64, root: bool| alpha / if root { rank.sqrt() } else { rank };
        let mut found: Option<Scale> = own.map(|own| Scale {
            said: format!("its tensor {} is {}", own.key, own.alpha),
            scale: over(own.alpha.into(), root),
        });
        // What two headers state is the same number or another; a tensor's may be a rounded one.
        let rounding = own.map_or(0.0, |own| own.rounding);
        let plain = own.map(|own| over(own.alpha.into(), false));
        let mut lacking = None;
        let mut take = |next: Scale| match &found {
            None => {
                found = Some(next);
                Ok(())
            }
            Some(first) if near(first.scale, next.scale, rounding) => Ok(()),
            // A converter that has taken the root into the alpha of the tensor.
            Some(first) if plain.is_some_and(|plain| near(plain, next.scale, rounding)) => {
                let said = first.said.clone();
                found = Some(Scale { said, scale: next.scale });
                Ok(())
            }
            Some(first) => {
                Err(LoraProblem::Disagree { key: layer.key.to_owned(), first: first.said.clone(), second: next.said })
            }
        };
        for config in configs() {
            match config.peft.alpha_of(&layer.names) {
                Some((entry, alpha)) => {
                    let said = format!("{} {entry} is {alpha}", config.place);
                    take(Scale { said, scale: over(alpha, root) })?;
                }
                None if config.lacks_alpha() => lacking = lacking.or(Some(&config.place)),
                None => {}
            }
        }
        if let Some(kohya) = &self.kohya
            && let Some(alpha) = kohya.alpha()
        {
            let said = format!("header entry ss_network_alpha is {alpha}");
            take(Scale { said, scale: over(alpha, root || kohya.root) })?;
        }
        let by_layer = self.kohya.as_ref().is_some_and(Kohya::leaves_alpha_to_tensors);
        let refused = |entry: String, found: &str, why: &str| {
            Err(LoraProblem::Stated { entry, found: found.to_owned(), why: why.to_owned() })
        };
        match (found, lacking) {
            (Some(found), _) if (found.scale as f32).is_finite() => Ok(found.scale as f32),
            (Some(found), _) => {
                refused(format!("key {}", layer.key), &found.said, "expected an alpha within the range of f32")
            }
            (None, Some(place)) => refused(
                format!("{place} lora_alpha"),
                "not there",
                "the configuration states a rank without an alpha, so how much the pairs count cannot be told; add it",
            ),
            (None, None) if let Some((entry, text)) = &self.left_to_tensors => refused(
                entry.clone(),
                text,
                &format!("every pair has an alpha of its own, and {} has no tensor named .alpha beside it", layer.key),
            ),
            (None, None) if by_layer => refused(
                "header entry ss_network_args".to_owned(),
                "one with sizes by layer",
                "without tensors named .alpha how much the pairs count cannot be told",
            ),
            (None, None) => Ok(1.0),
        }
    }

    fn check_ranks<'a>(&self, layer: &Layer<'_>, configs: impl Iterator<Item = &'a Config>) -> Result<(), LoraProblem> {
        let of_config = |config: &'a Config| {
            let (entry, rank) = config.peft.rank_of(&layer.names)?;
            Some((format!("{} {entry}", config.place), rank, config.capped))
        };
        let of_kohya = self.kohya.as_ref().and_then(Kohya::rank);
        let of_kohya = of_kohya.map(|rank| ("header entry ss_network_dim".to_owned(), rank, true));
        for (entry, stated, capped) in configs.filter_map(of_config).chain(of_kohya) {
            let expected = if capped { stated.min(layer.side as u64) } else { stated };
            if expected != layer.rank as u64 {
                let key = layer.key.to_owned();
                return Err(LoraProblem::OtherRank { key, entry, stated, found: layer.rank });
            }
        }
        Ok(())
    }
}

/// Whether an entry of the header is read above.
fn is_read(name: &str) -> bool {
    CONFIGURATIONS.contains(&name) || ONE_BY_ONE.contains(&name) || Kohya::READ.contains(&name) || name == QUANTISATION
}

fn near(first: f64, second: f64, tolerance: f64) -> bool {
    (first - second).abs() <= tolerance * first.abs().max(second.abs())
}

/// Whether a text says that every pair has a number of its own.
fn is_left_to_tensors(text: &str) -> bool {
    BY_PAIR.contains(&text.trim().to_ascii_lowercase().as_str())
}

/// A header's own entry: JSON where it is some, else text. A word instead of a size states none.
fn as_json(name: &str, text: &str) -> Option<Json> {
    let says_none = ["", "none", "null"].contains(&text.trim().to_ascii_lowercase().as_str());
    let is_size = ALPHAS.contains(&name) || RANKS.contains(&name);
    if says_none || (is_size && is_left_to_tensors(text)) {
        return None;
    }
    Some(read_as(text.as_bytes()).unwrap_or_else(|_| Json::Text(text.to_owned())))
}

fn read_beside(file: &Path) -> Result<String, String> {
    let bytes = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if bytes > CONFIG_BYTES {
        return Err(format!("expected at most {CONFIG_BYTES} bytes, found {bytes}"));
    }
    fs::read_to_string(file).map_err(|error| error.to_string())
}
