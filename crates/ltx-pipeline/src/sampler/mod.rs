//! The denoising loop of a stage: steps of a sampler, each reported, saved and shown before the next begins.
//!
//! Must not know images or files, nor what a sampler does in a step.

mod ancestral;
mod euler;
mod kind;
mod model;
mod points;
mod res_2s;

use crate::{PipelineError, Result, Sigmas, conditioning::TokenState, latent::save, preview::Previewer};
use candle_core::{DType, Tensor};
pub(crate) use kind::{SamplerKind, samplers};
use ltx_engine::Run;
use ltx_model::transformer::Transformer;
use ltx_nn::Taps;
use ltx_types::{GuidanceSchedule, Progress, Stage};
use model::Model;

/// A step of a sampler: the noise level that the tokens have, and the one that they get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) index: usize,
    pub(crate) sigma: f32,
    pub(crate) next: f32,
}

/// What a step yields.
pub(crate) struct Stepped {
    /// `[1, T, C]`, f32: what the next step begins with.
    pub(crate) tokens: Tensor,
    /// The newest estimate of the clean tokens, images held: what a preview shows.
    pub(crate) clean: Tensor,
}

/// How tokens get from one noise level to the next. A sampler lives for one stage; what it keeps beside the tokens follows from
/// its step's number, so that a stage can go on from saved tokens.
pub(crate) trait Sampler {
    /// The steps of a stage with such noise levels.
    fn steps(&self, sigmas: &Sigmas) -> Vec<Step> {
        let steps = sigmas.pairs().enumerate();
        steps.map(|(index, (sigma, next))| Step { index, sigma, next }).collect()
    }

    /// How often a step asks the model.
    fn evaluations(&self, _: Step) -> usize {
        1
    }

    /// Passes by a step that an earlier run has done: draws the noise that the step drew.
    fn skip(&mut self, _: Step, _: &TokenState) {}

    /// Takes a step.
    ///
    /// # Shapes
    /// `x [1, T, C]`, f32 → the same.
    fn step(&mut self, x: &Tensor, step: Step, model: &Model<'_>) -> Result<Stepped>;
}

/// What a stage samples with.
pub(crate) struct Sampling<'a> {
    pub(crate) kind: SamplerKind,
    pub(crate) transformer: &'a Transformer,
    /// `[1, 1024, D]`, f32.
    pub(crate) context: &'a Tensor,
    /// The negative prompt's context, where guidance needs it.
    pub(crate) negative_context: Option<&'a Tensor>,
    /// By noise level.
    pub(crate) guidance: Option<&'a GuidanceSchedule>,
    pub(crate) run: &'a Run<'a>,
    pub(crate) previewer: &'a Previewer<'a>,
}

impl Sampling<'_> {
    /// Runs the steps of a stage that are not `done` yet; stops within one when cancelled.
    ///
    /// # Shapes
    /// `tokens [1, T, C]`, f32 → the same.
    pub(crate) fn run(
        &self,
        stage: Stage,
        state: &TokenState,
        tokens: Tensor,
        (sigmas, done): (&Sigmas, usize),
        taps: &Taps,
    ) -> Result<Tensor> {
        let mut sampler = self.kind.sampler(sigmas);
        let steps = sampler.steps(sigmas);
        let total = steps.iter().map(|step| sampler.evaluations(*step)).sum();
        taps.record("sigmas", || Ok(Tensor::new(sigmas.values(), tokens.device())?))?;
        let mut model = Model::new(self, state, Progress { stage, done: 0, total })?;
        let (before, ahead) = steps.split_at(done.min(steps.len()));
        for step in before {
            sampler.skip(*step, state);
            model.pass(sampler.evaluations(*step));
        }
        let mut x = tokens;
        for step in ahead {
            model.begin(step.index, taps);
            let stepped = sampler.step(&x, *step, &model)?;
            x = stepped.tokens;
            if !all_finite(&x)? {
                return Err(PipelineError::NotFinite { stage: stage.label() });
            }
            save(self.run.store, stage, step.index + 1, &x)?;
            self.run.cancel.check()?;
            self.previewer.offer(model.progress(), || Ok(state.clip_latent(&stepped.clean)?));
        }
        self.run.progress.report(Progress { stage, done: total, total });
        Ok(x)
    }
}

/// Whether every value is finite.
pub(crate) fn all_finite(x: &Tensor) -> Result<bool> {
    // A sum of magnitudes is finite exactly when every one of them is (no latent comes near f32's range).
    Ok(x.to_dtype(DType::F32)?.abs()?.sum_all()?.to_scalar::<f32>()?.is_finite())
}
