//! Where time goes, operator by operator, while somebody asks. One look at a flag when nobody does.
//!
//! Must not know what the operators are parts of. Work on several threads is one operator's: the caller's wall clock counts. On a
//! GPU every operator is waited for, which costs time itself, and nothing is repeated as a recording.

use candle_core::Device;
use parking_lot::Mutex;
use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// What one operator has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// How often it ran.
    pub calls: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Products and sums of its formula (hidden keys of an attention included); 0 where it is bound by memory.
    pub operations: u64,
}

static ON: AtomicBool = AtomicBool::new(false);
/// The device whose work is measured.
static DEVICE: Mutex<Option<Device>> = Mutex::new(None);
static COSTS: Mutex<BTreeMap<&'static str, Cost>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// The operator at work, for errors.
    static OPERATOR: Cell<&'static str> = const { Cell::new("") };
}

/// The operator at work on this thread; empty if none is.
pub(crate) fn operator() -> &'static str {
    OPERATOR.get()
}

/// Begins to measure work on a device, from nothing.
pub fn start(device: &Device) {
    take();
    *DEVICE.lock() = Some(device.clone());
    ON.store(true, Ordering::Relaxed);
}

/// Whether somebody asks.
pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Ends it, and yields what was measured, by operator.
pub fn take() -> BTreeMap<&'static str, Cost> {
    ON.store(false, Ordering::Relaxed);
    *DEVICE.lock() = None;
    std::mem::take(&mut *COSTS.lock())
}

/// Runs an operator that does so many operations.
pub(crate) fn timed<T>(operator: &'static str, operations: impl FnOnce() -> usize, work: impl FnOnce() -> T) -> T {
    let before = OPERATOR.replace(operator);
    let result = measured(operator, operations, work);
    OPERATOR.set(before);
    result
}

fn measured<T>(operator: &'static str, operations: impl FnOnce() -> usize, work: impl FnOnce() -> T) -> T {
    if !is_on() {
        return work();
    }
    let started = Instant::now();
    let result = work();
    if let Some(device) = &*DEVICE.lock() {
        // A failure is found by whoever waits for the results.
        let _ = ltx_kernels::synchronize(device);
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut costs = COSTS.lock();
    let cost = costs.entry(operator).or_default();
    cost.calls += 1;
    cost.seconds += seconds;
    cost.operations += operations() as u64;
    result
}
