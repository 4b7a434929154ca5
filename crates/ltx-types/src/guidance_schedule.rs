//! Guidance that changes with the noise level: which scales a step has, and which blocks its perturbed pass skips.
//!
//! Must not know tensors, nor which steps there are.

use crate::{FieldError, FieldErrors, Guidance};
use serde::{Deserialize, Serialize};

/// Guidance of a stage by noise level. A step is guided as the first level says that its sigma reaches; one below all of them as the
/// last one says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuidanceSchedule {
    /// From the noisiest down. Without any, nothing is guided.
    levels: Vec<GuidanceLevel>,
    /// Whether the unconditional prediction is scaled to the conditional one's projection on it before it counts.
    #[serde(default)]
    cfg_star: bool,
}

/// Guidance from a noise level down to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuidanceLevel {
    /// The lowest sigma that it holds for, 0..=1.
    pub sigma: f64,
    /// What holds there.
    pub guidance: Guidance,
}

impl GuidanceSchedule {
    /// By levels, from the noisiest down.
    pub fn new(levels: Vec<GuidanceLevel>, cfg_star: bool) -> Self {
        Self { levels, cfg_star }
    }

    /// The same guidance at every noise level.
    pub fn constant(guidance: Guidance) -> Self {
        Self::new(vec![GuidanceLevel { sigma: 0.0, guidance }], false)
    }

    /// The guidance of a step that begins at a sigma. Compared in f32, as the authors' sigmas are.
    pub fn at(&self, sigma: f32) -> Option<&Guidance> {
        let reached = self.levels.iter().find(|level| level.sigma as f32 <= sigma);
        reached.or(self.levels.last()).map(|level| &level.guidance)
    }

    /// Whether the unconditional prediction is scaled before it counts.
    pub fn scales_unconditional(&self) -> bool {
        self.cfg_star
    }

    /// Checks every level's numbers; blocks are checked by [`Self::block_beyond`], once the model is known.
    ///
    /// # Errors
    /// Levels that do not fall within 0..=1, and every number that a level's guidance may not have. Each names its level.
    pub fn check(&self) -> Result<(), FieldErrors> {
        let mut above = f64::INFINITY;
        for GuidanceLevel { sigma, guidance } in &self.levels {
            if !(0.0..=1.0).contains(sigma) || *sigma >= above {
                let rule = "is no level of guidance: levels lie within 0..=1, each below the one before it";
                return Err(FieldError::new("pass_guidance", sigma, rule).into());
            }
            above = *sigma;
            let within = |error: FieldError| FieldError { rule: format!("{} at sigma {sigma}", error.rule), ..error };
            guidance.clone().check(None).map_err(|errors| errors.map(within))?;
        }
        Ok(())
    }

    /// A block that a perturbed pass skips and that a model of so many lacks.
    pub fn block_beyond(&self, blocks: usize) -> Option<usize> {
        let perturbed = self.levels.iter().map(|level| &level.guidance).filter(|guidance| guidance.uses_stg());
        perturbed.flat_map(|guidance| &guidance.stg_blocks).copied().find(|block| *block >= blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(sigma: f64, cfg_scale: f64, stg_blocks: Vec<usize>) -> GuidanceLevel {
        let stg_scale = if stg_blocks.is_empty() { 0.0 } else { 1.0 };
        GuidanceLevel { sigma, guidance: Guidance { cfg_scale, stg_scale, rescale_scale: 0.0, stg_blocks } }
    }

    #[test]
    fn a_step_has_the_first_level_that_it_reaches_and_the_last_below_all() {
        let schedule = GuidanceSchedule::new(
            vec![level(1.0, 1.0, vec![]), level(0.985, 6.0, vec![1]), level(0.6, 2.0, vec![])],
            true,
        );
        let scale = |sigma| schedule.at(sigma).map(|guidance| guidance.cfg_scale);
        assert_eq!((scale(1.0), scale(0.999), scale(0.985)), (Some(1.0), Some(6.0), Some(6.0)));
        assert_eq!((scale(0.984), scale(0.6), scale(0.1)), (Some(2.0), Some(2.0), Some(2.0)));
        assert!(GuidanceSchedule::new(vec![], false).at(0.5).is_none());
        let one = GuidanceSchedule::constant(level(0.0, 3.0, vec![]).guidance);
        assert!([1.0, 0.5, 0.0].iter().all(|sigma| one.at(*sigma).is_some_and(|guidance| guidance.cfg_scale == 3.0)));
    }

    #[test]
    fn what_is_no_schedule_is_named_with_its_level() {
        let checked = |levels| GuidanceSchedule::new(levels, false).check().map_err(|errors| errors.to_string());
        assert_eq!(checked(vec![level(1.0, 3.0, vec![]), level(0.5, 3.0, vec![])]), Ok(()));
        for levels in [vec![level(1.5, 3.0, vec![])], vec![level(f64::NAN, 3.0, vec![])]] {
            assert!(checked(levels).unwrap_err().starts_with("pass_guidance: "));
        }
        assert!(
            checked(vec![level(0.5, 3.0, vec![]), level(0.5, 3.0, vec![])])
                .unwrap_err()
                .starts_with("pass_guidance: 0.5")
        );
        let told = checked(vec![level(1.0, 3.0, vec![]), level(0.5, -1.0, vec![])]).unwrap_err();
        assert!(told.starts_with("guidance_scale: -1 is outside 0..=100 at sigma 0.5"), "{told}");
        let blocks = GuidanceSchedule::new(vec![level(1.0, 3.0, vec![2]), level(0.5, 3.0, vec![1, 39])], false);
        assert_eq!((blocks.block_beyond(39), blocks.block_beyond(40)), (Some(39), None));
    }
}
