//! What a pipeline's folder of diffusers states beside its parts: components in `model_index.json`, indexes of weights, its schedule.
//! Components that are read have the classes that are; of everything else it is said that it is left alone, as diffusers leaves it.
//!
//! Must not know tensors, or configurations of components.

use super::scheduler;
use crate::{PipelineError, Result};
use ltx_nn::NnError;
use ltx_types::unknown_entry;
use ltx_weights::Indexed;
use serde_json::{Map, Value};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The file that names a pipeline's components.
pub(super) const INDEX: &str = "model_index.json";

/// The index of a component's weights in several files.
pub(super) const WEIGHTS: &str = "diffusion_pytorch_model.safetensors.index.json";

/// A component that is read.
struct Component {
    name: &'static str,
    /// The library that has its class; of another one of that name it is said.
    library: &'static str,
    /// Its classes.
    classes: &'static [&'static str],
    /// Whether a folder without it is whole: it may lie elsewhere.
    optional: bool,
}

const COMPONENTS: [Component; 4] = [
    Component { name: "transformer", library: "diffusers", classes: &["LTXVideoTransformer3DModel"], optional: false },
    Component { name: "vae", library: "diffusers", classes: &["AutoencoderKLLTXVideo"], optional: false },
    Component { name: "text_encoder", library: "transformers", classes: &["T5EncoderModel"], optional: true },
    Component {
        name: "tokenizer",
        library: "transformers",
        classes: &["T5Tokenizer", "T5TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"],
        optional: true,
    },
];

/// The component that says how a pipeline samples, which the request says here, and its usual class.
const SCHEDULER: (&str, [&str; 2]) = ("scheduler", ["diffusers", "FlowMatchEulerDiscreteScheduler"]);
/// Entries for people and for the library.
const IDLE: [&str; 3] = ["_class_name", "_diffusers_version", "_name_or_path"];

/// Refuses a pipeline one of whose components is of another class, or is none.
///
/// # Errors
/// One is; or the file cannot be read.
pub(super) fn check(file: &Path) -> Result<()> {
    let bytes = fs::read(file).map_err(|source| PipelineError::Read { file: file.to_owned(), source })?;
    let index = ltx_types::json::read(&bytes);
    let index = index.map_err(|source| PipelineError::BadJson { file: file.to_owned(), source })?;
    for Component { name, library, classes, optional } in &COMPONENTS {
        let Some(stated) = index.get(name) else { continue };
        let fits = match class_of(stated) {
            Some(Class::None) => *optional,
            Some(Class::Of(_, class)) => classes.contains(&class),
            None => false,
        };
        if !fits {
            let source = NnError::unsupported(*name, stated, format!("[{library:?}, {:?}]", classes[0]));
            return Err(PipelineError::Config { file: file.to_owned(), source });
        }
    }
    Ok(())
}

/// What is said of the folder of a pipeline, if `files` are of one.
pub(crate) fn notes(files: &[PathBuf]) -> Vec<String> {
    let folder = files.first().and_then(|file| file.parent()).filter(|folder| folder.ends_with("transformer"));
    let Some(folder) = folder.and_then(Path::parent) else { return Vec::new() };
    let file = folder.join(INDEX);
    let mut notes = match fs::read(&file).map(|bytes| ltx_types::json::read(&bytes)) {
        Ok(Ok(Value::Object(index))) => said(&file, &index),
        Ok(_) => vec![format!("{}: is no object of JSON, and left alone", file.display())],
        Err(_) => Vec::new(),
    };
    for component in ["transformer", "vae"] {
        let index = folder.join(component).join(WEIGHTS);
        // One that cannot be read is refused where the folder is opened.
        notes.extend(Indexed::read(&index).into_iter().flat_map(|read| read.notes));
    }
    notes.extend(scheduler::note(folder));
    notes
}

/// A component as an index states it.
enum Class<'a> {
    /// Left out.
    None,
    /// The library, and its class.
    Of(&'a str, &'a str),
}

/// The component that a value states; `None` of what states none.
fn class_of(stated: &Value) -> Option<Class<'_>> {
    match stated {
        Value::Null => Some(Class::None),
        Value::Array(pair) => match &pair[..] {
            [Value::Null, Value::Null] => Some(Class::None),
            [Value::String(library), Value::String(class)] => Some(Class::Of(library, class)),
            _ => None,
        },
        _ => None,
    }
}

fn said(file: &Path, index: &Map<String, Value>) -> Vec<String> {
    let note = |(name, stated): (&String, &Value)| {
        let component = COMPONENTS.iter().find(|component| component.name == name);
        let what = match (component, class_of(stated)) {
            (_, Some(Class::None)) => return None,
            (Some(component), Some(Class::Of(library, _))) if library == component.library => return None,
            (Some(component), _) => format!("taken as that of {}", component.library),
            (None, Some(Class::Of(library, class))) if name == SCHEDULER.0 => {
                if [library, class] == SCHEDULER.1 {
                    return None;
                }
                "steps are those of the flow or the request".to_owned()
            }
            (None, _) if IDLE.contains(&name.as_str()) => return None,
            (None, Some(Class::Of(..))) => "no component of it is read here, and it is left alone".to_owned(),
            (None, None) => return Some(unknown_entry(format_args!("{}: {name}", file.display()), stated)),
        };
        Some(format!("{}: {name} is {stated}: {what}", file.display()))
    };
    index.iter().filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn usual() -> Value {
        let file = ltx_testkit::tiny("../ltxv-tiny/model_index.json");
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    }

    fn with(entry: &str, value: Value) -> Value {
        let mut index = usual();
        index[entry] = value;
        index
    }

    #[test]
    fn components_that_are_read_have_their_class() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(INDEX);
        let check = |index: &Value| {
            fs::write(&file, index.to_string()).unwrap();
            check(&file).map_err(|error| ltx_types::sentence(&error))
        };
        check(&usual()).unwrap();
        for class in ["T5Tokenizer", "T5TokenizerFast"] {
            check(&with("tokenizer", json!(["transformers", class]))).unwrap();
        }
        for left_out in [Value::Null, json!([null, null])] {
            check(&with("text_encoder", left_out.clone())).unwrap();
            assert!(check(&with("vae", left_out)).unwrap_err().contains("vae"));
        }
        for (entry, value) in [
            ("transformer", json!(["diffusers", "LTX2VideoTransformer3DModel"])),
            ("vae", json!(["diffusers", "AutoencoderTiny"])),
            ("vae", json!("AutoencoderKLLTXVideo")),
            ("vae", json!(["diffusers"])),
            ("text_encoder", json!(["transformers", "UMT5EncoderModel"])),
            ("text_encoder", json!(true)),
            ("tokenizer", json!(["transformers", "LlamaTokenizer"])),
        ] {
            let said = check(&with(entry, value.clone())).unwrap_err();
            assert!(said.contains(INDEX) && said.contains(entry), "{entry} {value}: {said}");
        }
    }

    #[test]
    fn what_else_is_stated_is_said() {
        let of = |index: &Value| said(Path::new("i.json"), index.as_object().unwrap());
        assert_eq!(of(&usual()), [] as [&str; 0]);
        for (entry, value, says) in [
            ("scheduler", json!(["diffusers", "UniPCMultistepScheduler"]), "UniPCMultistepScheduler"),
            ("image_encoder", json!(["transformers", "CLIPVisionModel"]), "left alone"),
            ("boundary_ratio", json!(0.5), "boundary_ratio is 0.5: not known here, and left alone"),
            ("is_distilled", json!(false), "is_distilled is false"),
            ("vae", json!(["my_code", "AutoencoderKLLTXVideo"]), "taken as that of diffusers"),
        ] {
            let said = of(&with(entry, value));
            assert!(said.len() == 1 && said[0].contains(says) && said[0].contains("i.json"), "{entry}: {said:?}");
        }
        for nothing in [Value::Null, json!([null, null])] {
            assert_eq!(of(&with("image_encoder", nothing)), [] as [&str; 0]);
        }
    }
}
