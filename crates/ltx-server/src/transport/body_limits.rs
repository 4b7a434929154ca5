//! A request's body as it comes in: it may not pause for long, and only so many large ones come in at once.
//!
//! Must not know messages. Uploads bound themselves; theirs are watched for pauses alone.

use crate::app::Problem;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tonic::{Status, body::Body, codegen::Bytes};

/// Bytes from which on a body is large.
const LARGE: usize = 256 << 10;

/// The place of a large body. It is held until the call has ended, as the message is.
pub(crate) type BodyPlace = Arc<parking_lot::Mutex<Option<OwnedSemaphorePermit>>>;

type Asked = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// A body that is watched.
struct WatchedBody<B> {
    body: B,
    idle: Duration,
    pause: Pin<Box<Sleep>>,
    received: usize,
    /// Where large bodies get their places.
    places: Option<Arc<Semaphore>>,
    asked: Option<Asked>,
    place: BodyPlace,
}

impl<B> WatchedBody<B> {
    /// Watches a body. Its place, if it needs one, is kept in `place`.
    fn new(body: B, idle: Duration, places: Option<Arc<Semaphore>>, place: BodyPlace) -> Self {
        Self { body, idle, pause: Box::pin(sleep(idle)), received: 0, places, asked: None, place }
    }
}

impl<B> WatchedBody<B> {
    /// Ready once a large body has its place. Waiting for one is no pause of the client's.
    fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.received < LARGE {
            return Poll::Ready(());
        }
        let Some(places) = &self.places else { return Poll::Ready(()) };
        let places = Arc::clone(places);
        let asked = self.asked.get_or_insert_with(|| Box::pin(async move { places.acquire_owned().await.ok() }));
        let got = ready!(asked.as_mut().poll(cx));
        *self.place.lock() = got;
        (self.places, self.asked) = (None, None);
        self.pause.as_mut().reset(Instant::now() + self.idle);
        Poll::Ready(())
    }
}

impl<B> tonic::codegen::Body for WatchedBody<B>
where
    B: tonic::codegen::Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
{
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        ready!(this.poll_place(cx));
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                ready!(this.pause.as_mut().poll(cx));
                Poll::Ready(Some(Err(Status::from(Problem::Paused { limit: this.idle }).into())))
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.received += frame.data_ref().map_or(0, Bytes::len);
                this.pause.as_mut().reset(Instant::now() + this.idle);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A watched body as the services take it.
pub(crate) fn watched<B>(body: B, idle: Duration, places: Option<Arc<Semaphore>>, place: &BodyPlace) -> Body
where
    B: tonic::codegen::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    Body::new(WatchedBody::new(body, idle, places, Arc::clone(place)))
}
