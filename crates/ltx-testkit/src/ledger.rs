//! A carrier that copies to the CPU and writes down, in order, what it was asked to do.
//!
//! Must not know what is carried.

use candle_core::{Result, Tensor};
use ltx_nn::{Arrival, Carrier, Pinned};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What happened, in order; clones write into the same list.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<String>>>);

impl Ledger {
    /// Adds an entry.
    pub fn note(&self, entry: impl Into<String>) {
        self.0.lock().push(entry.into());
    }

    /// Every entry so far, which are forgotten.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// The carrier. The system gives it `pins` pieces of page-locked memory.
pub struct LedgerCarrier {
    ledger: Ledger,
    pins: AtomicUsize,
    arrivals: AtomicUsize,
}

impl LedgerCarrier {
    /// Writes into `ledger`.
    pub fn new(ledger: Ledger, pins: usize) -> Self {
        Self { ledger, pins: AtomicUsize::new(pins), arrivals: AtomicUsize::new(0) }
    }
}

impl Carrier for LedgerCarrier {
    fn pin(&self, host: &Tensor) -> Result<Option<Box<dyn Pinned>>> {
        let given = self.pins.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |pins| pins.checked_sub(1));
        if given.is_err() {
            self.ledger.note("no pin");
            return Ok(None);
        }
        self.ledger.note("pin");
        Ok(Some(Box::new(Copy(host.copy()?, self.ledger.clone()))))
    }

    fn copy(&self, host: &Tensor) -> Result<Tensor> {
        self.ledger.note("copy through the buffer");
        host.copy()
    }

    fn arrival(&self) -> Result<Box<dyn Arrival>> {
        let number = self.arrivals.fetch_add(1, Ordering::SeqCst);
        self.ledger.note(format!("arrival {number}"));
        Ok(Box::new(Moment(number, self.ledger.clone())))
    }

    fn give_back(&self) -> Result<()> {
        self.ledger.note("give back");
        Ok(())
    }
}

struct Copy(Tensor, Ledger);

impl Pinned for Copy {
    fn copy(&self) -> Result<Tensor> {
        self.1.note("copy");
        self.0.copy()
    }
}

struct Moment(usize, Ledger);

impl Arrival for Moment {
    fn wait(&self) -> Result<()> {
        self.1.note(format!("wait {}", self.0));
        Ok(())
    }
}
