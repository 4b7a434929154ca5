//! Images that come in parts, one call each: what has come of every one, as long as it goes on.
//!
//! An image is known by its client and its digest, so that a part finds what came before it over whatever connection. What has
//! come takes one of the places that uploads have anyway. It is forgotten when no part comes for a while; sooner where another
//! upload has no place and this one has paused, or has taken longer already than an upload may.
//!
//! Must not know messages, nor whether it is an image.

use super::streams::Slot;
use ltx_jobs::ClientId;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// Which image of whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Whole {
    pub(crate) client: ClientId,
    /// SHA-256 of the whole, in lower case.
    pub(crate) sha256: String,
    pub(crate) total_bytes: u64,
}

/// What has come of an image. Whoever holds the bytes is its only writer.
pub(crate) struct Coming {
    pub(crate) received: tokio::sync::Mutex<Received>,
    begun: Instant,
    last: Mutex<Instant>,
    _room: Room,
}

/// Bytes from the beginning, without gaps, and their digest as far as they go.
#[derive(Default)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    digest: Sha256,
}

impl Received {
    /// Puts further bytes behind those that have come.
    pub(crate) fn extend(&mut self, further: &[u8]) {
        self.bytes.extend_from_slice(further);
        self.digest.update(further);
    }

    /// All that has come.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of all that has come, in lower case.
    pub(crate) fn sha256(&self) -> String {
        format!("{:x}", self.digest.clone().finalize())
    }
}

/// The places that an upload takes while it comes.
pub(crate) struct Room {
    /// Among its client's uploads.
    _of_client: Slot,
    /// Among everybody's.
    _of_all: OwnedSemaphorePermit,
}

impl Room {
    /// Both places, until it is dropped.
    pub(crate) fn new(of_client: Slot, of_all: OwnedSemaphorePermit) -> Self {
        Self { _of_client: of_client, _of_all: of_all }
    }
}

/// Every image that is coming.
#[derive(Clone)]
pub(crate) struct Parts {
    images: Arc<Mutex<HashMap<Whole, Arc<Coming>>>>,
    /// How long one is kept without a part, and at all where another has no place.
    kept: Duration,
    /// After which pause it yields to another.
    pause: Duration,
}

impl Parts {
    /// Keeps what has come for `kept` after its last part; where another has no place, for `pause` after that, and `kept` in all.
    pub(crate) fn new(kept: Duration, pause: Duration) -> Self {
        Self { images: Arc::default(), kept, pause }
    }

    /// What has come of an image, if any of it has. It counts as going on.
    pub(crate) fn find(&self, whole: &Whole) -> Option<Arc<Coming>> {
        let found = self.images.lock().get(whole).cloned()?;
        found.goes_on();
        Some(found)
    }

    /// Begins an image; one that was begun meanwhile goes on instead.
    pub(crate) fn begin(&self, whole: Whole, room: Room) -> Arc<Coming> {
        let mut images = self.images.lock();
        if let Some(found) = images.get(&whole) {
            return Arc::clone(found);
        }
        let (received, begun) = (tokio::sync::Mutex::default(), Instant::now());
        let coming = Arc::new(Coming { received, begun, last: Mutex::new(begun), _room: room });
        images.insert(whole.clone(), Arc::clone(&coming));
        tokio::spawn(forget_later(Arc::downgrade(&self.images), whole, Arc::downgrade(&coming), self.kept));
        coming
    }

    /// Forgets what has come of an image; what has come of it since it was begun anew stays.
    pub(crate) fn forget(&self, whole: &Whole, coming: &Arc<Coming>) {
        let mut images = self.images.lock();
        if images.get(whole).is_some_and(|found| Arc::ptr_eq(found, coming)) {
            images.remove(whole);
        }
    }

    /// Forgets the image that has paused for longest, of those that paused or took for too long: of one client, or of all.
    pub(crate) fn yield_room(&self, client: Option<&ClientId>) {
        let mut images = self.images.lock();
        let paused = images.iter().filter(|(whole, coming)| {
            client.is_none_or(|client| *client == whole.client)
                && (coming.last.lock().elapsed() > self.pause || coming.begun.elapsed() > self.kept)
                && coming.received.try_lock().is_ok()
        });
        let longest = paused.min_by_key(|(_, coming)| *coming.last.lock()).map(|(whole, _)| whole.clone());
        if let Some(whole) = longest {
            images.remove(&whole);
        }
    }

    /// How many are coming.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.images.lock().len()
    }
}

impl Coming {
    /// A part has come.
    pub(crate) fn goes_on(&self) {
        *self.last.lock() = Instant::now();
    }
}

/// Forgets an image once no part has come for a while.
async fn forget_later(
    images: Weak<Mutex<HashMap<Whole, Arc<Coming>>>>,
    whole: Whole,
    coming: Weak<Coming>,
    kept: Duration,
) {
    loop {
        let Some(until) = coming.upgrade().map(|coming| *coming.last.lock() + kept) else { return };
        if until > Instant::now() {
            tokio::time::sleep_until(until).await;
            continue;
        }
        let Some(images) = images.upgrade() else { return };
        let mut images = images.lock();
        // Another of the same name may have begun since.
        if images.get(&whole).is_some_and(|found| Arc::downgrade(found).ptr_eq(&coming)) {
            images.remove(&whole);
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::streams::Streams;
    use tokio::sync::Semaphore;

    /// What does not pass while a test runs.
    const HOUR: Duration = Duration::from_secs(3600);

    fn whole(client: &str, sha256: &str) -> Whole {
        Whole { client: ClientId::new(client).unwrap(), sha256: sha256.to_owned(), total_bytes: 3 }
    }

    /// Begins an image in the only place there is.
    fn begin(parts: &Parts, places: &Arc<Semaphore>, whole: Whole) -> Arc<Coming> {
        let of_client = Streams::new(9).open(&whole.client).unwrap();
        parts.begin(whole, Room::new(of_client, Arc::clone(places).try_acquire_owned().unwrap()))
    }

    #[tokio::test]
    async fn what_has_come_is_found_by_client_and_digest() {
        let (parts, places) = (Parts::new(HOUR, HOUR), Arc::new(Semaphore::new(2)));
        let image = whole("a", "x");
        let coming = begin(&parts, &places, image.clone());
        coming.received.lock().await.extend(&[1, 2]);
        assert_eq!(parts.find(&image).unwrap().received.lock().await.bytes(), [1, 2]);
        assert!(parts.find(&whole("b", "x")).is_none() && parts.find(&whole("a", "y")).is_none());
        parts.forget(&image, &coming);
        assert_eq!((places.available_permits(), parts.count()), (1, 0), "whoever still writes holds its place");
        let anew = begin(&parts, &places, image.clone());
        parts.forget(&image, &coming);
        assert_eq!((places.available_permits(), parts.count()), (0, 1), "begun anew, it is another");
        drop(coming);
        parts.forget(&image, &anew);
        drop(anew);
        assert_eq!((places.available_permits(), parts.count()), (2, 0), "its place is free");
    }

    #[tokio::test]
    async fn what_does_not_go_on_is_forgotten() {
        let (parts, places) = (Parts::new(Duration::from_millis(20), HOUR), Arc::new(Semaphore::new(1)));
        begin(&parts, &places, whole("a", "x"));
        let until = Instant::now() + HOUR;
        while parts.count() > 0 {
            assert!(Instant::now() < until, "it is never forgotten");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(places.available_permits(), 1, "its place is free");
    }

    #[tokio::test]
    async fn one_that_paused_yields_to_another() {
        for (pause, left) in [(HOUR, 3), (Duration::ZERO, 2)] {
            let (parts, places) = (Parts::new(HOUR, pause), Arc::new(Semaphore::new(3)));
            for (client, sha256) in [("a", "x"), ("b", "y"), ("a", "z")] {
                begin(&parts, &places, whole(client, sha256));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            parts.yield_room(Some(&ClientId::new("b").unwrap()));
            assert_eq!(parts.count(), left);
            if left == 3 {
                continue;
            }
            assert!(parts.find(&whole("b", "y")).is_none());
            parts.yield_room(None);
            assert!(parts.find(&whole("a", "x")).is_none(), "the one that paused for longest");
            let held = parts.find(&whole("a", "z")).unwrap();
            let _written = held.received.lock().await;
            tokio::time::sleep(Duration::from_millis(2)).await;
            parts.yield_room(None);
            assert_eq!(parts.count(), 1, "one that is written to stays");
        }
    }
}
