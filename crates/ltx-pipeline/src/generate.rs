//! A generation, read as prose: encode the prompt, encode the images, denoise, upsample, refine, decode.
//!
//! Must not know who asked, or where the frames are kept.

use crate::{
    Engine, Noise, PipelineError, Result, Sigmas, adain,
    conditioning::{ConditionedImage, Drawn, PreparedImage, TokenState, Upsampled},
    contexts::{Needing, prompt_taps, prompts_of},
    decode::{behind_second_pass, decode_tiled},
    engine::LatentUpsampling,
    latent::LatentState,
    plan::Fit,
    preview::Previewer,
    rgb::each_rgb_frame,
    sampler::{SamplerKind, Sampling},
    schedule::family_sigmas,
};
use candle_core::{DType, Tensor};
use ltx_engine::{Encodings, EngineError, Generator, Outcome, Run, StageSeconds};
use ltx_media::FrameWriter;
use ltx_model::{
    architecture::Conditioning, text_encoder::TokenIds, transformer::Transformer, video_vae::VideoDecoder,
};
use ltx_nn::Taps;
use ltx_policy::Admitted;
use ltx_types::{
    FieldError, Flow, Generation, LatentShape, PixelShape, Progress, SamplingStage, Schedule, Stage, Stages,
};
use ltx_weights::LoraHalf;
use sha2::{Digest, Sha256};
use std::time::Instant;

impl Generator for Engine {
    fn generate(
        &mut self,
        request: &Admitted<Generation>,
        writers: &mut [Box<dyn FrameWriter>],
        run: &Run<'_>,
    ) -> Result<Outcome, EngineError> {
        let mut digest = Sha256::new();
        let mut frames = 0;
        let Ran { latent, seconds, contexts, images } = self.run(request.request(), run, &Taps::off(), |chunk| {
            each_rgb_frame(&chunk, |frame| {
                digest.update(frame);
                frames += 1;
                Ok(writers.iter_mut().try_for_each(|writer| writer.write(frame))?)
            })
        })?;
        let values = latent.flatten_all().and_then(|latent| latent.to_vec1::<f32>()).map_err(PipelineError::from)?;
        let latent: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let latent_sha256 = format!("{:x}", Sha256::digest(latent));
        let frames_sha256 = format!("{:x}", digest.finalize());
        Ok(Outcome { frames, seconds, contexts, images, latent_sha256, frames_sha256 })
    }
}

/// What a run yields beside its chunks.
pub(crate) struct Ran {
    /// The final latent.
    pub(crate) latent: Tensor,
    /// The time of every stage.
    pub(crate) seconds: Vec<StageSeconds>,
    /// Where the contexts came from.
    pub(crate) contexts: Encodings,
    /// Where the images' latents came from.
    pub(crate) images: Encodings,
}

/// What the stages work with once everything that can be wrong with a request has been looked at.
struct Prepared {
    /// The prompt, and the negative one where guidance needs it.
    prompts: Vec<TokenIds>,
    images: Vec<PreparedImage>,
    /// All noise of a clip whose family draws more than the sampler's.
    drawn: Option<Drawn>,
}

impl Engine {
    /// Runs a generation beneath the policy gate; `each` receives decoded chunks `[1, 3, f, H, W]`.
    pub(crate) fn run(
        &self,
        request: &Generation,
        run: &Run<'_>,
        taps: &Taps,
        each: impl FnMut(Tensor) -> Result<()>,
    ) -> Result<Ran> {
        let prepared = self.prepare(request, taps)?;
        let mut clock = Clock::default();
        let over =
            request.stages == Stages::Two && LatentState::saved(run.store)?.is_some_and(|saved| saved.is_refining());
        let needing = Needing { request, wear: &self.ltx.loras.wear(&request.loras)?, over };
        let begun = Instant::now();
        let mut contexts = self.kept_contexts(needing, &prepared.prompts, run.cache);
        let encodes = !contexts.are_complete();
        let fit = &self.fit(request, encodes)?;
        self.make_room(fit);
        self.complete_contexts(&mut contexts, &prepared.prompts, (run, fit), taps)?;
        // Where nothing is encoded there is no such stage.
        if encodes {
            clock.add(Stage::TextEncoding, begun);
        }
        let (of_contexts, contexts) = (contexts.origin(), contexts.by_stage());
        let begun = Instant::now();
        let mut latents = self.kept_images(request, &prepared.images, run.cache, over);
        if !latents.are_complete() {
            let encoder = self.video_encoder(fit)?;
            self.complete_images(&mut latents, &encoder, &prepared.images, (run, taps))?;
            clock.add(Stage::ImageEncoding, begun);
        }
        let of_images = latents.origin();
        let images = self.conditioned_images(latents, request, &prepared.images, taps)?;
        let drawn = prepared.drawn.as_ref();
        let mut noise = Noise::new(request.seed);
        let latent = self.sample(request, (run, fit), (&contexts, &images, drawn), &mut noise, taps, &mut clock)?;
        clock.time(Stage::Decoding, || {
            let decoder = self.video_decoder(fit)?;
            let noised = match drawn {
                Some(drawn) => {
                    let noised = self.noised(&decoder, &latent, (drawn, request), taps)?;
                    // The authors' guided passes do without it.
                    let second = request.stages == Stages::Two && request.schedule == Schedule::Distilled;
                    if second { behind_second_pass(&noised, &self.architecture().transformer)? } else { noised }
                }
                None => latent.clone(),
            };
            // What is drawn here goes on where the sampling's noise ended.
            decode_tiled(&decoder, &noised, &fit.tiles, &mut noise, (run.cancel, run.progress), each)
        })?;
        Ok(Ran { latent, seconds: clock.0, contexts: of_contexts, images: of_images })
    }

    /// Everything that can be refused without touching a weight.
    fn prepare(&self, request: &Generation, taps: &Taps) -> Result<Prepared> {
        if request.stages == Stages::Two && request.guidance.is_some() && self.has_points() {
            let rule = "of the guided schedule are the flow multi_scale for LTX-Video 0.9.8; ask for that flow";
            return Err(FieldError::new("stages", 2, rule).nearest(1).into());
        }
        if request.pass_guidance.is_some() && !self.has_points() {
            let rule = "is the flow of LTX-Video 0.9.8 13B dev, and this model is another";
            return Err(FieldError::new("flow", Flow::MultiScale, rule).nearest(Flow::Dev).into());
        }
        if request.stages == Stages::Two && !self.has_upscaler() {
            return Err(PipelineError::NoUpscaler);
        }
        if let (Stages::Two, Some(file)) = (request.stages, self.ltx.loras.absent().first()) {
            return Err(PipelineError::AbsentLora { file: file.clone() });
        }
        if let Some(lacking) = self.distilled_lora.lacking(request.flow, &request.loras) {
            return Err(lacking.into());
        }
        if let Some(guidance) = &request.guidance {
            guidance.check_blocks(Some(self.architecture().transformer.num_layers))?;
        }
        if let Some(passes) = &request.pass_guidance {
            passes.check_blocks(self.architecture().transformer.num_layers)?;
        }
        let encode = |(field, text)| self.prompts().encode(field, text);
        let prompts = prompts_of(request).into_iter().map(encode).collect::<Result<Vec<_>>>()?;
        for (prompt, taps) in prompts.iter().zip(prompt_taps(taps)) {
            let (ids, mask) = self.text.padded(prompt, self.options.text_slots);
            let row = |values: &[i64]| Ok(Tensor::from_slice(values, (1, values.len()), &candle_core::Device::Cpu)?);
            taps.record("input_ids", || row(&ids))?;
            taps.record("attention_mask", || row(&mask))?;
        }
        let open = |condition| PreparedImage::open(condition, request.image_crf);
        let images = request.images.iter().map(open).collect::<Result<Vec<_>>>()?;
        let (images, drawn) = self.drawn(request, images)?;
        Ok(Prepared { prompts, images, drawn })
    }

    /// Whether the model is of LTX-Video 0.9.x.
    fn has_points(&self) -> bool {
        self.architecture().family.conditioning() == Conditioning::Points
    }

    /// The images with what their latents are drawn with, and everything that a clip of LTX-Video 0.9.x draws; of another family's
    /// nothing is drawn ahead.
    pub(crate) fn drawn(
        &self,
        request: &Generation,
        images: Vec<PreparedImage>,
    ) -> Result<(Vec<PreparedImage>, Option<Drawn>)> {
        if !self.has_points() {
            return Ok((images, None));
        }
        let vae = &self.architecture().vae;
        let shape = |pixels: PixelShape| LatentShape::of(pixels, request.frames, vae.scale());
        let shapes: Vec<_> = stage_shapes(request).into_iter().map(shape).collect();
        let conditions = (&request.images[..], request.conditioning);
        let drawn = Drawn::of(request.seed, (vae.latent_channels, &shapes), conditions, &self.options.compute.device)?;
        let noise = |image: usize| drawn.passes.iter().map(|pass| pass.images[image].latent.clone()).collect();
        let images = images.into_iter().enumerate().map(|(i, image)| image.drawn_with(noise(i))).collect();
        Ok((images, Some(drawn)))
    }

    /// The latent with the noise that its decoder is told about.
    fn noised(
        &self,
        decoder: &VideoDecoder,
        latent: &Tensor,
        (drawn, request): (&Drawn, &Generation),
        taps: &Taps,
    ) -> Result<Tensor> {
        let (taps, noise) = (taps.within("decode."), self.options.decode_noise);
        taps.record("noise", || Ok(drawn.decoding.clone()))?;
        taps.record("timestep", || Ok(Tensor::new(&[noise.timestep as f32], latent.device())?))?;
        match (request.flow, decoder) {
            (Some(Flow::MultiScale), _) => noise.mixed_into(latent, &drawn.decoding),
            (_, VideoDecoder::Convolutional(decoder)) => {
                Ok(decoder.noised(latent, &drawn.decoding, noise.scale, &taps)?)
            }
            (_, VideoDecoder::Diffusion(_)) => Ok(latent.clone()),
        }
    }

    /// One stage, or two with the upscaler between them. One stream of noise serves both, so the first stage's noise is
    /// drawn even when a saved latent of the second makes the stage itself needless. Where LoRA files make another transformer of
    /// the second stage, the first one's is let go before it is loaded.
    fn sample(
        &self,
        request: &Generation,
        (run, fit): (&Run<'_>, &Fit),
        ([contexts, second_contexts], images, drawn): (&[Vec<Tensor>; 2], &[Vec<ConditionedImage>], Option<&Drawn>),
        noise: &mut Noise,
        taps: &Taps,
        clock: &mut Clock,
    ) -> Result<Tensor> {
        let [first, second] = family_sigmas(self.architecture(), request);
        let [first_sampler, second_sampler] = self.samplers(request);
        let saved = LatentState::saved(run.store)?;
        let started = Instant::now();
        let anew = request.stages == Stages::Two && self.is_dressed_anew(LoraHalf::Video, &fit.wear);
        // A first stage that is over needs no weights where the second has others.
        let over = matches!(saved, Some(LatentState { stage: Stage::Refining, .. }));
        let begun = if anew && over { SamplingStage::Second } else { SamplingStage::First };
        let mut transformer = self.transformer(fit, begun)?;
        let previewer = Previewer::new(self, run, fit);
        let shared = Shared { engine: self, request, run, saved: &saved, previewer: &previewer, drawn };
        let base = self.empty_latent(request, request.pixels.first_stage(request.stages))?;
        let denoise = Denoise { shared, sampler: first_sampler, transformer: &transformer, contexts };
        let latent = denoise.stage(Stage::Denoising, &base, &images[0], &first, noise, taps)?;
        clock.add(Stage::Denoising, started);
        if request.stages == Stages::One {
            return Ok(latent);
        }
        let upsampled = match saved {
            // Only what noise was once mixed into; the saved tokens have it in them.
            Some(LatentState { stage: Stage::Refining, .. }) => self.empty_latent(request, request.pixels)?,
            _ => clock.time(Stage::Upsampling, || self.upsample(&latent, run, fit, taps))?,
        };
        clock.time(Stage::Refining, || {
            if anew && !over {
                drop(transformer);
                transformer = self.transformer(fit, SamplingStage::Second)?;
            }
            let denoise =
                Denoise { shared, sampler: second_sampler, transformer: &transformer, contexts: second_contexts };
            denoise.stage(Stage::Refining, &upsampled, &images[1], &second, noise, taps)
        })
    }

    pub(crate) fn empty_latent(&self, request: &Generation, pixels: PixelShape) -> Result<Tensor> {
        let vae = &self.architecture().vae;
        let shape = LatentShape::of(pixels, request.frames, vae.scale());
        let dims = (1, vae.latent_channels, shape.frames, shape.height, shape.width);
        Ok(Tensor::zeros(dims, DType::F32, &self.options.compute.device)?)
    }

    fn upsample(&self, latent: &Tensor, run: &Run<'_>, fit: &Fit, taps: &Taps) -> Result<Tensor> {
        run.progress.report(Progress { stage: Stage::Upsampling, done: 0, total: 1 });
        run.cancel.check()?;
        let loaded = self.upsampler(fit)?;
        let LatentUpsampling { upsampler, statistics } = &*loaded;
        let upsampled = upsampler.forward(&statistics.unnormalize(latent)?, &Taps::off())?;
        let mut upsampled = statistics.normalize(&upsampled)?;
        if self.has_points() {
            upsampled = adain::with_moments_of(&upsampled, latent)?;
        }
        taps.record("stage2.upsampled_latent", || Ok(upsampled.clone()))?;
        run.progress.report(Progress { stage: Stage::Upsampling, done: 1, total: 1 });
        Ok(upsampled)
    }
}

/// What both denoising stages share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    engine: &'a Engine,
    request: &'a Generation,
    run: &'a Run<'a>,
    saved: &'a Option<LatentState>,
    previewer: &'a Previewer<'a>,
    drawn: Option<&'a Drawn>,
}

/// What one of them computes with.
struct Denoise<'a> {
    shared: Shared<'a>,
    sampler: SamplerKind,
    transformer: &'a Transformer,
    contexts: &'a [Tensor],
}

impl Denoise<'_> {
    /// Mixes noise into `base`, conditioned on `images`, and samples.
    fn stage(
        &self,
        stage: Stage,
        base: &Tensor,
        images: &[ConditionedImage],
        sigmas: &Sigmas,
        noise: &mut Noise,
        taps: &Taps,
    ) -> Result<Tensor> {
        let Shared { engine, request, run, saved, previewer, drawn } = self.shared;
        let scale = engine.architecture().vae.scale();
        let taps = taps.within(if stage == Stage::Denoising { "stage1." } else { "stage2." });
        let sigma = sigmas.values().first().copied().unwrap_or(1.0);
        let (pass, sampled, from) = match stage {
            Stage::Denoising => (0, SamplingStage::First, None),
            _ => (1, SamplingStage::Second, Some(Upsampled { latent: base, sigma })),
        };
        let guidance = request.guidance_in(sampled);
        let pass = drawn.and_then(|drawn| drawn.passes.get(pass));
        let lay_out = |pass| TokenState::of_points(pass, from, images, (scale, request.rate), &taps);
        let laid_out = pass.map(lay_out).transpose()?;
        let (state, drawn_tokens) = match laid_out {
            Some((state, tokens)) => (state, Some(tokens)),
            None => (TokenState::new(base, images, request.conditioning, scale, request.rate)?, None),
        };
        // The guided schedule begins a hair below 1, but its noise is pure.
        let noise_scale = if stage == Stage::Denoising { 1.0 } else { sigma };
        let tokens = match drawn_tokens {
            Some(tokens) => tokens,
            None => state.noised(noise, noise_scale, &taps)?,
        };
        let sampling = Sampling {
            kind: self.sampler,
            transformer: self.transformer,
            context: &self.contexts[0],
            negative_context: self.contexts.get(1),
            guidance: guidance.as_ref(),
            run,
            previewer,
        };
        let tokens = match saved {
            // The first stage is over; its tokens are not needed again, only its noise was.
            Some(saved) if saved.stage == Stage::Refining && stage == Stage::Denoising => tokens,
            Some(saved) if saved.stage == stage && saved.tokens.dims() == tokens.dims() => {
                let tokens = saved.tokens.to_device(tokens.device())?;
                sampling.run(stage, &state, tokens, (sigmas, saved.steps_done), &taps)?
            }
            _ => sampling.run(stage, &state, tokens, (sigmas, 0), &taps)?,
        };
        taps.record("final_tokens", || Ok(tokens.clone()))?;
        let latent = state.clip_latent(&tokens)?;
        taps.record("final_latent", || Ok(latent.clone()))?;
        Ok(latent)
    }
}

/// Wall-clock time by stage.
#[derive(Default)]
struct Clock(Vec<StageSeconds>);

impl Clock {
    fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work()?;
        self.add(stage, started);
        Ok(result)
    }

    fn add(&mut self, stage: Stage, started: Instant) {
        self.0.push(StageSeconds { stage, seconds: started.elapsed().as_secs_f64() });
    }
}

pub(crate) fn stage_shapes(request: &Generation) -> Vec<PixelShape> {
    match request.stages {
        Stages::One => vec![request.pixels],
        Stages::Two => vec![request.pixels.first_stage(Stages::Two), request.pixels],
    }
}
