//! How many streams each client has open.
//!
//! Must not know what flows in them.

use crate::app::Problem;
use ltx_jobs::ClientId;
use parking_lot::{Mutex, MutexGuard};
use std::{collections::HashMap, sync::Arc};

/// Open streams by client, up to a bound each.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    most: usize,
    open: Arc<Mutex<HashMap<ClientId, usize>>>,
}

/// One open stream; dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Slot {
    streams: Streams,
    client: ClientId,
}

impl Streams {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// # Errors
    /// The client has all it may have.
    pub(crate) fn open(&self, client: &ClientId) -> Result<Slot, Problem> {
        let mut open = self.lock();
        let count = open.entry(client.clone()).or_default();
        if *count >= self.most {
            return Err(Problem::TooManyStreams { open: *count });
        }
        *count += 1;
        Ok(Slot { streams: self.clone(), client: client.clone() })
    }

    /// All clients' together.
    pub(crate) fn count(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, usize>> {
        self.open.lock()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_bound() {
        let (a, b) = (ClientId::new("a").unwrap(), ClientId::new("b").unwrap());
        let streams = Streams::new(2);
        let first = streams.open(&a).unwrap();
        let _second = streams.open(&a).unwrap();
        assert!(matches!(streams.open(&a), Err(Problem::TooManyStreams { open: 2 })));
        assert!(streams.open(&b).is_ok());
        drop(first);
        assert!(streams.open(&a).is_ok());
        assert_eq!(streams.count(), 1);
    }
}
