//! What can be wrong with a folder of manifests, and with what they name.
//!
//! Must not know who asked for it.

use ltx_types::{FieldError, FieldErrors};
use std::{fmt, io, path::PathBuf};

/// Result of reading manifests.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// A folder, a manifest or a file of a model that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The folder or the manifest cannot be opened or read.
    #[error("{}: cannot be read", file.display())]
    Read {
        /// The folder or the manifest.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A manifest does not parse.
    #[error("{}: not a valid model manifest", file.display())]
    BadManifest {
        /// The manifest.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A manifest's defaults are not those of the flow that it names.
    #[error("{}: the defaults contradict the flow that they name", file.display())]
    Contradiction {
        /// The manifest.
        file: PathBuf,
        /// Which of them, and what the flow has.
        #[source]
        source: FieldErrors,
    },
    /// A name of a manifest's states another generation of LTX than its family's.
    #[error("{}: a name and the family are of two generations", file.display())]
    OtherGeneration {
        /// The manifest.
        file: PathBuf,
        /// Which name, and what it says.
        #[source]
        source: FieldError,
    },
    /// A lock file or a record of found files does not parse.
    #[error("{}: not as ltxd wrote it; mend it, or remove it and pull again", file.display())]
    BadRecord {
        /// The file.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A lock file or a record of found files cannot be written.
    #[error("{}: cannot be written", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Files of a model are not on this machine.
    #[error("{model}: not on this machine: {}{}", list(files), remedy(model, files))]
    Missing {
        /// The model.
        model: String,
        /// Which of its files.
        files: Vec<MissingFile>,
    },
}

/// A file that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFile {
    /// Where the manifest puts it, if it does.
    pub place: Option<PathBuf>,
    /// Repository and path, where it can be fetched.
    pub source: Option<String>,
}

impl fmt::Display for MissingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, &self.place) {
            (Some(source), _) => f.write_str(source),
            (None, Some(place)) => write!(f, "{}", place.display()),
            (None, None) => f.write_str("a file without a place"),
        }
    }
}

fn list(files: &[MissingFile]) -> String {
    files.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn remedy(model: &str, files: &[MissingFile]) -> String {
    if files.iter().any(|file| file.source.is_none()) {
        return "; its manifest does not say how to get that: put it where it says".to_owned();
    }
    format!("; to fetch it: ltxd pull {model}, or, where another program keeps it: ltxd pull {model} --from DIR")
}
