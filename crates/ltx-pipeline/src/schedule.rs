//! The noise levels of every stage. Source: the public `ltx_pipelines` constants (distilled) and `ltx_core` scheduler
//! (guided), which follows the resolution-shifted schedule of Esser et al., “Scaling Rectified Flow Transformers” (2024).
//!
//! Must not know tensors.

use ltx_model::architecture::{Architecture, Conditioning};
use ltx_types::{
    DISTILLED_STEPS, Flow, Generation, LatentScale, LatentShape, REFINING_STEPS, SamplingStage, Schedule, SigmaList,
    linear_quadratic,
};

/// Sigmas from the first step to the last, ending in 0; f32 as the reference keeps them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sigmas(Vec<f32>);

const DISTILLED: [f32; DISTILLED_STEPS + 1] = [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909_375, 0.725, 0.421_875, 0.0];
const REFINING: [f32; REFINING_STEPS + 1] = [0.909_375, 0.725, 0.421_875, 0.0];

/// The shift is `0.95 … 2.05` over `1024 … 4096` tokens, and goes on beyond both.
const SHIFTS: [f64; 2] = [0.95, 2.05];
/// See [`SHIFTS`].
const SHIFT_TOKENS: [f64; 2] = [1024.0, 4096.0];
/// Tokens that the shift is taken from whatever the clip's size, but in the flow `hq`.
const USUAL_TOKENS: usize = 4096;
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

impl From<&SigmaList> for Sigmas {
    fn from(list: &SigmaList) -> Self {
        Self(list.values().iter().map(|sigma| *sigma as f32).collect())
    }
}

/// The sigmas of the first stage, and of the second: the request's own, or those of its schedule. `scale` is the video VAE's.
pub fn stage_sigmas(request: &Generation, scale: LatentScale) -> [Sigmas; 2] {
    let by_name = || named(request.schedule, request.steps, tokens(request, scale));
    let first = request.sigmas.as_ref().map_or_else(by_name, Sigmas::from);
    let second = request.refine_sigmas.as_ref().map_or_else(|| Sigmas(REFINING.to_vec()), Sigmas::from);
    [first, second]
}

/// Tokens that the guided schedule's shift is taken from: of the first stage's latent in the flow `hq`, images left out.
pub(crate) fn tokens(request: &Generation, scale: LatentScale) -> usize {
    match request.flow {
        Some(Flow::Hq) => {
            let first = request.pixels.first_stage(request.stages);
            LatentShape::of(first, request.frames, scale).tokens()
        }
        _ => USUAL_TOKENS,
    }
}

/// The same for a checkpoint: the schedules' names mean other sigmas in LTX-Video 0.9.x.
pub(crate) fn family_sigmas(architecture: &Architecture, request: &Generation) -> [Sigmas; 2] {
    let mut sigmas = stage_sigmas(request, architecture.vae.scale());
    if architecture.family.conditioning() == Conditioning::Points {
        let of_flow = |stage| of_flow(request.flow, stage);
        if request.sigmas.is_none() {
            let named = || of_points(request.schedule, request.steps);
            sigmas[0] = of_flow(SamplingStage::First).unwrap_or_else(named);
        }
        if request.refine_sigmas.is_none() {
            sigmas[1] = of_flow(SamplingStage::Second).unwrap_or_else(refining_of_points);
        }
    }
    sigmas
}

/// The sigmas of a stage, where a flow has its own.
pub(crate) fn of_flow(flow: Option<Flow>, stage: SamplingStage) -> Option<Sigmas> {
    Some(Sigmas(flow?.sigmas(stage)?.into_iter().chain([0.0]).collect()))
}

/// The sigmas of the second pass of LTX-Video 0.9.8.
pub(crate) fn refining_of_points() -> Sigmas {
    Sigmas(POINTS_REFINING.map(|timestep| timestep / 1000.0).to_vec())
}

/// The sigmas of a schedule's name in LTX-Video 0.9.x.
pub(crate) fn of_points(schedule: Schedule, steps: usize) -> Sigmas {
    Sigmas(match schedule {
        Schedule::Distilled => POINTS_DISTILLED.map(|timestep| timestep / 1000.0).to_vec(),
        // Values pass through timesteps of 0..1000 in f32, as the reference's do.
        Schedule::Guided => {
            linear_quadratic(steps).into_iter().map(|sigma| sigma * 1000.0 / 1000.0).chain([0.0]).collect()
        }
    })
}

/// Timesteps of the distilled weights of LTX-Video 0.9.8, 0..1000.
const POINTS_DISTILLED: [f32; 8] = [1000.0, 993.7, 987.5, 981.2, 975.0, 909.4, 725.0, 0.0];
/// The same of their second pass.
const POINTS_REFINING: [f32; REFINING_STEPS + 1] = [909.4, 725.0, 421.9, 0.0];
/// The first stage's sigmas of a named schedule.
fn named(schedule: Schedule, steps: usize, tokens: usize) -> Sigmas {
    Sigmas(match schedule {
        Schedule::Distilled => DISTILLED.to_vec(),
        Schedule::Guided => guided(steps, shift(tokens)),
    })
}

fn shift(tokens: usize) -> f64 {
    let slope = (SHIFTS[1] - SHIFTS[0]) / (SHIFT_TOKENS[1] - SHIFT_TOKENS[0]);
    tokens as f64 * slope + (SHIFTS[0] - slope * SHIFT_TOKENS[0])
}

/// Shifted linear sigmas, stretched so that the last one before 0 is the terminal. Quotients are products with a
/// reciprocal, as torch computes a number divided by a tensor; that is why the first sigma lies a hair below 1.
fn guided(steps: usize, shift: f64) -> Vec<f32> {
    let exponential = shift.exp() as f32;
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
    use ltx_model::architecture::Family;
    use ltx_types::{
        Defaults, FramePosition, GenerationDraft, ImageInput, ImageSource, Method, Overrides, Stages, Strength,
    };

    fn draft(schedule: Schedule, steps: usize) -> GenerationDraft {
        let source = ImageSource::Path("x".into());
        let image = ImageInput { source, position: FramePosition::First, strength: Strength::FULL };
        let draft = Defaults::official(schedule).fill(Overrides::default(), String::new(), vec![image]);
        GenerationDraft { steps, stages: Stages::Two, ..draft }
    }

    fn checked(draft: GenerationDraft) -> Generation {
        draft.check(Method::ImageToVideo).unwrap()
    }

    #[test]
    fn guided_equals_the_reference() {
        let sigmas = named(Schedule::Guided, 5, USUAL_TOKENS);
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
                let named = draft(schedule, steps);
                let own = GenerationDraft {
                    sigmas: Some((0..=steps).rev().map(|i| i as f64 / 60.0).collect()),
                    refine_sigmas: Some(vec![0.5, 0.25, 0.125, 0.0625, 0.0]),
                    ..named.clone()
                };
                for draft in [named, own] {
                    let request = checked(draft);
                    let StageSteps { denoising, refining } = StageSteps::of(&request);
                    assert_eq!(
                        stage_sigmas(&request, LatentScale::LTX).map(|sigmas| sigmas.steps()),
                        [denoising, refining]
                    );
                }
            }
        }
    }

    /// What a person reads off a named schedule and gives by hand means the same bits.
    #[test]
    fn sigmas_given_by_hand_are_those_of_the_schedule_bit_by_bit() {
        let bits = |sigmas: &Sigmas| sigmas.values().iter().map(|sigma| sigma.to_bits()).collect::<Vec<_>>();
        for (schedule, steps) in [(Schedule::Distilled, 8), (Schedule::Guided, 30), (Schedule::Guided, 5)] {
            let table = stage_sigmas(&checked(draft(schedule, steps)), LatentScale::LTX);
            let [sigmas, refine_sigmas] = table.each_ref().map(|sigmas| {
                let written = sigmas.values().iter().map(ToString::to_string);
                Some(written.map(|text| text.parse().unwrap()).collect::<Vec<f64>>())
            });
            let own = checked(GenerationDraft { sigmas, refine_sigmas, ..draft(schedule, 7) });
            assert_eq!(stage_sigmas(&own, LatentScale::LTX).each_ref().map(bits), table.each_ref().map(bits));
        }
    }

    #[test]
    fn the_distilled_schedules_have_as_many_steps_as_their_families_say() {
        for (family, sigmas) in [
            (Family::Ltxv098, of_points(Schedule::Distilled, 0)),
            (Family::Ltx2, named(Schedule::Distilled, 0, USUAL_TOKENS)),
            (Family::Ltx23, named(Schedule::Distilled, 0, USUAL_TOKENS)),
            (Family::Ltx25, named(Schedule::Distilled, 0, USUAL_TOKENS)),
        ] {
            assert_eq!(sigmas.steps(), family.distilled_steps(), "{family:?}");
        }
        assert_eq!(refining_of_points().steps(), REFINING_STEPS);
    }

    #[test]
    fn a_flow_with_steps_of_its_own_takes_as_many_as_it_says() {
        let request = checked(GenerationDraft { flow: Some(Flow::MultiScale), ..draft(Schedule::Guided, 30) });
        let StageSteps { denoising, refining } = StageSteps::of(&request);
        let taken = SamplingStage::ALL.map(|stage| of_flow(request.flow, stage).map(|sigmas| sigmas.steps()));
        assert_eq!(taken, [Some(denoising), Some(refining)]);
        assert!(of_flow(Some(Flow::Hq), SamplingStage::First).is_none());
    }

    #[test]
    fn the_tokens_that_hq_is_shifted_by_are_those_of_the_vaes_scale() {
        let hq = GenerationDraft { flow: Some(Flow::Hq), ..draft(Schedule::Guided, 15) };
        let hq = checked(GenerationDraft { width: 128, height: 64, frames: 17, ..hq });
        let finer = LatentScale { time: 4, height: 16, width: 16 };
        assert_eq!((tokens(&hq, LatentScale::LTX), tokens(&hq, finer)), (3 * 2, 5 * 4 * 2));
    }

    #[test]
    fn every_step_count_descends_to_zero() {
        for steps in 2..60 {
            let sigmas = named(Schedule::Guided, steps, USUAL_TOKENS);
            assert!(sigmas.pairs().all(|(sigma, next)| sigma > next), "{steps}");
            assert_eq!(sigmas.values().last(), Some(&0.0));
        }
    }
}
