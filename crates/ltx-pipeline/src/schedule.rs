//! The noise levels of every stage. Source: the public `ltx_pipelines` constants (distilled) and `ltx_core` scheduler
//! (guided), which follows the resolution-shifted schedule of Esser et al., “Scaling Rectified Flow Transformers” (2024).
//!
//! Must not know tensors.

use ltx_engine::{DISTILLED_STEPS, REFINING_STEPS};
use ltx_types::Schedule;

/// Sigmas from the first step to the last, ending in 0; f32 as the reference keeps them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sigmas(Vec<f32>);

const DISTILLED: [f32; DISTILLED_STEPS + 1] = [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909_375, 0.725, 0.421_875, 0.0];
const REFINING: [f32; REFINING_STEPS + 1] = [0.909_375, 0.725, 0.421_875, 0.0];

/// The shift is taken from 4,096 tokens whatever the clip's size: `base 0.95 … max 2.05` over `1024 … 4096` tokens.
const SHIFT: f64 = 2.05;
/// 1 minus the terminal sigma.
const ONE_MINUS_TERMINAL: f32 = 0.9;

impl Sigmas {
    /// All of them.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// The first `steps` steps, or all of them.
    pub(crate) fn start(&self, steps: usize) -> Self {
        Self(self.0.iter().take(steps.saturating_add(1)).copied().collect())
    }

    /// Denoising steps.
    pub fn steps(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// Each step's sigma and the next one.
    pub fn pairs(&self) -> impl Iterator<Item = (f32, f32)> {
        self.0.windows(2).map(|pair| (pair[0], pair[1]))
    }
}

/// The sigmas of the first stage, and of the second.
pub fn stage_sigmas(schedule: Schedule, steps: usize) -> [Sigmas; 2] {
    let first = match schedule {
        Schedule::Distilled => DISTILLED.to_vec(),
        Schedule::Guided => guided(steps),
    };
    [Sigmas(first), Sigmas(REFINING.to_vec())]
}

/// Shifted linear sigmas, stretched so that the last one before 0 is the terminal. Quotients are products with a
/// reciprocal, as torch computes a number divided by a tensor; that is why the first sigma lies a hair below 1.
fn guided(steps: usize) -> Vec<f32> {
    let exponential = SHIFT.exp() as f32;
    let shifted = |sigma: f32| (exponential + (1.0 / sigma - 1.0)).recip() * exponential;
    let mut sigmas: Vec<f32> = (0..steps).map(|i| shifted(linspace_down(i, steps))).collect();
    let scale = sigmas.last().map_or(1.0, |last| (1.0 - last) / ONE_MINUS_TERMINAL);
    for sigma in &mut sigmas {
        *sigma = 1.0 - (1.0 - *sigma) / scale;
    }
    sigmas.push(0.0);
    sigmas
}

/// `torch.linspace(1, 0, steps + 1)[i]` in f32: its second half counts up from the end.
fn linspace_down(i: usize, steps: usize) -> f32 {
    let step = -1.0 / steps as f32;
    if i < steps.div_ceil(2) { 1.0 + step * i as f32 } else { -step * (steps - i) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_engine::StageSteps;

    #[test]
    fn guided_equals_the_reference() {
        let [sigmas, _] = stage_sigmas(Schedule::Guided, 5);
        let expected = [0.999_999_8, 0.917_441_9, 0.790_720_1, 0.571_46, 0.100_000_024, 0.0];
        assert_eq!(sigmas.steps(), 5);
        for (found, expected) in sigmas.values().iter().zip(expected) {
            assert!((found - expected).abs() < 3e-7, "{found} {expected}");
        }
    }

    #[test]
    fn stages_take_the_steps_that_the_interface_promises() {
        for schedule in [Schedule::Distilled, Schedule::Guided] {
            for steps in 2..60 {
                let StageSteps { denoising, refining } = StageSteps::of(schedule, steps);
                assert_eq!(stage_sigmas(schedule, steps).map(|sigmas| sigmas.steps()), [denoising, refining]);
            }
        }
    }

    #[test]
    fn every_step_count_descends_to_zero() {
        for steps in 2..60 {
            let [sigmas, _] = stage_sigmas(Schedule::Guided, steps);
            assert!(sigmas.pairs().all(|(sigma, next)| sigma > next), "{steps}");
            assert_eq!(sigmas.values().last(), Some(&0.0));
        }
    }
}
