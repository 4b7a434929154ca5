//! What the tests of the binary share: where things are, how a command is run, and how one waits for a state or an event.
//!
//! Must not know what is tested.

pub(crate) mod command;
pub(crate) mod files;
pub(crate) mod gguf;
pub(crate) mod node;
pub(crate) mod pictures;
pub(crate) mod process;
pub(crate) mod published;
pub(crate) mod request;
pub(crate) mod safetensors;
pub(crate) mod sparse;
pub(crate) mod spoilt;
pub(crate) mod terminal;
