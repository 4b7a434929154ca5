//! How strongly the guided schedule pulls towards the prompt.
//!
//! Must not know tensors; the arithmetic is in `ltx-pipeline`.

use crate::FieldError;
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
    /// A scale is not finite or out of range, or STG is on without a block to perturb.
    pub fn check(self) -> Result<Self, FieldError> {
        scale("guidance_scale", self.cfg_scale, 0.0, Self::MAX_SCALE, 3.0)?;
        scale("stg_scale", self.stg_scale, 0.0, Self::MAX_SCALE, 1.0)?;
        scale("guidance_rescale", self.rescale_scale, 0.0, 1.0, 0.7)?;
        if self.stg_scale != 0.0 && self.stg_blocks.is_empty() {
            return Err(FieldError::new("stg_blocks", "[]", "names no block although stg_scale is not 0"));
        }
        Ok(self)
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
        assert!(with(3.0).check().is_ok());
        assert!(with(f64::NAN).check().is_err_and(|e| e.field == "guidance_scale"));
        assert!(with(f64::INFINITY).check().is_err());
        let no_block = Guidance { stg_blocks: vec![], ..with(3.0) };
        assert!(no_block.check().is_err_and(|e| e.field == "stg_blocks"));
    }
}
