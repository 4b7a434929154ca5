//! TLS in front of HTTP: connections greet beside each other, and agree on HTTP/2 where the client has it, else on HTTP/1.1.
//!
//! Must not know what is spoken behind it.

use super::{listen::Connection, presence::Presence};
use crate::{ServerError, Tls};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    error::Error,
    fs, io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::transport::server::Connected;

/// What is offered, the best first. A client that offers nothing is served, too: what it speaks shows.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Connections that HTTP may begin on.
pub(crate) type Incoming = Pin<Box<dyn Stream<Item = io::Result<Spoken>> + Send>>;

/// What greets with a certificate.
///
/// # Errors
/// `Pem`, `Tls`.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServerError> {
    let pem = |file: &Path| fs::read(file).map_err(|source| ServerError::Pem { file: file.to_owned(), source });
    let (certificate, key) = (pem(&tls.certificate)?, pem(&tls.key)?);
    let config = configured(&certificate, &key).map_err(|source| ServerError::Tls {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        source,
    })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn configured(certificate: &[u8], key: &[u8]) -> Result<ServerConfig, Box<dyn Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// Connections as they are.
pub(crate) fn plain(connections: ReceiverStream<io::Result<Connection>>) -> Incoming {
    Box::pin(
        connections.map(|connection| connection.map(|connection| Spoken::new(connection.connect_info(), connection))),
    )
}

/// Connections once they have greeted, each within a time; who has not is cut. Ends when the stream is dropped.
pub(crate) fn greeted(
    mut connections: ReceiverStream<io::Result<Connection>>,
    acceptor: TlsAcceptor,
    within: Duration,
) -> Incoming {
    let (ready, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut greeting = JoinSet::new();
        loop {
            tokio::select! {
                () = ready.closed() => return,
                next = connections.next() => match next {
                    Some(Ok(connection)) => {
                        greeting.spawn(greet(acceptor.clone(), connection, within));
                    }
                    Some(Err(error)) => tracing::debug!(%error, "a connection failed"),
                    None => return,
                },
                Some(ended) = greeting.join_next() => {
                    if let Ok(Some(spoken)) = ended && ready.send(Ok(spoken)).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    Box::pin(ReceiverStream::new(stream))
}

async fn greet(acceptor: TlsAcceptor, connection: Connection, within: Duration) -> Option<Spoken> {
    let presence = connection.connect_info();
    match timeout(within, acceptor.accept(connection)).await {
        Ok(Ok(stream)) => Some(Spoken::new(presence, stream)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client and the node did not agree on TLS");
            None
        }
        Err(_) => {
            tracing::debug!("a client took too long to agree on TLS");
            None
        }
    }
}

/// Bytes in both directions.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection on which HTTP is spoken, through TLS or not.
pub(crate) struct Spoken {
    bytes: Box<dyn Bytes>,
    presence: Presence,
}

impl Spoken {
    fn new(presence: Presence, bytes: impl Bytes + 'static) -> Self {
        Self { bytes: Box::new(bytes), presence }
    }
}

impl Connected for Spoken {
    type ConnectInfo = Presence;
    fn connect_info(&self) -> Presence {
        self.presence.clone()
    }
}

impl AsyncRead for Spoken {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.bytes).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Spoken {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.bytes).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.bytes).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.bytes).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.bytes.is_write_vectored()
    }
}
