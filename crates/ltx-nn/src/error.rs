//! What can go wrong in a layer: arithmetic, or a weight that is not what the layer needs.
//!
//! Must not know which request was running.

use crate::profile;
use std::path::PathBuf;

/// Result of everything in this crate and in `ltx-model`.
pub type Result<T, E = NnError> = std::result::Result<T, E>;

/// An error of a layer or of the weights under it.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// A tensor operation failed (shape, memory, device).
    #[error("tensor operation failed")]
    Tensor {
        /// candle's own error.
        #[source]
        source: Box<candle_core::Error>,
    },
    /// The device has no memory left for something.
    #[error("{what} does not fit into the device's memory; ask for fewer or smaller frames, or for the CPU")]
    OutOfDeviceMemory {
        /// A weight's key, or the operator that was at work.
        what: String,
        /// candle's own error.
        #[source]
        source: Box<candle_core::Error>,
    },
    /// A key that the model needs is not in the file.
    #[error("{}: key {key} is missing (expected shape {expected:?})", file.display())]
    MissingKey {
        /// The checkpoint file.
        file: PathBuf,
        /// The full key.
        key: String,
        /// The shape the configuration asks for.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("{}: key {key} has shape {found:?}, expected {expected:?}", file.display())]
    WrongShape {
        /// The checkpoint file.
        file: PathBuf,
        /// The full key.
        key: String,
        /// The shape the configuration asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is stored in a type that is not read.
    #[error("{}: key {key} is stored as {found}, expected BF16, F16, F32 or a quantised format that is read (docs/formats.md)", file.display())]
    WrongDType {
        /// The checkpoint file.
        file: PathBuf,
        /// The full key.
        key: String,
        /// The type in the file.
        found: String,
    },
    /// A row outside a matrix was asked for, such as a token id outside the vocabulary.
    #[error("{}: key {key} has {rows} rows, row {row} was asked for", file.display())]
    NoSuchRow {
        /// The checkpoint file.
        file: PathBuf,
        /// The full key.
        key: String,
        /// Rows in the matrix.
        rows: usize,
        /// The row asked for.
        row: u32,
    },
    /// The bytes of a weight cannot be read, or are no longer there.
    #[error("{}: key {key} cannot be read", file.display())]
    Unreadable {
        /// The checkpoint file.
        file: PathBuf,
        /// The full key.
        key: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A configuration value that this engine does not implement.
    #[error("configuration: {field} is {found}, supported: {supported}")]
    UnsupportedConfig {
        /// The configuration's field.
        field: String,
        /// Its value.
        found: String,
        /// What would be accepted.
        supported: String,
    },
    /// A configuration that does not parse.
    #[error("configuration of the {part} cannot be read")]
    BadConfig {
        /// The part of the model it belongs to.
        part: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

impl NnError {
    /// The same, an exhausted memory being that of the weight `key`.
    #[must_use]
    pub(crate) fn while_reading(self, key: impl FnOnce() -> String) -> Self {
        match self {
            Self::OutOfDeviceMemory { source, .. } => {
                Self::OutOfDeviceMemory { what: format!("the weight {}", key()), source }
            }
            other => other,
        }
    }

    /// A configuration value outside what is implemented.
    pub fn unsupported(field: impl Into<String>, found: impl ToString, supported: impl Into<String>) -> Self {
        Self::UnsupportedConfig { field: field.into(), found: found.to_string(), supported: supported.into() }
    }
}

impl From<ltx_kernels::KernelError> for NnError {
    fn from(error: ltx_kernels::KernelError) -> Self {
        candle_core::Error::from(error).into()
    }
}

impl From<candle_core::Error> for NnError {
    fn from(source: candle_core::Error) -> Self {
        if ltx_kernels::is_out_of_memory(&source) {
            let operator = profile::operator();
            let what = if operator.is_empty() { "a tensor".to_owned() } else { format!("a tensor of {operator}") };
            return Self::OutOfDeviceMemory { what, source: Box::new(source) };
        }
        Self::Tensor { source: Box::new(source) }
    }
}
