//! What can be wrong with a file of weights.
//!
//! Must not know who asked for it.

use crate::{GgufFault, LoadReport};
use ltx_types::{Cancelled, json::Contradiction};
use std::{io, path::PathBuf};

/// Result of everything in this crate.
pub type Result<T, E = WeightsError> = std::result::Result<T, E>;

/// A file that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// What was named is no regular file; it was not opened.
    #[error("{}: {found}, expected a regular file", file.display())]
    NotAFile {
        /// What was named.
        file: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The header is not one of safetensors.
    #[error("{}: not a safetensors file", file.display())]
    NotSafetensors {
        /// The file.
        file: PathBuf,
        /// The parser's reason.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// The header describes a tensor by more than its type, its shape and its place.
    #[error(
        "{}: key {key} has a field {field} in the header, expected dtype, shape and data_offsets alone: what it changes is not known here",
        file.display()
    )]
    TensorField {
        /// The file.
        file: PathBuf,
        /// The tensor.
        key: String,
        /// The field.
        field: String,
    },
    /// The file is shorter, or longer, than its header says.
    #[error(
        "{}: {} (the header describes {expected} bytes, the file has {found})", file.display(),
        if found < expected { "truncated" } else { "has bytes after its last tensor" }
    )]
    WrongLength {
        /// The file.
        file: PathBuf,
        /// Bytes that the header describes, itself included.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// A GGUF file whose header is not what it should be, or does not fit the file.
    #[error("{}: not a usable GGUF file: {place}: {found}, expected {expected}", file.display())]
    Gguf {
        /// The file.
        file: PathBuf,
        /// What kind of thing is wrong.
        fault: GgufFault,
        /// The metadata key, the tensor, or the place in the header.
        place: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// A file says that its weights are scaled, and one has no scale.
    #[error("{}: key {key} is {found} and has no {scale} beside it, which its format or others in this file ask for", file.display())]
    MissingScale {
        /// The file.
        file: PathBuf,
        /// The weight.
        key: String,
        /// The type of its values.
        found: &'static str,
        /// The last word of the scale's key.
        scale: &'static str,
    },
    /// The scale of a quantised weight is not what its format asks for.
    #[error("{}: key {key} is {found}, expected {expected}", file.display())]
    BadScale {
        /// The file.
        file: PathBuf,
        /// The scale.
        key: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// What a file states about its quantisation is not understood, or contradicts its tensors.
    #[error("{}: the quantisation of {key}: {found}, expected {expected}", file.display())]
    Quantisation {
        /// The file.
        file: PathBuf,
        /// The layer's weight, or where it is stated.
        key: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// The file is quantised in a way that is not read.
    #[error("{}: quantised as {format} (such as key {key}), which is not read; {instead}", file.display())]
    UnreadFormat {
        /// The file.
        file: PathBuf,
        /// The first tensor of the format.
        key: String,
        /// The format's name.
        format: String,
        /// What to take instead.
        instead: &'static str,
    },
    /// A tensor holds a value that is not finite; it cannot be quantised.
    #[error("{}: key {key} holds a value that is not finite", file.display())]
    NotFinite {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
    },
    /// A file cannot be written; nothing of it is left.
    #[error("{}: cannot be written", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Somebody asked to stop; nothing of the file is left.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A tensor cannot be read or converted.
    #[error(transparent)]
    Tensor(#[from] ltx_nn::NnError),
    /// The folder holds no weights.
    #[error("{}: no safetensors or GGUF file in this folder", folder.display())]
    EmptyFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A file that was named as a LoRA holds none.
    #[error("{}: no LoRA: no key in it ends with .lora_A.weight, .lora_down.weight or their counterparts", file.display())]
    NotALora {
        /// The file.
        file: PathBuf,
    },
    /// What was named as a LoRA file is of another format, or a folder.
    #[error("{}: {found}; LoRA files are read as safetensors: name such a file", file.display())]
    NotALoraFile {
        /// What was named.
        file: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The index names a key that its file does not hold.
    #[error("{}: the index places key {key} in {shard}, which does not hold it", index.display())]
    IndexMismatch {
        /// The index file.
        index: PathBuf,
        /// The key.
        key: String,
        /// The file it should be in.
        shard: String,
    },
    /// The index of a model in several files states something that is not known here.
    #[error("{}: the index states {entry} as {found}, which is not known here: take it out of the index", index.display())]
    IndexEntry {
        /// The index file.
        index: PathBuf,
        /// The entry.
        entry: String,
        /// What it states.
        found: String,
    },
    /// Two files of one model hold the same key with different tensors.
    #[error("{}: key {key} is also in {}, and is another tensor there: {how}; name one of them", second.display(), first.display())]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it was first.
        first: PathBuf,
        /// Where it came again.
        second: PathBuf,
        /// What differs.
        how: String,
    },
    /// Two files of one model state different configurations.
    #[error(
        "{}: its configuration says {} is {}, and {} says {}; name files of one model", second.display(), contradiction.entry,
        contradiction.second, first.display(), contradiction.first
    )]
    ConfigsDiffer {
        /// Who states it first.
        first: PathBuf,
        /// Who contradicts.
        second: PathBuf,
        /// The entry, with both values.
        contradiction: Box<Contradiction>,
    },
    /// A metadata entry that the official files carry is absent.
    #[error("{}: metadata entry {entry} is missing; name an official file, or a .json, that states the configuration as a component", file.display())]
    MissingMetadata {
        /// The file.
        file: PathBuf,
        /// The entry.
        entry: &'static str,
    },
    /// An entry of the header states something that is not obeyed here.
    #[error("{}: header entry {entry} is {found}, supported: {expected}", file.display())]
    Entry {
        /// The file.
        file: PathBuf,
        /// The entry.
        entry: String,
        /// What it states.
        found: String,
        /// What is obeyed, and what to do.
        expected: String,
    },
    /// JSON in or beside the file does not parse.
    #[error("{}: {what} is not valid JSON", file.display())]
    BadJson {
        /// The file.
        file: PathBuf,
        /// What part of it.
        what: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Keys are missing, unknown or misshapen.
    #[error("{}: refused: {report}", file.display())]
    Keys {
        /// The file or folder.
        file: PathBuf,
        /// What is wrong with which key.
        report: Box<LoadReport>,
    },
}
