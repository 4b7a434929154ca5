//! A good `ltxd generate` request on the tiny model, to be spoilt in one flag.
//!
//! Must not know what is wrong with a value.

use super::files::{models, start_picture};
use std::fmt::Display;

/// Flags of `ltxd generate`. In values, `{out}` stands for the folder for outputs and `{made}/NAME` for a spoilt file.
#[derive(Debug, Clone)]
pub(crate) struct Request(Vec<(&'static str, String)>);

/// An image, a prompt and a small shape, written to `{out}/clip.mp4`.
pub(crate) fn good() -> Request {
    Request(Vec::new())
        .with("image", start_picture())
        .with("prompt", "A calm lake at sunrise.")
        .with("model", "ltx-2.3-tiny")
        .with("models-dir", models())
        .with("width", 128)
        .with("height", 96)
        .with("frames", 9)
        .with("seed", 1)
        .with("out", "{out}/clip.mp4")
}

impl Request {
    /// A flag with this value, instead of the one it had.
    pub(crate) fn with(self, flag: &'static str, value: impl Display) -> Self {
        let mut request = self.without(flag);
        request.0.push((flag, value.to_string()));
        request
    }

    /// Without this flag.
    pub(crate) fn without(mut self, flag: &str) -> Self {
        self.0.retain(|(name, _)| *name != flag);
        self
    }

    /// The words of the command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let flags = self.0.iter().map(|(flag, value)| format!("--{flag}={value}"));
        std::iter::once("generate".to_owned()).chain(flags).collect()
    }
}
