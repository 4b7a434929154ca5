//! Files that are one of several parts of a model's weights, as diffusers and transformers cut them (`…-00002-of-00003.safetensors`):
//! they state no configuration, and hold keys of some blocks alone.
//!
//! Must not know what is in them.

use crate::PipelineError;
use std::path::Path;

/// Which part of how many a file's name says it is.
fn part_of(file: &Path) -> Option<(u32, u32)> {
    let (rest, all) = file.file_stem()?.to_str()?.rsplit_once("-of-")?;
    let (_, part) = rest.rsplit_once('-')?;
    let numbers = |word: &str| if word.len() == 5 { word.parse::<u32>().ok() } else { None };
    Some((numbers(part)?, numbers(all)?)).filter(|(part, all)| (1..=*all).contains(part) && *all > 1)
}

/// What the first of some files is that is such a part.
pub(super) fn named<'a>(files: impl IntoIterator<Item = &'a Path>) -> Option<PipelineError> {
    files.into_iter().find_map(|file| {
        let (part, all) = part_of(file)?;
        Some(PipelineError::Foreign {
            file: file.to_owned(),
            title: format!("part {part} of {all} of a model that was cut into files"),
            sign: "its name says so, and no file states a configuration".to_owned(),
            instead: "parts of a transformer are not read here: take the single file of Lightricks, or its components as ComfyUI has them (docs/models.md)",
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_known_by_its_name() {
        let of = |name: &str| part_of(Path::new(name));
        assert_eq!(of("a/diffusion_pytorch_model-00002-of-00003.safetensors"), Some((2, 3)));
        for whole in [
            "ltx-2.3-22b-dev.safetensors",
            "model-00001-of-00001.safetensors",
            "model-00004-of-00003.safetensors",
            "best-of-3.safetensors",
            "a-1-of-2.gguf",
        ] {
            assert_eq!(of(whole), None, "{whole}");
        }
        assert!(named([Path::new("whole.safetensors")]).is_none());
    }
}
