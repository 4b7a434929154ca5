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
    changed: bool,
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
            let Some(model) = measuring.models.pop() else {
                self.finish(measuring);
                return false;
            };
            measuring.meter = of(&model, (&measuring.rates, folder)).filter(|meter| !meter.is_done());
            return true;
        };
        if let Err(error) = meter.measure_next() {
            tracing::warn!(%error, "a rate of this machine cannot be measured");
        }
        if meter.is_done() {
            measuring.rates = meter.rates();
            (measuring.meter, measuring.changed) = (None, true);
        }
        true
    }

    fn finish(&self, measuring: &mut Measuring) {
        if !std::mem::take(&mut measuring.changed) {
            return;
        }
        self.know(&measuring.rates);
        let kept =
            measuring.folder.as_deref().map(|folder| RatesFile::in_folder(folder).keep(&self.key, &measuring.rates));
        if let Some(Err(error)) = kept {
            tracing::warn!(%error, "the rates of this machine cannot be kept");
        }
        tracing::info!(rates = measuring.rates.all().count(), "the rates of this machine are measured");
    }

    fn know(&self, rates: &Rates) {
        let known =
            (*rates != Rates::default()).then(|| Arc::new(KnownRates { key: self.key.clone(), rates: rates.clone() }));
        *self.known.lock() = known;
    }
}
