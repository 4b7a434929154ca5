//! Forecasts of several works at once.
//!
//! Must not know whose works they are.

use crate::{
    JobsError, KnownRates, Result, StageTime,
    estimate::{Basis, Forecast, Workload},
    ports::Store,
};
use ltx_types::Schedule;
use std::{cell::RefCell, sync::Arc};

/// Forecasts by what runs took, which is read once for all works of a model, a schedule and a basis.
pub(crate) struct Forecasts<'a> {
    store: &'a dyn Store,
    rates: Option<Arc<KnownRates>>,
    read: RefCell<Vec<(RunsOf, Vec<StageTime>)>>,
}

/// Runs whose seconds can be compared.
type RunsOf = (String, Schedule, Basis);

impl<'a> Forecasts<'a> {
    pub(crate) fn new(store: &'a dyn Store, rates: Option<Arc<KnownRates>>) -> Self {
        Self { store, rates, read: RefCell::default() }
    }

    /// Seconds of some work's stages; `None` where they cannot be told.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn of(&self, work: &Workload) -> Result<Option<Forecast>> {
        let rates = self.rates.as_deref();
        let runs = (work.model.clone(), work.schedule, work.basis(rates));
        let mut read = self.read.borrow_mut();
        let known = read.iter().position(|(others, _)| *others == runs);
        let at = known.map_or_else(
            || {
                let per_unit = self.store.seconds_per_unit(&runs.0, runs.1, &runs.2)?;
                read.push((runs, per_unit));
                Ok::<_, JobsError>(read.len() - 1)
            },
            Ok,
        )?;
        Ok(Forecast::new(work, rates, &read[at].1))
    }
}
