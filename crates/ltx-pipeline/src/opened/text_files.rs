//! The text encoder of a model, of whichever kind its family needs.
//!
//! Must not know requests.

use super::{KeysOf, LtxFile, T5Files, TextFolder, same};
use crate::{PipelineError, Result};
use candle_core::DType;
use ltx_model::{
    architecture::Family,
    footprint::Stack,
    part::Module,
    t5::T5Config,
    text_encoder::{Generation, TokenIds},
    transformer::Transformer,
};
use ltx_weights::{ShapeOnly, TensorSet};
use std::{path::Path, sync::Arc};

/// A text encoder's files, opened.
pub(crate) enum TextFiles {
    /// Gemma-3, whose hidden states a checkpoint's own parts turn into the context.
    Gemma(Box<TextFolder>),
    /// T5, whose last states are the context.
    T5(T5Files),
}

impl TextFiles {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if T5Files::is_at(path) {
            return Ok(Self::T5(T5Files::open(path)?));
        }
        Ok(Self::Gemma(Box::new(TextFolder::open(path)?)))
    }

    pub(crate) fn tensors(&self) -> &Arc<TensorSet> {
        match self {
            Self::Gemma(text) => &text.tensors,
            Self::T5(text) => &text.tensors,
        }
    }

    /// Loads the encoder from shapes alone.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        match self {
            Self::Gemma(text) => text.account(),
            Self::T5(text) => text.account(),
        }
    }

    pub(crate) fn notes(&self) -> &[String] {
        match self {
            Self::Gemma(text) => &text.notes,
            Self::T5(text) => &text.notes,
        }
    }

    /// Width of its states.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Gemma(text) => text.config.hidden_size,
            Self::T5(text) => text.config.d_model,
        }
    }

    /// A text projection of the checkpoint's that lies in the encoder's file.
    ///
    /// # Errors
    /// It cannot be read, or is of another generation than the checkpoint's transformer.
    pub(crate) fn projection_beside(&self, checkpoint: &TensorSet) -> Result<Option<TensorSet>> {
        let Self::Gemma(text) = self else { return Ok(None) };
        let projection = text.projection_tensors()?;
        let shown = Family::shown_by(&KeysOf(checkpoint)).filter(|_| checkpoint.has_prefix(Transformer::MARK));
        match shown {
            Some(family)
                if projection.is_some() && family != Family::Ltx25 && text.config.generation == Generation::Four =>
            {
                Err(PipelineError::Foreign {
                    file: text.tensors.path().to_owned(),
                    title: format!("{} text encoder with the text projection of LTX-2.5", Generation::Four.title()),
                    sign: format!("its configuration says so, and the transformer is {}'s", family.title()),
                    instead: match family {
                        Family::Ltxv098 => "this checkpoint needs T5 v1.1 XXL (docs/models.md)",
                        Family::Ltx2 | Family::Ltx23 | Family::Ltx25 => {
                            "this checkpoint needs Gemma 3 (docs/models.md)"
                        }
                    },
                })
            }
            _ => Ok(projection),
        }
    }

    /// The dtype that it is computed in where the model is computed in `dtype`.
    pub(crate) fn compute_dtype(&self, dtype: DType) -> DType {
        match self {
            Self::Gemma(_) => dtype,
            Self::T5(_) => T5Config::compute_dtype(dtype),
        }
    }

    /// Its layers, which are streamed.
    pub(crate) fn stack(&self) -> Stack {
        match self {
            Self::Gemma(text) => text.config.stack(text.prefix),
            Self::T5(text) => text.config.stack(),
        }
    }

    /// The Gemma that a checkpoint with text parts needs.
    ///
    /// # Errors
    /// It is another encoder.
    pub(crate) fn gemma(&self) -> Result<&TextFolder> {
        match self {
            Self::Gemma(text) => Ok(text),
            Self::T5(text) => Err(PipelineError::Foreign {
                file: text.tensors.path().to_owned(),
                title: "T5 text encoder".to_owned(),
                sign: "it has the key encoder.block.0.layer.0.SelfAttention.q.weight".to_owned(),
                instead: "this checkpoint needs Gemma 3, or Gemma 4 of LTX-2.5 (docs/models.md)",
            }),
        }
    }

    /// Refuses a text encoder that is not the checkpoint's: of another kind, width or depth.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check_beside(&self, ltx: &mut LtxFile) -> Result<()> {
        match (self, ltx.architecture.family) {
            (Self::T5(text), Family::Ltxv098) => {
                same("text encoder width", text.config.d_model, ltx.architecture.transformer.context_width())
            }
            (Self::Gemma(text), Family::Ltxv098) => Err(PipelineError::Foreign {
                file: text.tensors.path().to_owned(),
                title: "Gemma text encoder".to_owned(),
                sign: "its keys say so".to_owned(),
                instead: "LTX-Video 0.9.8 needs T5 v1.1 XXL (docs/models.md)",
            }),
            _ => ltx.check_text_encoder(&self.gemma()?.config),
        }
    }

    /// Ids and mask of a prompt with the padding where the reference has it; T5's sequence is as long as `slots`.
    pub(crate) fn padded(&self, prompt: &TokenIds, slots: usize) -> (Vec<i64>, Vec<i64>) {
        match self {
            Self::Gemma(text) => prompt.left_padded(text.config.pad_token_id),
            Self::T5(text) => prompt.right_padded(text.config.pad_token_id, slots),
        }
    }
}
