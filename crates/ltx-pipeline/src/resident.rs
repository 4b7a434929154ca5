//! Parts of a model that stay in memory between generations, as far as a budget goes.
//!
//! Must not know what the parts compute.

use crate::Result;
use std::sync::{Arc, Mutex, PoisonError};

/// The parts that may stay, in the order in which a generation loads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    TextEncoder,
    VideoEncoder,
    Transformer,
    Upsampler,
    VideoDecoder,
}

impl Part {
    const ALL: [Self; 5] =
        [Self::TextEncoder, Self::VideoEncoder, Self::Transformer, Self::Upsampler, Self::VideoDecoder];

    /// Those that stay: one after the other, as long as their bytes fit into the budget. Which ones depends on nothing else,
    /// so that a plan can say it beforehand.
    pub(crate) fn kept(budget: u64, bytes: impl Fn(Self) -> u64) -> Vec<Self> {
        let mut used = 0_u64;
        let fits = |part: &Self| {
            let with = used.saturating_add(bytes(*part));
            let fits = with <= budget;
            used = if fits { with } else { used };
            fits
        };
        Self::ALL.into_iter().filter(fits).collect()
    }
}

/// A place for one part.
pub(crate) struct Slot<T>(Mutex<Option<Arc<T>>>);

impl<T> Slot<T> {
    /// The part; loaded if it is not here, and kept if it is one that stays. Another lives as long as its user holds it.
    pub(crate) fn part(&self, stays: bool, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = &*kept {
            return Ok(Arc::clone(part));
        }
        let part = Arc::new(load()?);
        *kept = stays.then(|| Arc::clone(&part));
        Ok(part)
    }
}

/// A place that can be emptied, whatever is in it.
pub(crate) trait Clear {
    /// Lets go of the part; one that is in use lives on with its user.
    fn clear(&self);
}

impl<T> Clear for Slot<T> {
    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_loaded_once_and_what_does_not_every_time() {
        let (staying, passing) = (Slot::default(), Slot::default());
        let mut loads = Vec::new();
        for _ in 0..3 {
            for (slot, stays) in [(&staying, true), (&passing, false)] {
                let part = slot.part(stays, || {
                    loads.push(stays);
                    Ok(stays)
                });
                assert_eq!(*part.unwrap(), stays);
            }
        }
        assert_eq!(loads, [true, false, false, false]);
        staying.clear();
        assert!(!*staying.part(true, || Ok(false)).unwrap(), "loaded anew");
    }

    #[test]
    fn parts_stay_in_their_order_as_far_as_the_budget_goes() {
        let bytes = |part| if part == Part::Transformer { 50 } else { 10 };
        use Part::{TextEncoder, Transformer, Upsampler, VideoDecoder, VideoEncoder};
        assert_eq!(Part::kept(0, bytes), []);
        assert_eq!(Part::kept(39, bytes), [TextEncoder, VideoEncoder, Upsampler]);
        assert_eq!(Part::kept(75, bytes), [TextEncoder, VideoEncoder, Transformer]);
        assert_eq!(Part::kept(90, bytes), [TextEncoder, VideoEncoder, Transformer, Upsampler, VideoDecoder]);
    }
}
