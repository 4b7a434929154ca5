//! A child process of a test that does not outlive it.
//!
//! Must not know what the child does.

use std::{
    ops::{Deref, DerefMut},
    process::Child,
};

/// A child that is killed and waited for when it is dropped, so that a test that fails leaves nothing running.
#[derive(Debug)]
pub struct Guarded(pub Child);

impl Deref for Guarded {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
