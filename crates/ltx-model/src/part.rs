//! A part of a model as a module: its name, its configuration, how it is loaded, and by which keys a file is known to hold
//! it. What it needs in memory stands in the `footprint` beside its forward.
//!
//! Must not know files, or which parts a generation holds at once.

use crate::{
    text_encoder::{Connector, FeatureProjection},
    transformer::Transformer,
    video_vae::{VideoDecoder, VideoEncoder},
};
use ltx_nn::{Result, Vb};
use ltx_types::Part;

/// A part that is loaded from weights.
pub trait Module: Sized {
    /// Which part it is.
    const PART: Part;
    /// The beginning of official keys that no other part has; empty where the part has a file of its own.
    const MARK: &'static str;
    /// What decides its sizes.
    type Config;

    /// Loads all of it from the root of its file.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    fn load(root: &Vb, config: &Self::Config) -> Result<Self>;
}

/// A part of a checkpoint, and the beginning of keys by which it is found.
#[derive(Debug, Clone, Copy)]
pub struct Marked {
    /// The part.
    pub part: Part,
    /// The beginning of keys that no other part has.
    pub mark: &'static str,
}

const fn marked<M: Module>() -> Marked {
    Marked { part: M::PART, mark: M::MARK }
}

/// The parts of a checkpoint without text parts: the text encoder's states are what the transformer takes.
pub const WITHOUT_TEXT: [Marked; 3] = [marked::<Transformer>(), marked::<VideoEncoder>(), marked::<VideoDecoder>()];

/// The parts of a checkpoint: what the official single file holds beside the audio stream.
pub const CHECKPOINT: [Marked; 5] = [
    marked::<Transformer>(),
    marked::<Connector>(),
    marked::<FeatureProjection>(),
    marked::<VideoEncoder>(),
    marked::<VideoDecoder>(),
];
