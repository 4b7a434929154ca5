//! How long a request will take, for commands that compute here: operations counted, by the rates of this machine, which are
//! measured when they are not known.
//!
//! Must not know how either is done. No run corrects it: a node's forecasts are corrected, as it keeps what its runs took.

use crate::{
    allocator,
    client::words,
    hub,
    rates::{self, RatesFile},
};
use ltx_nn::Compute;
use ltx_pipeline::{Engine, PipelineError, PlanShape, RateMeter};
use ltx_types::{Generation, Rates, Stage, StageWork};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The folder under the user's own for caches.
const FOLDER: &str = "ltxd";

/// Seconds of every stage, in order; a stage that cannot be told has none.
pub(crate) struct Forecast(Vec<(Stage, Option<f64>)>);

/// Whether rates are measured where they are not known, which takes about a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    Measure,
    Leave,
}

impl Forecast {
    /// Of a request with these sizes. Rates that are measured are kept for the next time, unless `keeps` says not to. `None` where
    /// they are not known and are to be left so.
    ///
    /// # Errors
    /// The device failed.
    pub(crate) fn of(
        engine: &Engine,
        (request, shape): (&Generation, &PlanShape),
        compute: &Compute,
        (keeps, unknown): (bool, Unknown),
    ) -> Result<Option<Self>, PipelineError> {
        let work = engine.work(request, shape, false);
        let folder = hub::caches().filter(|_| keeps).map(|caches| caches.join(FOLDER));
        let rates = known((engine, shape), &work, compute, (folder, unknown))?;
        let of = |stage: &StageWork| (stage.stage, rates.stage_seconds(stage));
        let stages: Vec<_> = work.iter().map(of).collect();
        Ok(stages.iter().any(|(_, seconds)| seconds.is_some()).then_some(Self(stages)))
    }

    /// All of it; nothing where a stage cannot be told.
    fn total(&self) -> Option<f64> {
        self.0.iter().map(|(_, seconds)| *seconds).sum()
    }

    /// One line.
    pub(crate) fn text(&self) -> String {
        let each = self.0.iter().map(|(stage, seconds)| {
            format!("{} {}", stage.label(), seconds.map_or_else(|| "unknown".to_owned(), words::seconds))
        });
        let each: Vec<_> = each.collect();
        let total = self.total().map_or_else(|| "unknown".to_owned(), words::seconds);
        format!("takes about {total}, counted, not measured: {}", each.join(", "))
    }

    pub(crate) fn json(&self) -> Value {
        let stages: serde_json::Map<String, Value> =
            self.0.iter().map(|(stage, seconds)| (stage.label().to_owned(), json!(seconds))).collect();
        json!({ "seconds": self.total(), "stages": stages, "counted": true })
    }
}

fn known(
    (engine, shape): (&Engine, &PlanShape),
    work: &[StageWork],
    compute: &Compute,
    (folder, unknown): (Option<PathBuf>, Unknown),
) -> Result<Rates, PipelineError> {
    let file = folder.as_deref().map(RatesFile::in_folder);
    let key = rates::key(compute);
    let kept = file.as_ref().map(|file| file.read(&key)).unwrap_or_default();
    if unknown == Unknown::Leave {
        return Ok(kept);
    }
    // Where nothing is kept, what is measured on the way lies among temporary files.
    let beside = folder.filter(|folder| std::fs::create_dir_all(folder).is_ok()).unwrap_or_else(std::env::temp_dir);
    let meter = RateMeter::new(engine, shape, work, (&kept, &beside));
    if meter.is_done() {
        return Ok(kept);
    }
    let rates = meter.measure_all()?;
    if let Some(file) = file
        && let Err(error) = file.keep(&key, &rates)
    {
        tracing::warn!(%error, "the rates of this machine cannot be kept");
    }
    // What was measured with is no part of what a generation takes.
    allocator::release();
    ltx_jobs::memory::reset_peak();
    Ok(rates)
}
