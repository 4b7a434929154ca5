//! What a request will take, before anything is queued; and what it may have instead when that is too much.
//!
//! Must not know the machine: limits and calibration are given.

use crate::{GenerationRecord, LegalShape, StageTime};
use ltx_engine::{Encodings, Outcome, StageSteps};
use ltx_types::{
    FrameCount, Generation, Guidance, LatentScale, LatentShape, Method, ModelRules, PixelShape, Progress, Schedule,
    SizeRules, Stage, Stages,
};

/// Work of a stage in units that its time is proportional to: prompts, pixels, or tokens times passes.
fn work(stage: Stage, request: &Generation) -> f64 {
    let first = request.pixels.first_stage(request.stages);
    let tokens = |pixels: PixelShape| {
        let latent = LatentShape::of(pixels, request.frames, LatentScale::LTX);
        (latent.tokens() + request.images.len() * latent.frame_tokens()) as f64
    };
    let area = |pixels: PixelShape| (pixels.width * pixels.height) as f64;
    let guided = |extra: fn(&Guidance) -> bool| request.guidance.as_ref().is_some_and(extra);
    let steps = StageSteps::evaluations(request);
    match stage {
        Stage::TextEncoding => 1.0 + f64::from(u8::from(guided(Guidance::uses_cfg))),
        Stage::ImageEncoding => {
            let second = if request.stages == Stages::Two { area(first) } else { 0.0 };
            (area(request.pixels) + second) * request.images.len() as f64
        }
        Stage::Denoising => {
            let passes = 1 + u8::from(guided(Guidance::uses_cfg)) + u8::from(guided(Guidance::uses_stg));
            tokens(first) * steps.denoising as f64 * f64::from(passes)
        }
        Stage::Upsampling => tokens(first),
        Stage::Refining => tokens(request.pixels) * steps.refining as f64,
        Stage::Decoding => area(request.pixels) * request.frames.get() as f64,
    }
}

/// The part of a stage's work that is not spared because contexts are kept.
fn share(stage: Stage, contexts: Encodings) -> f64 {
    if stage == Stage::TextEncoding { contexts.share() } else { 1.0 }
}

/// The same of a run that is over, which knows of its images too.
fn measured_share(stage: Stage, outcome: &Outcome) -> f64 {
    match stage {
        Stage::ImageEncoding => outcome.images.share(),
        _ => share(stage, outcome.contexts),
    }
}

fn stages_of(request: &Generation) -> impl Iterator<Item = Stage> {
    let all = [
        Stage::TextEncoding,
        Stage::ImageEncoding,
        Stage::Denoising,
        Stage::Upsampling,
        Stage::Refining,
        Stage::Decoding,
    ];
    let two = request.stages == Stages::Two;
    all.into_iter().filter(move |stage| two || !matches!(stage, Stage::Upsampling | Stage::Refining))
}

/// What a stage of a finished run took, and for how much work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) stage: Stage,
    pub(crate) seconds: f64,
    pub(crate) units: f64,
}

/// Every stage of a finished run that took time.
pub(crate) fn measured(request: &Generation, outcome: &Outcome) -> Vec<Measured> {
    let of = |stage| {
        let seconds: f64 = outcome.seconds.iter().filter(|time| time.stage == stage).map(|time| time.seconds).sum();
        Measured { stage, seconds, units: work(stage, request) * measured_share(stage, outcome) }
    };
    let usable = |it: &Measured| it.seconds.is_finite() && it.seconds > 0.0 && it.units > 0.0;
    stages_of(request).map(of).filter(usable).collect()
}

/// What a request's time depends on, without the request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Workload {
    /// The model it runs on.
    pub(crate) model: String,
    /// Its schedule.
    pub(crate) schedule: Schedule,
    units: Vec<(Stage, f64)>,
}

impl Workload {
    /// Of a request whose contexts come from there; a stage that is spared is none of its work.
    pub(crate) fn new(model: &str, request: &Generation, contexts: Encodings) -> Self {
        let units = stages_of(request).map(|stage| (stage, work(stage, request) * share(stage, contexts)));
        let units = units.filter(|(stage, units)| *stage != Stage::TextEncoding || *units > 0.0).collect();
        Self { model: model.to_owned(), schedule: request.schedule, units }
    }

    /// Of a request of which nothing but the model is known.
    #[cfg(test)]
    pub(crate) fn on(model: &str) -> Self {
        Self { model: model.to_owned(), schedule: Schedule::Distilled, units: vec![] }
    }

    /// Of a stored generation; `None` for one whose request is no longer legal by what its model says.
    pub(crate) fn of(record: &GenerationRecord, rules: &ModelRules) -> Option<Self> {
        let request = record.request.draft.clone().check_by(&rules.of_accepted(), record.method).ok()?;
        Some(Self::new(&record.model, &request, Encodings::default()))
    }
}

/// Seconds of every stage of a request, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forecast(Vec<StageTime>);

impl Forecast {
    /// From seconds per unit of work. `None` while a stage that takes time was never measured.
    pub(crate) fn new(work: &Workload, per_unit: &[StageTime]) -> Option<Self> {
        let of = |(stage, units): &(Stage, f64)| {
            let found = per_unit.iter().find(|time| time.stage == *stage)?;
            Some(StageTime { stage: *stage, seconds: found.seconds * units })
        };
        work.units.iter().map(of).collect::<Option<_>>().map(Self)
    }

    /// Stage by stage.
    pub(crate) fn stages(&self) -> &[StageTime] {
        &self.0
    }

    /// All of it.
    pub(crate) fn total(&self) -> f64 {
        self.0.iter().map(|time| time.seconds).sum()
    }

    /// What is left once `progress` was reported; at least all of it where text is encoded whose context was kept before.
    pub(crate) fn left(&self, progress: Progress) -> Option<f64> {
        let Some(at) = self.0.iter().position(|time| time.stage == progress.stage) else {
            return (progress.stage == Stage::TextEncoding).then(|| self.total());
        };
        let share = 1.0 - progress.done as f64 / progress.total.max(1) as f64;
        let later: f64 = self.0[at + 1..].iter().map(|time| time.seconds).sum();
        Some(self.0[at].seconds * share.clamp(0.0, 1.0) + later)
    }
}

/// The largest shape like the request's that fits: as many frames as possible at its size; if not even the fewest fit,
/// the largest smaller size of about the same proportions, and as many frames as that allows.
pub(crate) fn largest_fit(
    request: &Generation,
    rules: &SizeRules,
    fits: impl Fn(&Generation) -> bool,
) -> Option<LegalShape> {
    let step = rules.frame_step;
    let fewest = if request.method == Method::StartEndFrames { step + 1 } else { 1 };
    let shaped = |pixels: PixelShape, frames: usize| {
        let frames = FrameCount::by_rules(frames, rules).ok()?;
        let shape = LegalShape { pixels, frames };
        fits(&Generation { pixels, frames, ..request.clone() }).then_some(shape)
    };
    let longest = |pixels: PixelShape| {
        let most = request.frames.get().saturating_sub(fewest) / step;
        last_that(most + 1, |k| shaped(pixels, fewest + k * step))
    };
    longest(request.pixels).or_else(|| {
        let sizes = smaller_sizes(request.pixels, request.stages, rules);
        let (_, largest) = last_that(sizes.len(), |i| shaped(sizes[i], fewest).map(|shape| (i, shape)))?;
        longest(largest.pixels)
    })
}

/// The last of `0..count` for which there is something, if there is for every one before it too.
fn last_that<T>(count: usize, found: impl Fn(usize) -> Option<T>) -> Option<T> {
    let (mut low, mut high, mut best) = (0, count, None);
    while low < high {
        let middle = low + (high - low) / 2;
        match found(middle) {
            Some(value) => (low, best) = (middle + 1, Some(value)),
            None => high = middle,
        }
    }
    best
}

/// Legal sizes with a shorter side, in about the same proportions, smallest first.
fn smaller_sizes(pixels: PixelShape, stages: Stages, rules: &SizeRules) -> Vec<PixelShape> {
    let step = rules.side_step_of(stages);
    let short = pixels.width.min(pixels.height);
    let side = |side: usize, n: usize| ((side * n * step + short / 2) / short / step * step).max(step);
    let size =
        |n| PixelShape { width: side(pixels.width, n), height: side(pixels.height, n) }.checked(stages, rules).ok();
    (1..short / step).filter_map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_types::{Defaults, FramePosition, ImageInput, ImageSource, Overrides, SigmaList, Strength};

    fn request(width: usize, height: usize, frames: usize) -> Generation {
        let source = ImageSource::Path("x".into());
        let image = ImageInput { source, position: FramePosition::First, strength: Strength::FULL };
        let sizes = Overrides { width: Some(96), height: Some(64), frames: Some(frames), ..Overrides::default() };
        let draft = Defaults::official(Schedule::Distilled).fill(sizes, String::new(), vec![image]);
        let checked = draft.check(Method::ImageToVideo).unwrap();
        // Sizes below the least that a request may have are looked at too.
        Generation { pixels: PixelShape { width, height }, ..checked }
    }

    fn volume(request: &Generation) -> usize {
        request.pixels.width * request.pixels.height * request.frames.get()
    }

    #[test]
    fn frames_are_given_up_before_size() {
        let fit = |limit| {
            let shape = largest_fit(&request(768, 512, 121), &SizeRules::LTX, |request| volume(request) <= limit)?;
            Some((shape.pixels.width, shape.pixels.height, shape.frames.get()))
        };
        assert_eq!(fit(768 * 512 * 60), Some((768, 512, 57)));
        assert_eq!(fit(768 * 512), Some((768, 512, 1)));
        assert_eq!(fit(768 * 512 - 1), Some((704, 480, 1)));
        assert_eq!(fit(32 * 32 * 9), Some((96, 64, 1)));
        assert_eq!(fit(100), None);
    }

    #[test]
    fn steps_of_ones_own_are_the_steps_that_are_estimated() {
        let named = Generation { stages: Stages::Two, ..request(64, 64, 17) };
        let list = |sigmas: &[f64]| SigmaList::new("sigmas", sigmas).ok();
        let own = Generation {
            sigmas: list(&[1.0, 0.5, 0.0]),
            steps: 2,
            refine_sigmas: list(&[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.0]),
            ..named.clone()
        };
        let ratio = |stage| work(stage, &own) / work(stage, &named);
        assert_eq!((ratio(Stage::Denoising), ratio(Stage::Refining), ratio(Stage::Decoding)), (0.25, 2.0, 1.0));
    }

    #[test]
    fn what_is_left_shrinks_to_nothing() {
        let request = request(64, 64, 17);
        let time = |stage| StageTime { stage, seconds: 1.0 / work(stage, &request) };
        let per_unit: Vec<_> = stages_of(&request).map(time).collect();
        let work = Workload::new("m", &request, Encodings::default());
        let forecast = Forecast::new(&work, &per_unit).unwrap();
        assert!(forecast.stages().iter().all(|time| (time.seconds - 1.0).abs() < 1e-9));
        assert!((forecast.total() - 4.0).abs() < 1e-9);
        let left = |stage, done| forecast.left(Progress { stage, done, total: 8 }).unwrap();
        assert!((left(Stage::Denoising, 4) - 1.5).abs() < 1e-9);
        assert!(left(Stage::Decoding, 8).abs() < 1e-9);
        assert_eq!(Forecast::new(&work, &per_unit[1..]), None);
        // A prompt whose context is kept takes no time, nor does anything have to be known of it.
        let kept = Workload::new("m", &request, Encodings { cached: 1, encoded: 0 });
        let forecast = Forecast::new(&kept, &per_unit[1..]).unwrap();
        assert!((forecast.total() - 3.0).abs() < 1e-9 && forecast.stages()[0].stage == Stage::ImageEncoding);
        // It is gone when the request runs: what comes behind is still known.
        let left = |stage| forecast.left(Progress { stage, done: 1, total: 8 });
        assert_eq!((left(Stage::TextEncoding), left(Stage::Refining)), (Some(forecast.total()), None));
        let half = Workload::new("m", &request, Encodings { cached: 1, encoded: 1 });
        assert!((Forecast::new(&half, &per_unit).unwrap().total() - 3.5).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_encoded_says_nothing_about_its_encoder() {
        let time = |stage| ltx_engine::StageSeconds { stage, seconds: 2.0 };
        let request = request(64, 64, 17);
        let units = |of: Stage, contexts, images| {
            let seconds = stages_of(&request).map(time).collect();
            let (latent_sha256, frames_sha256) = Default::default();
            let outcome = Outcome { frames: 17, seconds, contexts, images, latent_sha256, frames_sha256 };
            measured(&request, &outcome).iter().find(|it| it.stage == of).map(|it| it.units / work(of, &request))
        };
        let parts = [(0, 1, Some(1.0)), (1, 1, Some(0.5)), (1, 0, None)];
        for (cached, encoded, expected) in parts {
            let (some, all) = (Encodings { cached, encoded }, Encodings { cached: 0, encoded: 1 });
            assert_eq!(units(Stage::TextEncoding, some, all), expected);
            assert_eq!(units(Stage::ImageEncoding, all, some), expected);
        }
    }
}
