//! The stages of one generation, run one at a time and timed, so that a harness can set each against another
//! implementation in the same run.
//!
//! Must not know what it is compared with. Like a golden case it writes no output, so it runs beneath the gate.

use crate::{
    Engine, EngineOptions, Noise, PlanShape, RateMeter, Result,
    conditioning::{ConditionedImage, PreparedImage, TokenState},
    decode::decode_tiled,
    golden::GoldenCase,
    preview::Previewer,
    rgb::each_rgb_frame,
    sampler::{SamplerKind, Sampling},
    schedule::family_sigmas,
};
use candle_core::{Device, Tensor};
use ltx_engine::Run;
use ltx_model::{architecture::Conditioning, text_encoder::MAX_TOKENS};
use ltx_nn::{Taps, synchronize};
use ltx_types::{CancelToken, FieldError, Generation, Rates, SamplingStage, Seed, Stage, StageWork};
use std::{path::Path, time::Instant};

/// What can be timed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BenchStage {
    /// Prompt to context; Gemma's layers are read from the file, as in every generation.
    TextEncoding,
    /// All images to latents.
    ImageEncoding,
    /// The first denoising step, the RoPE table included.
    Step,
    /// All denoising steps.
    Sampling,
    /// The latent of the last step or sampling to frames, or else the noise they begin with: any latent takes as long.
    Decoding,
    /// Images, all denoising steps and frames, weights and context being there.
    Clip,
    /// Everything, weights loaded and dropped stage by stage.
    Whole,
}

/// One timed run.
pub struct Timed {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// What it computed, to be compared.
    pub output: Tensor,
}

/// A case whose stages can be asked for. A stage takes what the stages before it last computed.
pub struct Bench {
    options: EngineOptions,
    case: GoldenCase,
    engine: Engine,
    contexts: Option<Vec<Tensor>>,
    images: Option<Vec<Vec<ConditionedImage>>>,
    latent: Option<Tensor>,
}

impl Bench {
    /// Opens the case's model. Of `options`, the budget for resident weights is not looked at.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open(case: GoldenCase, options: EngineOptions) -> Result<Self> {
        let engine = resident(&case, &options)?;
        Ok(Self { options, case, engine, contexts: None, images: None, latent: None })
    }

    /// Drops every weight that a stage has loaded.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn release(&mut self) -> Result<()> {
        self.engine = resident(&self.case, &self.options)?;
        Ok(())
    }

    /// What the case's stages have to do, its weights being loaded.
    pub fn work(&self) -> Vec<StageWork> {
        self.engine.work(&self.case.request, &PlanShape::of(&self.case.request, self.engine.prompts()), true)
    }

    /// The rates of where it computes, as far as its stages need them; in `folder` a clip is begun, and removed.
    ///
    /// # Errors
    /// The device failed.
    pub fn rates(&self, folder: &Path) -> Result<Rates> {
        RateMeter::of_request(&self.engine, &self.case.request, (&Rates::default(), folder)).measure_all()
    }

    /// Runs a stage; `prompt` takes the place of the case's own.
    ///
    /// # Errors
    /// The stage failed, or one that it needs was not run before.
    pub fn run(&mut self, stage: BenchStage, prompt: Option<&str>) -> Result<Timed> {
        let mut request = self.case.request.clone();
        if let Some(prompt) = prompt {
            prompt.clone_into(&mut request.prompt);
        }
        let cancel = CancelToken::new();
        let run = Run::quiet(&cancel);
        match stage {
            BenchStage::TextEncoding => self.text(&request, &run),
            BenchStage::ImageEncoding => self.encode(&request, &run),
            BenchStage::Step => self.sample(&request, &run, 1),
            BenchStage::Sampling => self.sample(&request, &run, usize::MAX),
            BenchStage::Decoding => self.decode(&request, &run),
            BenchStage::Clip => self.clip(&request, &run),
            BenchStage::Whole => self.whole(&request, &run),
        }
    }

    fn text(&mut self, request: &Generation, run: &Run<'_>) -> Result<Timed> {
        let prompts = [self.engine.prompts().encode("prompt", &request.prompt)?];
        let fit = self.engine.fit(request, true)?;
        if !self.has_points() {
            // T5 is loaded by the first run.
            self.engine.text_encoder(&fit, SamplingStage::First)?.load_held()?;
        }
        let (seconds, contexts) = self.timed(|| self.engine.encode_prompts(&prompts, run, &fit, &Taps::off()))?;
        let output = contexts[0].clone();
        self.contexts = Some(contexts);
        Ok(Timed { seconds, output })
    }

    fn encode(&mut self, request: &Generation, run: &Run<'_>) -> Result<Timed> {
        let open = |condition| PreparedImage::open(condition, request.image_crf);
        let images = request.images.iter().map(open).collect::<Result<Vec<_>>>()?;
        let (images, _) = self.engine.drawn(request, images)?;
        let encoder = self.engine.video_encoder(&self.engine.fit(request, true)?)?;
        let mut latents = self.engine.kept_images(request, &images, run.cache, false);
        let off = Taps::off();
        let (seconds, ()) = self.timed(|| self.engine.complete_images(&mut latents, &encoder, &images, (run, &off)))?;
        let images = self.engine.conditioned_images(latents, request, &images, &off)?;
        let output = images[0][0].latent.clone();
        self.images = Some(images);
        Ok(Timed { seconds, output })
    }

    fn sample(&mut self, request: &Generation, run: &Run<'_>, steps: usize) -> Result<Timed> {
        if self.contexts.is_none() && self.options.random_weights {
            self.contexts = Some(vec![self.random_context()?]);
        }
        let contexts = earlier(&self.contexts, "text encoding")?;
        let engine = &self.engine;
        let fit = engine.fit(request, true)?;
        let transformer = engine.transformer(&fit, SamplingStage::First)?;
        transformer.load_held()?;
        let (state, tokens) = self.noise(request)?;
        let [sigmas, _] = family_sigmas(engine.architecture(), request);
        let sampling = Sampling {
            kind: if self.has_points() { SamplerKind::EulerOfPoints } else { SamplerKind::Euler },
            transformer: &transformer,
            context: &contexts[0],
            negative_context: None,
            guidance: None,
            run,
            previewer: &Previewer::new(engine, run, &fit),
        };
        let sigmas = sigmas.start(steps);
        let (seconds, tokens) =
            self.timed(|| sampling.run(Stage::Denoising, &state, tokens, (&sigmas, 0), &Taps::off()))?;
        let output = state.clip_latent(&tokens)?;
        self.latent = Some(output.clone());
        Ok(Timed { seconds, output })
    }

    fn has_points(&self) -> bool {
        self.engine.architecture().family.conditioning() == Conditioning::Points
    }

    /// What sampling begins with.
    fn noise(&self, request: &Generation) -> Result<(TokenState, Tensor)> {
        let images = earlier(&self.images, "image encoding")?;
        let scale = self.engine.architecture().vae.scale();
        if let (_, Some(drawn)) = self.engine.drawn(request, Vec::new())? {
            return TokenState::of_points(&drawn.passes[0], None, &images[0], (scale, request.rate), &Taps::off());
        }
        let base = self.engine.empty_latent(request, request.pixels)?;
        let state = TokenState::new(&base, &images[0], request.conditioning, scale, request.rate)?;
        let tokens = state.noised(&mut Noise::new(request.seed), 1.0, &Taps::off())?;
        Ok((state, tokens))
    }

    fn decode(&self, request: &Generation, run: &Run<'_>) -> Result<Timed> {
        let latent = match &self.latent {
            Some(latent) => latent.clone(),
            None => {
                let (state, tokens) = self.noise(request)?;
                state.clip_latent(&tokens)?
            }
        };
        let fit = self.engine.fit(request, true)?;
        let decoder = self.engine.video_decoder(&fit)?;
        let mut chunks = Vec::new();
        let (seconds, ()) = self.timed(|| {
            let each = |chunk: Tensor| {
                if !chunk.device().is_cpu() {
                    // A GPU's work ends with bytes on the host, as in a generation.
                    each_rgb_frame(&chunk, |_| Ok(()))?;
                }
                chunks.push(chunk);
                Ok(())
            };
            decode_tiled(&decoder, &latent, &fit.tiles, &mut Noise::new(request.seed), (run.cancel, run.progress), each)
        })?;
        Ok(Timed { seconds, output: Tensor::cat(&chunks, 2)?.to_device(&Device::Cpu)? })
    }

    /// The parts must have been loaded by their own stages; what they take one by one is added up.
    fn clip(&mut self, request: &Generation, run: &Run<'_>) -> Result<Timed> {
        let images = self.encode(request, run)?;
        let latent = self.sample(request, run, usize::MAX)?;
        let Timed { seconds, output } = self.decode(request, run)?;
        Ok(Timed { seconds: images.seconds + latent.seconds + seconds, output })
    }

    fn whole(&self, request: &Generation, run: &Run<'_>) -> Result<Timed> {
        let options = EngineOptions { resident_bytes: 0, ..self.options.clone() };
        let engine = Engine::open(&self.case.files, options)?;
        let mut chunks = Vec::new();
        let (seconds, _) = self.timed(|| {
            engine.run(request, run, &Taps::off(), |chunk| {
                chunks.push(chunk.to_device(&Device::Cpu)?);
                Ok(())
            })
        })?;
        Ok(Timed { seconds, output: Tensor::cat(&chunks, 2)? })
    }
}

impl Bench {
    /// Seconds until the device has done everything that `work` gave it.
    fn timed<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
        let device = &self.options.compute.device;
        synchronize(device)?;
        let started = Instant::now();
        let result = work()?;
        synchronize(device)?;
        Ok((started.elapsed().as_secs_f64(), result))
    }

    /// In place of a prompt's, where there are no weights of a text encoder.
    fn random_context(&self) -> Result<Tensor> {
        let (width, device) =
            (self.engine.architecture().transformer.cross_attention_dim, &self.options.compute.device);
        let values = Noise::new(Seed(1)).draw(MAX_TOKENS * width);
        Ok(Tensor::from_vec(values, (1, MAX_TOKENS, width), device)?)
    }
}

fn resident(case: &GoldenCase, options: &EngineOptions) -> Result<Engine> {
    Engine::open(&case.files, EngineOptions { resident_bytes: u64::MAX, ..options.clone() })
}

fn earlier<'a, T>(value: &'a Option<T>, stage: &'static str) -> Result<&'a T> {
    let missing = || FieldError::new("stage", stage, "has to be run first");
    value.as_ref().ok_or_else(|| missing().into())
}
