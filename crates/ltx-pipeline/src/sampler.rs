//! The denoising loop: velocities, guidance, Euler steps in f32, plain or ancestral.
//!
//! Must not know images or files.

use crate::{
    PipelineError, Result, Sigmas, ancestral::Ancestral, conditioning::TokenState, guidance::Predictions, latent::save,
    preview::Previewer,
};
use candle_core::{DType, Tensor};
use ltx_engine::Run;
use ltx_model::transformer::{BlockSkips, TokenTimesteps, Transformer, TransformerInput};
use ltx_nn::{RopeTable, Taps};
use ltx_types::{Guidance, Progress, Seed, Stage};

/// What a stage samples with.
pub(crate) struct Sampler<'a> {
    pub(crate) transformer: &'a Transformer,
    /// `[1, 1024, D]`, f32.
    pub(crate) context: &'a Tensor,
    /// The negative prompt's context, where guidance needs it.
    pub(crate) negative_context: Option<&'a Tensor>,
    pub(crate) guidance: Option<&'a Guidance>,
    /// The request's seed, where the stage is sampled by ancestral Euler.
    pub(crate) ancestral: Option<Seed>,
    pub(crate) run: &'a Run<'a>,
    pub(crate) previewer: &'a Previewer<'a>,
}

/// One forward pass of a step.
struct Pass<'a> {
    context: &'a Tensor,
    skips: BlockSkips<'a>,
}

impl Sampler<'_> {
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
        let rope = self.transformer.rope(&state.positions.middles())?;
        let total = sigmas.steps();
        let mut ancestral = self.ancestral.map(Ancestral::new);
        for (_, next) in sigmas.pairs().take(done) {
            ancestral.iter_mut().for_each(|ancestral| ancestral.skip(next, state));
        }
        let mut x = tokens;
        taps.record("sigmas", || Ok(Tensor::new(sigmas.values(), x.device())?))?;
        for (step, (sigma, next)) in sigmas.pairs().enumerate().skip(done) {
            self.run.progress.report(Progress { stage, done: step, total });
            let taps = taps.ending(format!(".step{step}"));
            taps.record("latent_in", || Ok(x.clone()))?;
            let denoised = self.predict(&x, state, &rope, sigma, (step, &taps))?;
            taps.record("denoised", || Ok(denoised.clone()))?;
            let clean = state.hold(&denoised)?;
            x = match &mut ancestral {
                Some(ancestral) => ancestral.step((&x, &clean), (sigma, next), state, |noise| {
                    Ok(taps.record("sde_noise", || Ok(noise.clone()))?)
                })?,
                None => {
                    let velocity = ((&x - &clean)? / f64::from(sigma))?;
                    (x + (velocity * f64::from(next - sigma))?)?
                }
            };
            if !all_finite(&x)? {
                return Err(PipelineError::NotFinite { stage: stage.label() });
            }
            save(self.run.store, stage, step + 1, &x)?;
            self.run.cancel.check()?;
            let after = Progress { stage, done: step + 1, total };
            self.previewer.offer(after, || Ok(state.clip_latent(&clean)?));
        }
        self.run.progress.report(Progress { stage, done: total, total });
        Ok(x)
    }

    /// The guided prediction of the clean tokens.
    fn predict(
        &self,
        x: &Tensor,
        state: &TokenState,
        rope: &RopeTable,
        sigma: f32,
        (step, taps): (usize, &Taps),
    ) -> Result<Tensor> {
        let per_token: Vec<f32> = state.mask.iter().map(|mask| mask * sigma).collect();
        let timesteps = TokenTimesteps::new(&per_token, x.device())?;
        let scale = Tensor::from_vec(per_token, (1, state.tokens(), 1), x.device())?;
        let run = |pass: Pass<'_>| -> Result<Tensor> {
            let Pass { context, skips } = pass;
            // The block outputs of the first step are golden; those of later steps would only fill memory.
            let inner = if step == 0 { taps.clone() } else { Taps::off() };
            inner.ending("").record("rope_cos", || Ok(rope.per_head()?.0))?;
            inner.ending("").record("rope_sin", || Ok(rope.per_head()?.1))?;
            inner.record("model_sigma", || Ok(Tensor::new(&[sigma], x.device())?))?;
            taps.record("model_timesteps", || Ok(scale.clone()))?;
            let first_frame = state.first_frame_tokens();
            let input = TransformerInput { tokens: x, timesteps: &timesteps, sigma, context, rope, first_frame, skips };
            let velocity =
                self.transformer.forward(&input, &inner, |_| self.run.cancel.check().map_err(PipelineError::from))?;
            taps.record("velocity", || Ok(velocity.clone()))?;
            Ok((x - velocity.broadcast_mul(&scale)?)?)
        };
        let conditional = run(Pass { context: self.context, skips: BlockSkips::NONE })?;
        let guidance = self.guidance;
        let unconditional = self
            .negative_context
            .filter(|_| guidance.is_some_and(Guidance::uses_cfg))
            .map(|context| run(Pass { context, skips: BlockSkips::NONE }))
            .transpose()?;
        let perturbed = guidance
            .filter(|guidance| guidance.uses_stg())
            .map(|guidance| run(Pass { context: self.context, skips: BlockSkips(&guidance.stg_blocks) }))
            .transpose()?;
        Ok(Predictions { conditional, unconditional, perturbed }.combine(guidance)?)
    }
}

/// Whether every value is finite.
pub(crate) fn all_finite(x: &Tensor) -> Result<bool> {
    // A sum of magnitudes is finite exactly when every one of them is (no latent comes near f32's range).
    Ok(x.to_dtype(DType::F32)?.abs()?.sum_all()?.to_scalar::<f32>()?.is_finite())
}
