//! A listener that lets so many connections in at once; more wait in the system's queue.
//!
//! Must not know what is spoken on a connection.

use std::{sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// How long to wait when the system has no connection to give, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener with its places.
pub(crate) struct Door {
    face: &'static str,
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Door {
    /// Lets at most `connections` of a face in at once.
    pub(crate) fn new(face: &'static str, listener: TcpListener, connections: usize) -> Self {
        Self { face, listener, places: Arc::new(Semaphore::new(connections)) }
    }

    /// The next connection, and its place among all; dropped, the place is free again.
    pub(crate) async fn accept(&self) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await;
            match (self.listener.accept().await, place) {
                (Ok((stream, _)), Ok(place)) => return (stream, place),
                (Err(error), _) => tracing::warn!(face = self.face, %error, "no connection could be accepted"),
                // The places are never closed.
                (Ok(_), Err(_)) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The listener itself.
    pub(crate) fn listener(&self) -> &TcpListener {
        &self.listener
    }
}
