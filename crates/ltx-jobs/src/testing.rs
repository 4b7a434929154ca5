//! Faults of runs that somebody asked for, so that a client can be tested against them: a generation that fails or is slow, a node
//! that dies under it.
//!
//! Must not know who asked, nor how. Nothing here is made where the settings have no `testing`: that is the one place where a node
//! for tests differs from another.

use crate::{Failure, FailureCode};
use ltx_engine::{LatentStore, NotKept, SavedLatent, StageSteps};
use ltx_types::{CancelToken, FieldError, Generation, Stage, Stages};
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

/// How often a slow step looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(10);

/// What the run of a generation meets on purpose. Steps are those of sampling, from 1, those of both stages counted in one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFaults {
    /// It fails once this step is done.
    pub fail_at_step: Option<NonZeroUsize>,
    /// With this code.
    pub fail_as: FailureCode,
    /// Every step takes this much longer.
    pub slow_steps: Duration,
    /// The process ends, as by `kill -9`, once this step is done and saved. Not again when it has gone on from there.
    pub restart_at_step: Option<NonZeroUsize>,
}

/// The codes with which a run may be made to fail, by the names that the contract has for what clients are told of them.
const FAIL_AS: [(&str, FailureCode); 7] = [
    ("ENGINE", FailureCode::Engine),
    ("ENGINE_RETRYABLE", FailureCode::Panicked),
    ("IMAGE", FailureCode::Image),
    ("REQUEST", FailureCode::Invalid),
    ("STORAGE_FULL", FailureCode::StorageFull),
    ("REFUSED", FailureCode::Refused),
    ("CRASHED", FailureCode::Crashed),
];

/// What is kept of a record's faults, if this version knows them: no record is lost for its faults.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(kept: D) -> Result<Option<RunFaults>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(kept)?).ok())
}

impl Default for RunFaults {
    fn default() -> Self {
        Self { fail_at_step: None, fail_as: FailureCode::Engine, slow_steps: Duration::ZERO, restart_at_step: None }
    }
}

impl RunFaults {
    /// The names of the codes with which a run may be made to fail.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        FAIL_AS.iter().map(|(name, _)| *name)
    }

    /// The code of a name.
    pub fn code(name: &str) -> Option<FailureCode> {
        FAIL_AS.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
    }

    /// As they are written in the header `ltxd-testing`.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(step) = self.fail_at_step {
            words.push(format!("fail-at-step={step}"));
            let name = FAIL_AS.iter().find(|(_, code)| *code == self.fail_as).map_or("ENGINE", |(name, _)| name);
            words.push(format!("fail-as={name}"));
        }
        if !self.slow_steps.is_zero() {
            words.push(format!("slow-steps-ms={}", self.slow_steps.as_millis()));
        }
        if let Some(step) = self.restart_at_step {
            words.push(format!("restart-at-step={step}"));
        }
        words
    }

    /// Whether a generation reaches the steps.
    ///
    /// # Errors
    /// One that it does not, by the name of the header.
    pub(crate) fn check(&self, request: &Generation) -> Result<(), FieldError> {
        let steps = all_steps(request);
        let named = [("fail-at-step", self.fail_at_step), ("restart-at-step", self.restart_at_step)];
        match named.into_iter().find_map(|(name, step)| Some((name, step.filter(|step| step.get() > steps)?))) {
            None => Ok(()),
            Some((name, step)) => {
                let rule = format!("is never reached: this generation has {steps} steps of sampling");
                Err(FieldError::new("ltxd-testing", format!("{name}={step}"), rule).nearest(steps))
            }
        }
    }
}

fn all_steps(request: &Generation) -> usize {
    let StageSteps { denoising, refining } = StageSteps::of(request);
    if request.stages == Stages::Two { denoising + refining } else { denoising }
}

/// A run that is disturbed: the store that it is given instead of its own, and how it failed.
pub(crate) struct Disturbed {
    faults: RunFaults,
    first_attempt: bool,
    /// Steps of the first of two stages.
    denoising: usize,
    failure: Arc<OnceLock<Failure>>,
}

impl Disturbed {
    /// The run of a request that is tried for the first time, or again.
    pub(crate) fn new(faults: RunFaults, request: &Generation, first_attempt: bool) -> Self {
        Self { faults, first_attempt, denoising: StageSteps::of(request).denoising, failure: Arc::default() }
    }

    /// The store to run with.
    pub(crate) fn around(
        &self,
        store: Box<dyn LatentStore + Send>,
        cancel: &CancelToken,
    ) -> Box<dyn LatentStore + Send> {
        let Self { faults, first_attempt, denoising, failure } = self;
        let restart_at_step = faults.restart_at_step.filter(|_| *first_attempt);
        Box::new(DisturbingStore {
            inner: store,
            faults: RunFaults { restart_at_step, ..faults.clone() },
            denoising: *denoising,
            failure: Arc::clone(failure),
            cancel: cancel.clone(),
        })
    }

    /// How it failed, if it was made to.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.get().cloned()
    }
}

/// Keeps what is to be kept, then does what was asked for: it is called after every step, on the thread that works.
struct DisturbingStore {
    inner: Box<dyn LatentStore + Send>,
    faults: RunFaults,
    denoising: usize,
    failure: Arc<OnceLock<Failure>>,
    cancel: CancelToken,
}

impl LatentStore for DisturbingStore {
    fn keeps(&self) -> bool {
        true
    }

    fn save(&self, latent: SavedLatent) -> Result<(), NotKept> {
        let before = if latent.stage == Stage::Refining { self.denoising } else { 0 };
        let step = NonZeroUsize::new(before + latent.steps_done);
        self.inner.save(latent)?;
        let until = Instant::now() + self.faults.slow_steps;
        while Instant::now() < until && !self.cancel.is_cancelled() {
            thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        if step.is_some() && step == self.faults.restart_at_step {
            end_the_process();
        }
        if step.is_some() && step == self.faults.fail_at_step {
            let message = format!("a fault that was asked for: {}", self.faults.words().join(", "));
            // Set once: it fails here.
            let _ = self.failure.set(Failure { code: self.faults.fail_as, message: message.clone() });
            return Err(NotKept { file: "testing".into(), source: io::Error::other(message) });
        }
        Ok(())
    }

    fn saved(&self) -> Option<SavedLatent> {
        self.inner.saved()
    }
}

/// As `kill -9` does: no destructor runs, nothing is flushed.
fn end_the_process() -> ! {
    // It cannot fail for the process itself; a signal that takes a moment to arrive is waited for.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_engine::NotSaved;
    use ltx_testkit::fake::draft;
    use ltx_types::Method;

    fn generation() -> Generation {
        draft("A lake", 1).check(Method::ImageToVideo).unwrap()
    }

    fn after(step: usize) -> SavedLatent {
        SavedLatent { stage: Stage::Denoising, steps_done: step, shape: [1, 1, 1], values: vec![0.0] }
    }

    #[test]
    fn it_fails_at_its_step_and_says_why() {
        let faults =
            RunFaults { fail_at_step: NonZeroUsize::new(2), fail_as: FailureCode::StorageFull, ..RunFaults::default() };
        let disturbed = Disturbed::new(faults, &generation(), true);
        let store = disturbed.around(Box::new(NotSaved), &CancelToken::new());
        assert!(store.keeps());
        store.save(after(1)).unwrap();
        assert_eq!(disturbed.failure(), None);
        store.save(after(2)).unwrap_err();
        let Failure { code, message } = disturbed.failure().unwrap();
        assert_eq!(code, FailureCode::StorageFull);
        assert_eq!(message, "a fault that was asked for: fail-at-step=2, fail-as=STORAGE_FULL");
    }

    #[test]
    fn a_step_that_is_never_reached_is_refused() {
        let faults = RunFaults { restart_at_step: NonZeroUsize::new(9), ..RunFaults::default() };
        let error = faults.check(&generation()).unwrap_err();
        let told = "ltxd-testing: restart-at-step=9 is never reached: this generation has 8 steps of sampling; nearest legal: 8";
        assert_eq!(error.to_string(), told);
    }

    #[test]
    fn a_cancelled_run_does_not_wait() {
        let faults = RunFaults { slow_steps: Duration::from_secs(86_400), ..RunFaults::default() };
        let cancel = CancelToken::new();
        cancel.cancel();
        Disturbed::new(faults, &generation(), true).around(Box::new(NotSaved), &cancel).save(after(1)).unwrap();
    }
}
