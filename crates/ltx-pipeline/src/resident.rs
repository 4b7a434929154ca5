//! Parts of a model that stay in memory between generations, as far as a budget goes.
//!
//! Must not know what the parts compute.

use crate::Result;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What may stay, and what does.
pub(crate) struct Budget {
    limit: u64,
    used: Mutex<u64>,
}

/// A place for one part.
pub(crate) struct Slot<T>(Mutex<Option<Arc<T>>>);

impl Budget {
    /// At most `limit` bytes of weights stay.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: Mutex::new(0) }
    }

    /// The part in `slot`; loaded if it is not there, and kept there if its `bytes` fit. A part that does not fit lives
    /// as long as its user holds it.
    pub(crate) fn part<T>(&self, slot: &Slot<T>, bytes: u64, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut kept = lock(&slot.0);
        if let Some(part) = &*kept {
            return Ok(Arc::clone(part));
        }
        let part = Arc::new(load()?);
        let mut used = lock(&self.used);
        if used.saturating_add(bytes) <= self.limit {
            *used += bytes;
            *kept = Some(Arc::clone(&part));
        }
        Ok(part)
    }

    /// Bytes of weights that stay.
    pub(crate) fn used(&self) -> u64 {
        *lock(&self.used)
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_loaded_once_and_what_does_not_every_time() {
        let budget = Budget::new(10);
        let (small, large) = (Slot::default(), Slot::default());
        let mut loads = Vec::new();
        for _ in 0..3 {
            for (slot, bytes) in [(&small, 6), (&large, 5)] {
                let part = budget.part(slot, bytes, || {
                    loads.push(bytes);
                    Ok(bytes)
                });
                assert_eq!(*part.unwrap(), bytes);
            }
        }
        assert_eq!((loads, budget.used()), (vec![6, 5, 5, 5], 6));
    }
}
