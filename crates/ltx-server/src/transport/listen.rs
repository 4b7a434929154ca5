//! Connections: so many at once, each has to say soon what it speaks, and none may stay without a reason.
//!
//! Must not know gRPC; a connection's presence says whether there is a reason.

use super::{door::Door, presence::Presence};
use crate::{Limits, config::KEEPALIVE};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, Sleep, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// Bytes of HTTP/2's preface and its first frame's head. Of TLS they are less than a greeting, which has a limit of its own; of
/// HTTP/1.1 less than any browser's head of a request, which the transport gives 30 seconds to be whole.
const GREETING: usize = 24 + 9;

/// Accepts connections, so many at once; more wait in the system's queue. Ends when the stream is dropped.
pub(crate) fn connections(listener: TcpListener, limits: &Limits) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, stream) = mpsc::channel(1);
    let door = Door::new("grpc", listener, limits.connections.get());
    let (handshake, idle) = (limits.handshake_time, limits.connection_idle_time);
    tokio::spawn(async move {
        loop {
            let (stream, place) = tokio::select! {
                () = accepted.closed() => return,
                connection = door.accept() => connection,
            };
            // Latency, and noticing a peer that is gone without a word: HTTP/1.1 has no pings. It works without either.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_tcp_keepalive(&probes());
            if accepted.send(Ok(Connection::new(stream, place, handshake, idle))).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(stream)
}

/// How a silent peer is asked whether it is there.
fn probes() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3)
}

/// One connection, in its place among all.
pub(crate) struct Connection {
    stream: TcpStream,
    presence: Presence,
    /// Bytes that came, up to those of a greeting.
    received: usize,
    idle: Duration,
    /// When to look whether it may stay: first at the end of the handshake's time.
    patience: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, handshake: Duration, idle: Duration) -> Self {
        let patience = Box::pin(sleep_until(Instant::now() + handshake));
        Self { stream, presence: Presence::new(), received: 0, idle, patience, _place: place }
    }

    /// Ready when it may not stay.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.patience.as_mut().poll(cx));
            let until = self.presence.welcome_until(self.idle);
            if self.received < GREETING || until <= Instant::now() {
                return Poll::Ready(());
            }
            self.patience.as_mut().reset(until);
        }
    }

    /// What was done, unless it may not stay. Looked at in both directions, also while bytes come and go: they are no reason to
    /// stay, and behind a request that another follows HTTP/1.1 reads nothing until the first is answered.
    fn unless_over<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.poll_patience(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => done,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Presence;
    fn connect_info(&self) -> Presence {
        self.presence.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.received = GREETING.min(this.received + buffer.filled().len() - before);
        this.unless_over(cx, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_over(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unless_over(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.unless_over(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
