//! What a request will take, before anything is queued; and what it may have instead when that is too much.
//!
//! Must not know the machine: limits, rates and corrections are given.

use crate::{GenerationRecord, KnownRates, LegalShape, Models, StageTime};
use ltx_engine::{Encodings, Outcome, StageSteps};
use ltx_types::{
    FrameCount, Generation, LatentScale, LatentShape, Method, ModelRules, PixelShape, Progress, Schedule, SizeRules,
    Stage, StageWork, Stages,
};

/// Work of a stage in units that its time is about proportional to, where operations are not counted: prompts, pixels, or tokens
/// times passes.
fn work(stage: Stage, request: &Generation) -> f64 {
    let first = request.pixels.first_stage(request.stages);
    let tokens = |pixels: PixelShape| {
        let latent = LatentShape::of(pixels, request.frames, LatentScale::LTX);
        (latent.tokens() + request.images.len() * latent.frame_tokens()) as f64
    };
    let area = |pixels: PixelShape| (pixels.width * pixels.height) as f64;
    let passes = StageSteps::passes(request);
    match stage {
        Stage::TextEncoding => 1.0 + f64::from(u8::from(request.uses_cfg())),
        Stage::ImageEncoding => {
            let second = if request.stages == Stages::Two { area(first) } else { 0.0 };
            (area(request.pixels) + second) * request.images.len() as f64
        }
        Stage::Denoising => tokens(first) * passes.denoising as f64,
        Stage::Upsampling => tokens(first),
        Stage::Refining => tokens(request.pixels) * passes.refining as f64,
        Stage::Decoding => area(request.pixels) * request.frames.get() as f64,
    }
}

/// The part of a stage's work that is not spared because contexts, or latents of images, are kept.
fn share(stage: Stage, contexts: Encodings, images: Encodings) -> f64 {
    match stage {
        Stage::TextEncoding => contexts.share(),
        Stage::ImageEncoding => images.share(),
        Stage::Denoising | Stage::Upsampling | Stage::Refining | Stage::Decoding => 1.0,
    }
}

/// What a stage of a finished run took, and for how much work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The stage.
    pub stage: Stage,
    /// Seconds that it took.
    pub seconds: f64,
    /// Units of work that it did.
    pub units: f64,
}

/// What units of work are, and with it what a unit's seconds mean: only those of the same basis can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis(String);

impl Basis {
    /// Units of [`work`]: what one takes is known once a run was measured.
    const ROUGH: &str = "";

    #[cfg(test)]
    pub(crate) fn of(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// As the database has it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether units are seconds that follow from counts and rates; what a unit takes is then a correction, and 1 without a run.
    fn is_counted(&self) -> bool {
        self.0 != Self::ROUGH
    }
}

/// The work of a stage.
#[derive(Debug, Clone, PartialEq)]
struct Share {
    stage: Stage,
    /// In units of [`work`].
    rough: f64,
    /// Its operations, where they are counted, all of them.
    counted: Option<StageWork>,
    /// What part of it is not spared.
    share: f64,
}

/// What a request's time depends on, without the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// The model it runs on.
    pub(crate) model: String,
    /// Its schedule.
    pub(crate) schedule: Schedule,
    stages: Vec<Share>,
}

impl Workload {
    /// Of a request whose contexts come from there; a stage that is spared is none of its work. `counted` has its stages'
    /// operations, where they are counted.
    pub(crate) fn new(model: &str, request: &Generation, contexts: Encodings, counted: Option<Vec<StageWork>>) -> Self {
        let mut counted = counted.unwrap_or_default();
        let mut of = |stage: Stage| {
            let at = counted.iter().position(|work| work.stage == stage);
            let counted = at.map(|at| counted.swap_remove(at));
            Share { stage, rough: work(stage, request), counted, share: share(stage, contexts, Encodings::default()) }
        };
        let stages = Stage::of(request.stages).map(&mut of).filter(|it| it.share > 0.0);
        Self { model: model.to_owned(), schedule: request.schedule, stages: stages.collect() }
    }

    /// Of a request of which nothing but the model is known.
    #[cfg(test)]
    pub(crate) fn on(model: &str) -> Self {
        Self { model: model.to_owned(), schedule: Schedule::Distilled, stages: vec![] }
    }

    /// Of a stored generation; `None` for one whose request is no longer legal by what its model says.
    pub(crate) fn of(record: &GenerationRecord, rules: &ModelRules, models: &dyn Models) -> Option<Self> {
        let request = record.request.draft.clone().check_by(&rules.of_accepted(), record.method).ok()?;
        let counted = models.work(&record.model, &request, false);
        Some(Self::new(&record.model, &request, Encodings::default(), counted))
    }

    /// The same with contexts and latents of images that come from there.
    pub(crate) fn with_encodings(mut self, contexts: Encodings, images: Encodings) -> Self {
        self.stages.iter_mut().for_each(|it| it.share = share(it.stage, contexts, images));
        self.stages.retain(|it| it.share > 0.0);
        self
    }

    /// What its units are where the machine has these rates.
    pub(crate) fn basis(&self, rates: Option<&KnownRates>) -> Basis {
        let known = rates.filter(|known| self.stages.iter().all(|stage| counted_seconds(stage, known).is_some()));
        Basis(known.map_or(Basis::ROUGH.to_owned(), |known| known.key.clone()))
    }

    /// Units of every stage, in order.
    fn units(&self, rates: Option<&KnownRates>) -> Vec<(Stage, f64)> {
        let rates = rates.filter(|_| self.basis(rates).is_counted());
        let of = |it: &Share| {
            let all = rates.map_or(it.rough, |rates| counted_seconds(it, rates).unwrap_or(it.rough));
            (it.stage, all * it.share)
        };
        self.stages.iter().map(of).collect()
    }

    /// Every stage of a finished run of it that took time.
    pub(crate) fn measured(&self, outcome: &Outcome, rates: Option<&KnownRates>) -> Vec<Measured> {
        let of = |(stage, units)| {
            let seconds: f64 = outcome.seconds.iter().filter(|time| time.stage == stage).map(|time| time.seconds).sum();
            Measured { stage, seconds, units }
        };
        let usable = |it: &Measured| it.seconds.is_finite() && it.seconds > 0.0 && it.units > 0.0;
        self.units(rates).into_iter().map(of).filter(usable).collect()
    }
}

/// Seconds of a whole stage by its counts.
fn counted_seconds(stage: &Share, rates: &KnownRates) -> Option<f64> {
    rates.rates.stage_seconds(stage.counted.as_ref()?)
}

/// Seconds of every stage of a request, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forecast {
    stages: Vec<StageTime>,
    counted: bool,
}

impl Forecast {
    /// From counts and rates, corrected by what a unit took in runs; without counts from what it took alone: `None` while a stage
    /// was never measured then.
    pub(crate) fn new(work: &Workload, rates: Option<&KnownRates>, per_unit: &[StageTime]) -> Option<Self> {
        let is_counted = work.basis(rates).is_counted();
        let found = |stage: Stage| per_unit.iter().find(|time| time.stage == stage).map(|time| time.seconds);
        let of = |(stage, units): (Stage, f64)| {
            let per_unit = found(stage).or(is_counted.then_some(1.0))?;
            Some(StageTime { stage, seconds: per_unit * units })
        };
        let units = work.units(rates);
        let counted = units.iter().any(|(stage, _)| found(*stage).is_none());
        let stages = units.into_iter().map(of).collect::<Option<_>>()?;
        Some(Self { stages, counted })
    }

    /// Whether a stage's seconds are counted alone: no run of its kind has corrected them.
    pub(crate) fn is_counted(&self) -> bool {
        self.counted
    }

    /// Stage by stage.
    pub(crate) fn stages(&self) -> &[StageTime] {
        &self.stages
    }

    /// All of it.
    pub(crate) fn total(&self) -> f64 {
        self.stages.iter().map(|time| time.seconds).sum()
    }

    /// What is left once `progress` was reported; at least what comes behind where something is encoded that was kept before.
    pub(crate) fn left(&self, progress: Progress) -> Option<f64> {
        let Some(at) = self.stages.iter().position(|time| time.stage == progress.stage) else {
            return match progress.stage {
                Stage::TextEncoding => Some(self.total()),
                Stage::ImageEncoding => {
                    let behind = self.stages.iter().filter(|time| time.stage != Stage::TextEncoding);
                    Some(behind.map(|time| time.seconds).sum())
                }
                _ => None,
            };
        };
        let share = 1.0 - progress.done as f64 / progress.total.max(1) as f64;
        let later: f64 = self.stages[at + 1..].iter().map(|time| time.seconds).sum();
        Some(self.stages[at].seconds * share.clamp(0.0, 1.0) + later)
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
    use ltx_types::{
        Defaults, Flow, FramePosition, ImageInput, ImageSource, Overrides, PassGuidance, Phase, Rates, SigmaList,
        Strength, Unit, Work,
    };

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
    fn passes_that_guidance_adds_are_estimated_where_it_has_them() {
        let of = |flow, pass_guidance| {
            let named = Generation { stages: Stages::Two, flow, pass_guidance, ..request(64, 64, 17) };
            [Stage::Denoising, Stage::Refining].map(|stage| work(stage, &named))
        };
        let [plain, changing] = [(None, None), (Some(Flow::MultiScale), Some(PassGuidance::default()))]
            .map(|(flow, passes)| of(flow, passes));
        // 3 steps of one pass, 11 of three, 13 of two; then 13 of two.
        assert_eq!((changing[0] / plain[0], changing[1] / plain[1]), (62.0 / 8.0, 26.0 / 3.0));
    }

    #[test]
    fn what_is_left_shrinks_to_nothing() {
        let request = request(64, 64, 17);
        let time = |stage| StageTime { stage, seconds: 1.0 / work(stage, &request) };
        let per_unit: Vec<_> = Stage::of(request.stages).map(time).collect();
        let work = Workload::new("m", &request, Encodings::default(), None);
        let forecast = Forecast::new(&work, None, &per_unit).unwrap();
        assert!(forecast.stages().iter().all(|time| (time.seconds - 1.0).abs() < 1e-9));
        assert!((forecast.total() - 4.0).abs() < 1e-9);
        let left = |stage, done| forecast.left(Progress { stage, done, total: 8 }).unwrap();
        assert!((left(Stage::Denoising, 4) - 1.5).abs() < 1e-9);
        assert!(left(Stage::Decoding, 8).abs() < 1e-9);
        assert_eq!(Forecast::new(&work, None, &per_unit[1..]), None);
        // A prompt whose context is kept takes no time, nor does anything have to be known of it.
        let kept = Workload::new("m", &request, Encodings { cached: 1, encoded: 0 }, None);
        let forecast = Forecast::new(&kept, None, &per_unit[1..]).unwrap();
        assert!((forecast.total() - 3.0).abs() < 1e-9 && forecast.stages()[0].stage == Stage::ImageEncoding);
        // It is gone when the request runs: what comes behind is still known.
        let left = |stage| forecast.left(Progress { stage, done: 1, total: 8 });
        assert_eq!((left(Stage::TextEncoding), left(Stage::Refining)), (Some(forecast.total()), None));
        let half = Workload::new("m", &request, Encodings { cached: 1, encoded: 1 }, None);
        assert!((Forecast::new(&half, None, &per_unit).unwrap().total() - 3.5).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_encoded_says_nothing_about_its_encoder() {
        let time = |stage| ltx_engine::StageSeconds { stage, seconds: 2.0 };
        let request = request(64, 64, 17);
        let units = |of: Stage, contexts, images| {
            let outcome = outcome(Stage::of(request.stages).map(time).collect());
            let work = Workload::new("m", &request, Encodings::default(), None).with_encodings(contexts, images);
            let measured = work.measured(&outcome, None);
            measured.iter().find(|it| it.stage == of).map(|it| it.units / super::work(of, &request))
        };
        for (cached, encoded, expected) in [(0, 1, Some(1.0)), (1, 1, Some(0.5)), (1, 0, None)] {
            let (some, all) = (Encodings { cached, encoded }, Encodings { cached: 0, encoded: 1 });
            assert_eq!(units(Stage::TextEncoding, some, all), expected);
            assert_eq!(units(Stage::ImageEncoding, all, some), expected);
        }
    }

    /// Of a run that took so long.
    fn outcome(seconds: Vec<ltx_engine::StageSeconds>) -> Outcome {
        let (latent_sha256, frames_sha256) = Default::default();
        let [contexts, images] = [Encodings::default(); 2];
        Outcome { frames: 17, seconds, contexts, images, latent_sha256, frames_sha256 }
    }

    /// A machine that does a call a second.
    fn machine() -> KnownRates {
        KnownRates { key: "machine".to_owned(), rates: Rates::default().and(Unit::Call, 1.0) }
    }

    /// So many calls in every stage, times the frames.
    fn calls(request: &Generation) -> Vec<StageWork> {
        let count = |stage| if stage == Stage::Denoising { 10 } else { 1 } * request.frames.get() as u64;
        let phase = |stage| Phase { times: 1, work: Work::of(Unit::Call, count(stage)), beside: 0 };
        Stage::of(request.stages).map(|stage| StageWork { stage, phases: vec![phase(stage)] }).collect()
    }

    #[test]
    fn seconds_are_known_before_the_first_run_and_a_run_corrects_every_size() {
        let work = |frames| {
            let request = request(64, 64, frames);
            Workload::new("m", &request, Encodings::default(), Some(calls(&request)))
        };
        let (short, long, machine) = (work(9), work(17), machine());
        let first = Forecast::new(&long, Some(&machine), &[]).unwrap();
        assert!((first.total() - 17.0 * 13.0).abs() < 1e-9 && first.is_counted());
        assert_eq!(Forecast::new(&long, None, &[]), None, "without rates nothing is known");
        assert_ne!(long.basis(Some(&machine)), long.basis(None));

        // A short run took twice as long as was counted.
        let seconds = Forecast::new(&short, Some(&machine), &[]).unwrap();
        let seconds = seconds
            .stages()
            .iter()
            .map(|time| ltx_engine::StageSeconds { stage: time.stage, seconds: 2.0 * time.seconds });
        let outcome = outcome(seconds.collect());
        let measured = short.measured(&outcome, Some(&machine));
        let factors: Vec<_> =
            measured.iter().map(|it| StageTime { stage: it.stage, seconds: it.seconds / it.units }).collect();
        let corrected = Forecast::new(&long, Some(&machine), &factors).unwrap();
        assert!((corrected.total() - 2.0 * first.total()).abs() < 1e-9 && !corrected.is_counted());
        let partly = Forecast::new(&long, Some(&machine), &factors[1..]).unwrap();
        assert!(partly.is_counted() && partly.total() < corrected.total());
    }

    #[test]
    fn what_has_no_rate_is_not_counted_in_part() {
        let request = request(64, 64, 9);
        let mut counted = calls(&request);
        counted[0].phases[0].work.add(Unit::Value, 1);
        let work = Workload::new("m", &request, Encodings::default(), Some(counted));
        assert_eq!(Forecast::new(&work, Some(&machine()), &[]), None);
        assert_eq!(work.basis(Some(&machine())), work.basis(None));
        let spared = Workload { stages: work.stages[1..].to_vec(), ..work };
        assert!(Forecast::new(&spared, Some(&machine()), &[]).is_some());
    }
}
