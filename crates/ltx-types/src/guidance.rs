//! How strongly the guided schedule pulls towards the prompt.
//!
//! Must not know tensors; the arithmetic is in `ltx-pipeline`.

use crate::{Faults, FieldError, FieldErrors};
use serde::{Deserialize, Serialize};

/// Guidance of one sampling stage: `cond + (cfg−1)(cond−uncond) + stg(cond−perturbed)`, then rescaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guidance {
    /// Classifier-free guidance scale; 1 switches it off.
    pub cfg_scale: f64,
    /// Spatio-temporal guidance scale; 0 switches it off.
    pub stg_scale: f64,
    /// Share, 0..=1, by which the prediction's deviation is pulled back to the conditional one's.
    pub rescale_scale: f64,
    /// Transformer blocks whose self-attention the perturbed pass skips.
    pub stg_blocks: Vec<usize>,
}

impl Guidance {
    /// The most that a scale may be.
    const MAX_SCALE: f64 = 100.0;

    /// Checks every number.
    ///
    /// # Errors
    /// Every scale that is not finite or out of range; STG that is on without a block to perturb, or with one that a model of so
    /// many `blocks` lacks.
    pub fn check(self, blocks: Option<usize>) -> Result<Self, FieldErrors> {
        let mut found = Faults::default();
        found.keep(scale("guidance_scale", self.cfg_scale, 0.0, Self::MAX_SCALE, 3.0));
        found.keep(scale("stg_scale", self.stg_scale, 0.0, Self::MAX_SCALE, 1.0));
        found.keep(scale("guidance_rescale", self.rescale_scale, 0.0, 1.0, 0.7));
        found.keep(self.check_blocks(blocks));
        found.nothing().map(|()| self)
    }

    /// Checks the blocks to perturb, where STG is on; `blocks` is how many the model has, where that is known.
    ///
    /// # Errors
    /// There is none, or one that the model lacks.
    pub fn check_blocks(&self, blocks: Option<usize>) -> Result<(), FieldError> {
        if !self.uses_stg() {
            return Ok(());
        }
        if self.stg_blocks.is_empty() {
            return Err(FieldError::new("stg_blocks", "[]", "names no block although stg_scale is not 0").nearest(0));
        }
        let Some(blocks) = blocks else { return Ok(()) };
        let beyond = self.stg_blocks.iter().find(|block| **block >= blocks);
        let last = blocks.saturating_sub(1);
        beyond.map_or(Ok(()), |block| {
            let rule = format!("is none of the model's blocks, 0..={last}");
            Err(FieldError::new("stg_blocks", block, rule).nearest(last))
        })
    }

    /// Whether the unconditional pass runs.
    pub fn uses_cfg(&self) -> bool {
        self.cfg_scale != 1.0
    }

    /// Whether the perturbed pass runs.
    pub fn uses_stg(&self) -> bool {
        self.stg_scale != 0.0
    }
}

fn scale(field: &'static str, value: f64, low: f64, high: f64, usual: f64) -> Result<(), FieldError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let error = FieldError::new(field, value, format!("is outside {low}..={high}"));
    Err(error.nearest(if value.is_nan() { usual } else { value.clamp(low, high) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_a_number() {
        let with = |cfg_scale| Guidance { cfg_scale, stg_scale: 1.0, rescale_scale: 0.7, stg_blocks: vec![28] };
        let fields = |guidance: Guidance, blocks| {
            let found = guidance.check(blocks).err();
            found.iter().flatten().map(|error| error.field).collect::<Vec<_>>()
        };
        assert!(fields(with(3.0), None).is_empty() && fields(with(3.0), Some(29)).is_empty());
        assert_eq!(fields(with(f64::NAN), None), ["guidance_scale"]);
        assert_eq!(fields(with(f64::INFINITY), Some(28)), ["guidance_scale", "stg_blocks"]);
        assert_eq!(fields(Guidance { stg_blocks: vec![], ..with(3.0) }, None), ["stg_blocks"]);
        let off = Guidance { stg_scale: 0.0, ..with(3.0) };
        assert!(fields(off, Some(3)).is_empty(), "nothing is skipped at scale 0");
        let text = with(1.0).check(Some(3)).unwrap_err().to_string();
        assert_eq!(text, "stg_blocks: 28 is none of the model's blocks, 0..=2; nearest legal: 2");
    }
}
