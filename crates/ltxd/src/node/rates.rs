//! The rates of where a node computes: kept in its data folder, measured piece by piece where they are not.
//!
//! Must not know when there is time for a piece, or what is forecast.

use crate::rates::{self, RatesFile};
use ltx_jobs::KnownRates;
use ltx_nn::Compute;
use ltx_pipeline::RateMeter;
use ltx_types::Rates;
use parking_lot::Mutex;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is known, and what is measured.
pub(super) struct NodeRates {
    key: String,
    known: Mutex<Option<Arc<KnownRates>>>,
    /// Held for as long as a piece takes.
    measuring: Mutex<Measuring>,
}

#[derive(Default)]
struct Measuring {
    /// Where they are kept.
    folder: Option<PathBuf>,
    /// Models that were not looked at yet, by name.
    models: Vec<String>,
    meter: Option<RateMeter>,
    rates: Rates,
}

impl NodeRates {
    pub(super) fn of(compute: &Compute) -> Self {
        Self { key: rates::key(compute), known: Mutex::default(), measuring: Mutex::default() }
    }

    pub(super) fn known(&self) -> Option<Arc<KnownRates>> {
        self.known.lock().clone()
    }

    /// Takes what is kept in a folder; what these models lack of it is still to be measured.
    pub(super) fn keep_in<'a>(&self, folder: &Path, models: impl Iterator<Item = &'a String>) {
        remove_clips(folder);
        let rates = RatesFile::in_folder(folder).read(&self.key);
        self.know(&rates);
        let (models, folder) = (models.cloned().collect(), Some(folder.to_owned()));
        *self.measuring.lock() = Measuring { folder, models, rates, ..Measuring::default() };
    }

    /// Measures a piece, with a meter that `of` makes of a model for what it lacks; says whether anything is left.
    pub(super) fn measure(&self, of: impl Fn(&str, (&Rates, &Path)) -> Option<RateMeter>) -> bool {
        let measuring = &mut *self.measuring.lock();
        let Some(folder) = &measuring.folder else { return false };
        let Some(meter) = &mut measuring.meter else {
            let Some(model) = measuring.models.pop() else { return false };
            measuring.meter = of(&model, (&measuring.rates, folder)).filter(|meter| !meter.is_done());
            return true;
        };
        if let Err(error) = meter.measure_next() {
            tracing::warn!(%error, "a rate of this machine cannot be measured");
        }
        if meter.is_done() {
            (measuring.rates, measuring.meter) = (meter.rates(), None);
            self.know(&measuring.rates);
            if let Err(error) = RatesFile::in_folder(folder).keep(&self.key, &measuring.rates) {
                tracing::warn!(%error, "the rates of this machine cannot be kept");
            }
            tracing::info!(rates = measuring.rates.all().count(), "the rates of this machine are measured");
        }
        true
    }

    fn know(&self, rates: &Rates) {
        let known =
            (*rates != Rates::default()).then(|| Arc::new(KnownRates { key: self.key.clone(), rates: rates.clone() }));
        *self.known.lock() = known;
    }
}

/// Removes the clip that a node was measuring with when it was killed: nobody else measures in its folder.
fn remove_clips(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| RateMeter::is_clip(&entry.file_name())) {
        if let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(%error, file = %entry.path().display(), "a clip that was measured with cannot be removed");
        }
    }
}
