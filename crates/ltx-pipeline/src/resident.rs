//! Parts of a model that stay in memory between generations, as far as a budget goes.
//!
//! Must not know what the parts compute, or which there are.

use crate::Result;
use ltx_types::Part;
use ltx_weights::Worn;
use parking_lot::Mutex;
use std::sync::Arc;

/// A place in memory for what is loaded and let go as one thing.
pub(crate) struct Slot<T> {
    parts: &'static [Part],
    held: Mutex<Option<(Worn, Arc<T>)>>,
}

impl<T> Slot<T> {
    /// An empty place for what is made of `parts`.
    pub(crate) fn of(parts: &'static [Part]) -> Self {
        Self { parts, held: Mutex::new(None) }
    }

    /// What the place is for; loaded if it is not here, and kept if it is one that stays. Another lives as long as its user
    /// holds it.
    pub(crate) fn get(&self, stays: bool, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        self.get_worn(&Worn::default(), stays, load)
    }

    /// The same of weights that LoRA files have made what they are. What is here with others is let go first.
    pub(crate) fn get_worn(&self, worn: &Worn, stays: bool, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut held = self.held.lock();
        if let Some((here, loaded)) = &*held
            && here == worn
        {
            return Ok(Arc::clone(loaded));
        }
        *held = None;
        let loaded = Arc::new(load()?);
        *held = stays.then(|| (worn.clone(), Arc::clone(&loaded)));
        Ok(loaded)
    }
}

impl<T> Slot<T> {
    /// Lets go of what is here unless it is one of these.
    pub(crate) fn keep_worn(&self, worn: &[Worn]) {
        let mut held = self.held.lock();
        if held.as_ref().is_some_and(|(here, _)| !worn.contains(here)) {
            *held = None;
        }
    }
}

/// A place in memory, whatever is in it.
pub(crate) trait Place {
    /// The parts that it is for.
    fn parts(&self) -> &'static [Part];

    /// Lets go of what is in it; what is in use lives on with its user.
    fn clear(&self);
}

impl<T> Place for Slot<T> {
    fn parts(&self) -> &'static [Part] {
        self.parts
    }

    fn clear(&self) {
        *self.held.lock() = None;
    }
}

/// The parts that stay: those of one place after the other, as long as their bytes fit into the budget. Which ones depends on
/// nothing else, so that a plan can say it beforehand.
pub(crate) fn kept<'a>(
    places: impl IntoIterator<Item = &'a dyn Place>,
    budget: u64,
    bytes: impl Fn(Part) -> u64,
) -> Vec<Part> {
    let mut used = 0_u64;
    let mut kept = Vec::new();
    for place in places {
        let with = used.saturating_add(place.parts().iter().map(|part| bytes(*part)).sum());
        if with <= budget {
            used = with;
            kept.extend(place.parts());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_loaded_once_and_what_does_not_every_time() {
        let (staying, passing) = (Slot::of(&[]), Slot::of(&[]));
        let mut loads = Vec::new();
        for _ in 0..3 {
            for (slot, stays) in [(&staying, true), (&passing, false)] {
                let loaded = slot.get(stays, || {
                    loads.push(stays);
                    Ok(stays)
                });
                assert_eq!(*loaded.unwrap(), stays);
            }
        }
        assert_eq!(loads, [true, false, false, false]);
        staying.clear();
        assert!(!*staying.get(true, || Ok(false)).unwrap(), "loaded anew");
    }

    #[test]
    fn parts_stay_in_their_order_as_far_as_the_budget_goes() {
        use Part::{LatentUpsampler, TextConnector, TextProjection, Transformer, VideoDecoder, VideoEncoder};
        let bytes = |part| match part {
            Transformer => 50,
            TextProjection | TextConnector => 5,
            _ => 10,
        };
        let slots: [Slot<()>; 5] = [
            Slot::of(&[TextProjection, TextConnector]),
            Slot::of(&[VideoEncoder]),
            Slot::of(&[Transformer]),
            Slot::of(&[LatentUpsampler]),
            Slot::of(&[VideoDecoder]),
        ];
        let kept = |budget| kept(slots.iter().map(|slot| slot as &dyn Place), budget, bytes);
        let text = [TextProjection, TextConnector];
        assert_eq!(kept(0), []);
        assert_eq!(kept(9), [], "both halves of the text encoding stay, or neither");
        assert_eq!(kept(39), [&text[..], &[VideoEncoder, LatentUpsampler]].concat());
        assert_eq!(kept(75), [&text[..], &[VideoEncoder, Transformer]].concat());
        assert_eq!(kept(90), [&text[..], &[VideoEncoder, Transformer, LatentUpsampler, VideoDecoder]].concat());
    }
}
