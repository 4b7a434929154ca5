//! The model as a sampler sees it: noisy tokens and their noise level in, an estimate of the clean tokens out.
//!
//! Must not know what a sampler makes of it.

use super::Sampling;
use crate::{PipelineError, Result, conditioning::TokenState, guidance::Predictions};
use candle_core::Tensor;
use ltx_model::transformer::{BlockSkips, TokenTimesteps, TransformerInput};
use ltx_nn::{RopeTable, Taps};
use ltx_types::{Guidance, GuidanceSchedule, Progress};
use std::cell::Cell;

/// A stage's transformer with its prompt, guidance and images. Every evaluation is reported as it begins.
pub(crate) struct Model<'a> {
    sampling: &'a Sampling<'a>,
    state: &'a TokenState,
    rope: RopeTable,
    step: usize,
    taps: Taps,
    /// Evaluations that are done, of all.
    progress: Cell<Progress>,
}

/// One forward pass of an evaluation.
struct Pass<'a> {
    context: &'a Tensor,
    skips: BlockSkips<'a>,
}

impl<'a> Model<'a> {
    pub(super) fn new(sampling: &'a Sampling<'a>, state: &'a TokenState, progress: Progress) -> Result<Self> {
        let rope = sampling.transformer.rope(&state.positions.middles())?;
        Ok(Self { sampling, state, rope, step: 0, taps: Taps::off(), progress: Cell::new(progress) })
    }

    /// Turns to a step; what is recorded from now on ends with its number.
    pub(super) fn begin(&mut self, step: usize, taps: &Taps) {
        self.step = step;
        self.taps = taps.clone();
    }

    /// Counts evaluations that an earlier run has done.
    pub(super) fn pass(&self, evaluations: usize) {
        let progress = self.progress.get();
        self.progress.set(Progress { done: progress.done + evaluations, ..progress });
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.get()
    }

    /// The token sequence's images and mask.
    pub(crate) fn state(&self) -> &TokenState {
        self.state
    }

    /// Under these names a sampler records what it draws.
    pub(crate) fn taps(&self, at: &str) -> Taps {
        self.taps.ending(format!(".step{}{at}", self.step))
    }

    /// The guided estimate of the clean tokens, images held by the mask; `at` tells the evaluations of a step apart, and is empty
    /// for the one at its start.
    ///
    /// # Shapes
    /// `x [1, T, C]`, f32 → the same.
    pub(crate) fn clean(&self, x: &Tensor, sigma: f32, at: &str) -> Result<Tensor> {
        self.sampling.run.progress.report(self.progress());
        let taps = self.taps(at);
        taps.record("latent_in", || Ok(x.clone()))?;
        // The block outputs of the first evaluation are golden; those of later ones would only fill memory.
        let inner = if self.step == 0 && at.is_empty() { taps.clone() } else { Taps::off() };
        let denoised = self.predict(x, sigma, (&taps, &inner))?;
        taps.record("denoised", || Ok(denoised.clone()))?;
        self.pass(1);
        self.state.hold(&denoised)
    }

    /// The guided prediction of the clean tokens.
    fn predict(&self, x: &Tensor, sigma: f32, (taps, inner): (&Taps, &Taps)) -> Result<Tensor> {
        let Self { state, rope, sampling, .. } = self;
        let per_token = state.timesteps(sigma);
        let timesteps = TokenTimesteps::new(&per_token, x.device())?;
        let scale = Tensor::from_vec(per_token, (1, state.tokens(), 1), x.device())?;
        let cancel = sampling.run.cancel;
        // What is the same in every pass; the goldens of points hold it once.
        let again = Cell::new(false);
        let run = |pass: Pass<'_>| -> Result<Tensor> {
            let Pass { context, skips } = pass;
            let (same, once) = match again.replace(state.guides_velocities()) {
                false => (taps.clone(), inner.ending("")),
                true => (Taps::off(), Taps::off()),
            };
            once.record("rope_cos", || Ok(rope.per_head()?.0))?;
            once.record("rope_sin", || Ok(rope.per_head()?.1))?;
            inner.record("model_sigma", || Ok(Tensor::new(&[sigma], x.device())?))?;
            same.record("model_timesteps", || Ok(scale.clone()))?;
            let first_frame = state.first_frame_tokens();
            let input = TransformerInput { tokens: x, timesteps: &timesteps, sigma, context, rope, first_frame, skips };
            let velocity =
                sampling.transformer.forward(&input, inner, |_| cancel.check().map_err(PipelineError::from))?;
            taps.record("velocity", || Ok(velocity.clone()))?;
            Ok(velocity)
        };
        let clean = |velocity: Tensor| -> Result<Tensor> { Ok((x - velocity.broadcast_mul(&scale)?)?) };
        match state.guides_velocities() {
            true => clean(self.guided(sigma, run)?),
            false => self.guided(sigma, |pass| clean(run(pass)?)),
        }
    }

    /// The passes that guidance needs at a noise level, and no others, combined: of velocities or of clean predictions, whichever
    /// `run` yields. The pipeline of LTX-Video 0.9.x asks for the unconditional one first.
    fn guided(&self, sigma: f32, run: impl Fn(Pass<'_>) -> Result<Tensor>) -> Result<Tensor> {
        let Sampling { context, negative_context, guidance: schedule, .. } = *self.sampling;
        let guidance = schedule.and_then(|schedule| schedule.at(sigma));
        let negative = negative_context.filter(|_| guidance.is_some_and(Guidance::uses_cfg));
        let plain = |context| run(Pass { context, skips: BlockSkips::NONE });
        let (conditional, unconditional) = if self.state.guides_velocities() {
            let unconditional = negative.map(plain).transpose()?;
            (plain(context)?, unconditional)
        } else {
            (plain(context)?, negative.map(plain).transpose()?)
        };
        let perturbed = guidance.filter(|guidance| guidance.uses_stg());
        let skipping = |guidance: &Guidance| run(Pass { context, skips: BlockSkips(&guidance.stg_blocks) });
        let perturbed = perturbed.map(skipping).transpose()?;
        Ok(Predictions { conditional, unconditional, perturbed }
            .combine(guidance, schedule.is_some_and(GuidanceSchedule::scales_unconditional))?)
    }
}
