//! PEFT's `adapter_config.json` beside a LoRA file: whose it is. Whoever opens such files and whoever tells them apart ask here.
//!
//! Must not know what it states.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// The name that PEFT gives it.
const CONFIG: &str = "adapter_config.json";
/// How the names of the files begin that PEFT saves with it.
const MODEL: &str = "adapter_model";
/// How the names of files end that it may be of.
const ENDS: [&str; 2] = [".safetensors", ".bin"];

/// A configuration beside a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdapterConfig {
    /// It is the file's: its path.
    OfTheFile(PathBuf),
    /// It is not the file's, or cannot be told to be.
    OfAnother {
        /// The file that PEFT saved it with, or the first of those that it may be of as well.
        file: String,
        /// Whether that file is called as PEFT calls it.
        by_name: bool,
    },
}

impl AdapterConfig {
    /// The configuration beside a LoRA file, if there is one. It is the file's where the file is called as PEFT calls it, or is the only
    /// file of weights in its folder.
    pub fn beside(lora: &Path) -> Option<Self> {
        let config = Some(lora.with_file_name(CONFIG)).filter(|config| config.is_file())?;
        let is_of_weights = |name: &str| ENDS.iter().any(|end| name.ends_with(end));
        let is_pefts = |name: &str| name.starts_with(MODEL) && is_of_weights(name);
        let own = lora.file_name()?.to_string_lossy();
        if is_pefts(&own) {
            return Some(Self::OfTheFile(config));
        }
        let folder = config.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut others: Vec<String> = names.filter(|name| *name != own && is_of_weights(name)).collect();
        others.sort_by_key(|name| (!is_pefts(name), name.clone()));
        Some(match others.into_iter().next() {
            None => Self::OfTheFile(config),
            Some(file) => Self::OfAnother { by_name: is_pefts(&file), file },
        })
    }

    /// Its path, where it is the file's.
    pub fn path(self) -> Option<PathBuf> {
        match self {
            Self::OfTheFile(path) => Some(path),
            Self::OfAnother { .. } => None,
        }
    }
}

impl fmt::Display for AdapterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfTheFile(path) => write!(f, "{} is read", path.display()),
            Self::OfAnother { file, by_name: true } => write!(f, "{CONFIG} beside it is taken as that of {file}"),
            Self::OfAnother { file, .. } => {
                write!(f, "{CONFIG} beside it is not read, as it may be that of another file there, such as {file}")
            }
        }?;
        match self {
            Self::OfTheFile(_) => Ok(()),
            Self::OfAnother { .. } => f.write_str("; in a folder alone with this file it would be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_of_the_file_that_its_name_or_the_folder_tells() {
        for (own, others, said) in [
            ("adapter_model.safetensors", &[][..], None),
            ("adapter_model.safetensors", &["my.safetensors"], None),
            ("adapter_model.fp16.safetensors", &["adapter_model.safetensors"], None),
            ("my.safetensors", &[], None),
            ("my.safetensors", &["readme.md", "config.json"], None),
            ("my.safetensors", &["adapter_model.bin"], Some("taken as that of adapter_model.bin")),
            (
                "my.safetensors",
                &["a.safetensors", "adapter_model.safetensors"],
                Some("taken as that of adapter_model.safetensors"),
            ),
            ("my.safetensors", &["other.safetensors"], Some("such as other.safetensors")),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(own);
            assert_eq!(AdapterConfig::beside(&path), None, "{own}");
            for name in others.iter().chain([&own, &CONFIG]) {
                fs::write(folder.path().join(name), "{}").unwrap();
            }
            let found = AdapterConfig::beside(&path).unwrap();
            match said {
                None => assert_eq!(found.path(), Some(folder.path().join(CONFIG)), "{own} {others:?}"),
                Some(said) => {
                    assert!(found.to_string().contains(said), "{found}");
                    assert_eq!(found.path(), None);
                }
            }
        }
    }
}
