//! Buffers that convolutions share while any of them exists: made once, not for every call, as the system clears every page
//! that it hands out.
//!
//! Must not know what they hold.

use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// One thread's buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// A patch of the input.
    pub(super) patch: Vec<f32>,
    /// The patch at Winograd's points.
    pub(super) points: Vec<f32>,
    /// Products, before they are written.
    pub(super) products: Vec<f32>,
}

/// All buffers.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    threads: Mutex<Vec<Buffers>>,
    weights: Mutex<Vec<f32>>,
}

static SHARED: Mutex<Weak<Scratch>> = Mutex::new(Weak::new());

impl Scratch {
    /// The buffers in use, or new ones; they go when the last holder goes.
    pub(super) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock();
        shared.upgrade().unwrap_or_else(|| {
            let scratch = Arc::default();
            *shared = Arc::downgrade(&scratch);
            scratch
        })
    }

    /// Lends buffers to `work`.
    pub(super) fn with_buffers(&self, work: impl FnOnce(&mut Buffers)) {
        let lock = || self.threads.lock();
        let mut buffers = lock().pop().unwrap_or_default();
        work(&mut buffers);
        lock().push(buffers);
    }

    /// The buffer for weights made ready, and where it is given back.
    pub(super) fn take_weights(&self) -> Vec<f32> {
        std::mem::take(&mut *self.weights.lock())
    }

    /// Keeps the larger of two buffers for weights.
    pub(super) fn give_weights(&self, buffer: Vec<f32>) {
        let mut kept = self.weights.lock();
        if kept.capacity() < buffer.capacity() {
            *kept = buffer;
        }
    }
}

/// The first `len` values of a buffer that grows to hold them; what they hold is left from earlier.
pub(super) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        // Nothing of it is needed, so nothing is moved.
        *buffer = vec![0f32; len];
    }
    &mut buffer[..len]
}
