//! The configuration of a checkpoint whose files state none, from its keys and shapes: sizes are what the tensors have, everything
//! else is what the published LTX-2.3 22B states, LTX-2 19B or LTX-Video 0.9.8. A checkpoint that shows none of them has none.
//!
//! Must not know files.

mod transformer;
mod ungated;
mod vae;
mod video_alone;

use crate::architecture::{Family, Keys};
use ltx_nn::{NnError, Result};
use serde_json::Value;

/// The published configuration of LTX-2.3 22B.
const PUBLISHED: &str = include_str!("../../../../models/facts/ltx-2.3-22b.config.json");
/// That of LTX-2 19B.
const PUBLISHED_2: &str = include_str!("../../../../models/facts/ltx-2-19b.config.json");

/// Where keys of a decoder begin that draws pixels from noise, which LTX-2.5 alone has.
const DIFFUSION_DECODER: &str = "vae.decoder.det_stages.";

/// What to do about a checkpoint that does not say what it is.
const ADD_ONE: &str =
    "LTX-2.3's, LTX-2's or LTX-Video 0.9.8's; add the configuration .json of the model (models/facts) as a component";

/// The section `transformer`, for the transformer, the text connector and the text projection. `text_width` is the width of the
/// text encoder's hidden states, where it is known: no shape shows it.
///
/// # Errors
/// The keys or shapes are not those of LTX-2, LTX-2.3, LTX-2.5 or LTX-Video 0.9.8.
pub fn transformer_section(keys: &dyn Keys, text_width: Option<usize>) -> Result<Value> {
    match Family::shown_by(keys) {
        Some(Family::Ltxv098) => video_alone::section(&Shapes(keys)),
        Some(Family::Ltx2) => ungated::section(&Shapes(keys), published(PUBLISHED_2, "transformer")?),
        _ => transformer::section(&Shapes(keys), published(PUBLISHED, "transformer")?, text_width),
    }
}

/// The section `vae`, for the encoder and the decoder of pixels; beside a transformer of LTX-2 that one's, whose decoder no shape
/// tells from another.
///
/// # Errors
/// The keys or shapes are not those of LTX-2.3, LTX-2 or LTX-Video 0.9.8.
pub fn vae_section(keys: &dyn Keys) -> Result<Value> {
    if let Some(key) = keys.all().find(|key| key.starts_with(DIFFUSION_DECODER)) {
        let supported = "stated: no shape shows the kernels of a diffusion decoder; add the configuration .json of LTX-2.5's \
            video VAE (models/facts) as a component";
        return Err(NnError::unsupported(
            "vae, of which there is the key ".to_owned() + key + ",",
            "absent",
            supported,
        ));
    }
    let older = Family::shown_by(keys) == Some(Family::Ltx2);
    vae::section(&Shapes(keys), published(if older { PUBLISHED_2 } else { PUBLISHED }, "vae")?, older)
}

fn published(model: &str, section: &str) -> Result<Value> {
    let config: Value =
        serde_json::from_str(model).map_err(|source| NnError::BadConfig { part: "published model", source })?;
    Ok(config.get(section).cloned().unwrap_or_default())
}

/// How every refusal of these functions begins.
const UNSTATED: &str = "no configuration is stated, and ";
/// How one goes on that is of a tensor, which is missing or of a shape that no model here has.
const OF_A_TENSOR: [&str; 4] = ["the key ", "the shape of ", "the values that ", "in "];

fn refused(what: impl std::fmt::Display, found: impl ToString) -> NnError {
    NnError::unsupported(format!("{UNSTATED}{what}"), found, ADD_ONE)
}

/// Why no configuration could be told from keys and shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// A tensor is missing, or of a shape that no model here has.
    Tensor(String),
    /// A number that no shape shows.
    Number(String),
}

impl Lack {
    /// What a refusal of [`transformer_section`] or [`vae_section`] says; `None` of another error.
    pub fn of(error: &NnError) -> Option<Self> {
        let NnError::UnsupportedConfig { field, found, .. } = error else { return None };
        let what = field.strip_prefix(UNSTATED)?;
        let kind = if OF_A_TENSOR.iter().any(|head| what.starts_with(head)) { Self::Tensor } else { Self::Number };
        Some(kind(format!("{what} is {found}")))
    }
}

/// Shapes by key, and refusals that name the key.
struct Shapes<'a>(&'a dyn Keys);

impl Shapes<'_> {
    /// The shape of a tensor that LTX-2.3 has, with this many dimensions, none of them 0.
    fn of(&self, key: &str, dimensions: usize) -> Result<&[usize]> {
        let shape = self.0.shape_of(key);
        let usable = shape.filter(|shape| shape.len() == dimensions && !shape.contains(&0));
        usable.ok_or_else(|| match shape {
            Some(shape) => refused(format!("the shape of {key}"), format!("{shape:?}")),
            None => refused(format!("the key {key}"), "absent"),
        })
    }

    /// A quotient without a rest.
    fn divided(&self, key: &str, a: usize, b: usize) -> Result<usize> {
        match a.checked_rem(b) {
            Some(0) => Ok(a / b),
            _ => Err(refused(format!("in {key} {a} over {b}"), "no whole number")),
        }
    }

    /// How many of `head`'s numbered followers there are, counted from 0.
    fn count(&self, head: &str) -> usize {
        (0..).take_while(|number| self.0.has_prefix(&format!("{head}{number}."))).count()
    }

    fn has(&self, key: &str) -> bool {
        self.0.shape_of(key).is_some()
    }
}

#[cfg(test)]
mod tests;
