//! A generator whose frames are a function of seed and step, and of nothing else.
//!
//! Must not know queues, nor what a test waits for: a [`Gate`] holds it. It behaves as the engine does: reports every stage, looks
//! at the token in every step and chunk, saves its state after every step and goes on from a saved one.

use super::Gate;
use ltx_engine::{
    CacheKey, CachedTensor, Encodings, EngineError, ErrorKind, Generator, LatentStore, Outcome, Preview, Run,
    SavedLatent, StageSeconds, StageSteps,
};
use ltx_media::FrameWriter;
use ltx_policy::Admitted;
use ltx_types::{FieldError, Generation, PixelShape, Progress, Stage, Stages};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

/// Result of everything that the fake does.
type Result<T> = std::result::Result<T, EngineError>;

const TOKENS: usize = 16;
const CHANNELS: usize = 4;
/// What a preview shows.
const PREVIEW: PixelShape = PixelShape { width: 24, height: 16 };
/// Frames of a decoded chunk.
const CHUNK: usize = 8;

/// How the fake behaves.
#[derive(Debug, Clone, Default)]
pub struct FakeOptions {
    /// How long a denoising step takes at least, and a decoded chunk. It decides no test: `gate` does that.
    pub step_time: Duration,
    /// Stands before every step of every stage.
    pub gate: Gate,
    /// A file that gets a line for every step begun and ended.
    pub log: Option<PathBuf>,
    /// Frames of noise, which do not compress.
    pub noise: bool,
    /// Whether contexts of prompts are kept; one that is there is not encoded again.
    pub contexts: bool,
    /// Calls a second by the rates of the machine: every stage counts one a pixel of the clip. Without it nothing is counted.
    pub calls_per_second: Option<f64>,
    /// Whether those rates are known only once they were measured.
    pub unmeasured: bool,
}

/// The fake. A prompt with the word `panic` panics in the third step, one with `fail` fails there, and one with `abort` ends the
/// whole process.
#[derive(Debug, Clone, Default)]
pub struct FakeGenerator {
    options: FakeOptions,
}

impl FakeGenerator {
    /// A fake that behaves so.
    pub fn new(options: FakeOptions) -> Self {
        Self { options }
    }

    fn log(&self, line: &str) {
        let Some(path) = &self.options.log else { return };
        let file = File::options().append(true).create(true).open(path);
        // One write, so that a kill leaves whole lines.
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())).expect("the log can be written");
    }

    fn denoise(&self, request: &Generation, run: &Run<'_>, stage: Stage, state: &mut State) -> Result<()> {
        let steps = StageSteps::of(request);
        let total = if stage == Stage::Denoising { steps.denoising } else { steps.refining };
        let seed = request.seed.0;
        for step in state.done_of(stage)..total {
            run.progress.report(Progress { stage, done: step, total });
            run.cancel.check()?;
            self.log(&format!("begin {seed} {} {step}", stage.label()));
            self.options.gate.pass(seed, stage, step, run.cancel);
            sleep(self.options.step_time);
            if step == 2 && request.prompt.contains("panic") {
                panic!("the prompt says so");
            }
            if step == 2 && request.prompt.contains("abort") {
                std::process::abort();
            }
            if step == 2 && request.prompt.contains("fail") {
                return Err(FieldError::new("prompt", "fail", "says so").into());
            }
            if step == 2 && request.prompt.contains("too large for the device") {
                let said =
                    "a tensor does not fit into the device's memory; ask for fewer or smaller frames, or for the CPU";
                return Err(EngineError::new(ErrorKind::OutOfMemory, said));
            }
            state.step(seed, stage, step);
            if run.store.keeps() {
                run.store.save(state.saved(stage, step + 1))?;
            }
            if run.previews.wanted() {
                let after = Progress { stage, done: step + 1, total };
                run.previews.show(Preview { after, pixels: PREVIEW, rgb: state.picture(PREVIEW, 0) });
            }
            self.log(&format!("end {seed} {} {step}", stage.label()));
        }
        run.progress.report(Progress { stage, done: total, total });
        Ok(())
    }

    fn decode(
        &self,
        request: &Generation,
        run: &Run<'_>,
        state: &State,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let total = request.frames.get().div_ceil(CHUNK);
        for chunk in 0..total {
            run.progress.report(Progress { stage: Stage::Decoding, done: chunk, total });
            run.cancel.check()?;
            self.options.gate.pass(request.seed.0, Stage::Decoding, chunk, run.cancel);
            sleep(self.options.step_time);
            for frame in chunk * CHUNK..request.frames.get().min((chunk + 1) * CHUNK) {
                each(&state.frame(request, frame, self.options.noise))?;
            }
        }
        run.progress.report(Progress { stage: Stage::Decoding, done: total, total });
        Ok(())
    }
}

impl Generator for FakeGenerator {
    fn generate(
        &mut self,
        request: &Admitted<Generation>,
        writers: &mut [Box<dyn FrameWriter>],
        run: &Run<'_>,
    ) -> Result<Outcome> {
        let request = request.request();
        self.log(&format!("start {}", request.seed));
        let mut seconds = Vec::new();
        let mut timed = |stage, work: &mut dyn FnMut() -> Result<()>| {
            let began = Instant::now();
            let done = work();
            seconds.push(StageSeconds { stage, seconds: began.elapsed().as_secs_f64() });
            done
        };
        let key = context_key(&request.prompt);
        let kept = self.options.contexts && run.cache.get(&key).is_some();
        let stages = [Stage::TextEncoding, Stage::ImageEncoding];
        for stage in stages.into_iter().filter(|stage| !kept || *stage != Stage::TextEncoding) {
            timed(stage, &mut || {
                for done in 0..=2 {
                    run.cancel.check()?;
                    run.progress.report(Progress { stage, done, total: 2 });
                    if done < 2 {
                        self.options.gate.pass(request.seed.0, stage, done, run.cancel);
                    }
                }
                Ok(())
            })?;
        }
        if self.options.contexts && !kept {
            run.cache.put(&key, CachedTensor { shape: vec![4], values: vec![0.5; 4] });
        }
        let mut state = State::resume(request.seed.0, run.store);
        timed(Stage::Denoising, &mut || self.denoise(request, run, Stage::Denoising, &mut state))?;
        if request.stages == Stages::Two {
            timed(Stage::Upsampling, &mut || Ok(()))?;
            timed(Stage::Refining, &mut || self.denoise(request, run, Stage::Refining, &mut state))?;
        }
        let mut digest = Sha256::new();
        timed(Stage::Decoding, &mut || {
            self.decode(request, run, &state, |frame| {
                digest.update(frame);
                writers.iter_mut().try_for_each(|writer| writer.write(frame)).map_err(EngineError::from)
            })
        })?;
        self.log(&format!("finish {}", request.seed));
        let latent: Vec<u8> = state.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(Outcome {
            frames: request.frames.get(),
            seconds,
            contexts: Encodings { cached: usize::from(kept), encoded: usize::from(!kept) },
            images: Encodings { cached: 0, encoded: request.images.len() },
            latent_sha256: format!("{:x}", Sha256::digest(latent)),
            frames_sha256: format!("{:x}", digest.finalize()),
        })
    }
}

/// The key of a prompt's context.
pub(super) fn context_key(prompt: &str) -> CacheKey {
    CacheKey::new(Sha256::digest(prompt).into())
}

/// What the steps change.
struct State {
    values: Vec<f32>,
    done: Option<(Stage, usize)>,
}

impl State {
    fn resume(seed: u64, store: &dyn LatentStore) -> Self {
        let saved = store.saved().and_then(|saved| {
            let SavedLatent { stage, steps_done, values, .. } = saved;
            (values.len() == TOKENS * CHANNELS).then_some(Self { values, done: Some((stage, steps_done)) })
        });
        let fresh = || (0..TOKENS * CHANNELS).map(|i| unit(hash(seed, i as u64))).collect();
        saved.unwrap_or_else(|| Self { values: fresh(), done: None })
    }

    fn done_of(&self, stage: Stage) -> usize {
        match self.done {
            Some((at, done)) if at == stage => done,
            Some((Stage::Refining, _)) => usize::MAX,
            _ => 0,
        }
    }

    fn step(&mut self, seed: u64, stage: Stage, step: usize) {
        let key = hash(seed, (step as u64) << 8 | u64::from(stage == Stage::Refining));
        for (i, value) in self.values.iter_mut().enumerate() {
            *value = 0.7 * *value + 0.3 * unit(hash(key, i as u64));
        }
    }

    fn saved(&self, stage: Stage, steps_done: usize) -> SavedLatent {
        SavedLatent { stage, steps_done, shape: [1, TOKENS, CHANNELS], values: self.values.clone() }
    }

    fn frame(&self, request: &Generation, frame: usize, noise: bool) -> Vec<u8> {
        let bytes = request.pixels.width * request.pixels.height * 3;
        let value = |i: usize| self.values[i % self.values.len()];
        if noise {
            let key = hash(u64::from(value(0).to_bits()), frame as u64);
            return (0..bytes).map(|i| hash(key, i as u64) as u8).collect();
        }
        self.picture(request.pixels, frame)
    }

    fn picture(&self, pixels: PixelShape, frame: usize) -> Vec<u8> {
        let bytes = pixels.width * pixels.height * 3;
        let value = |i: usize| self.values[i % self.values.len()];
        let level = |i: usize| ((value(frame + i) + 1.0) * 127.0) as u8;
        (0..bytes).map(|i| level(i * 8 / bytes).wrapping_add((i / 3 % 16) as u8)).collect()
    }
}

/// SplitMix64 of a key and a counter.
fn hash(key: u64, counter: u64) -> u64 {
    let mut z = key.wrapping_add((counter + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// −1 to 1.
fn unit(hash: u64) -> f32 {
    (hash >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}
