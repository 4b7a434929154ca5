//! What can stop a server, as opposed to a call.
//!
//! Must not know gRPC codes.

use ltx_types::FieldError;
use std::{error::Error, io, net::SocketAddr, path::PathBuf};

/// Why a server cannot be made, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A setting cannot have its value.
    #[error(transparent)]
    Setting(#[from] FieldError),
    /// The address can be reached from elsewhere, and the node is not protected.
    #[error(
        "{address}: listening beyond loopback needs {}; or say outright that it is allowed (allow_unprotected)",
        if *tokens { "TLS" } else { "tokens and TLS" }
    )]
    Unprotected {
        /// Where it was to listen.
        address: SocketAddr,
        /// Whether there are tokens.
        tokens: bool,
    },
    /// A PEM file cannot be read.
    #[error("{}: cannot be read", file.display())]
    Pem {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate and its key cannot be used.
    #[error("{} and {}: cannot be used for TLS", certificate.display(), key.display())]
    Tls {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A listener has no address.
    #[error("the listener cannot be used")]
    Listener(#[source] io::Error),
    /// Reflection cannot read the contract; a fault of the build.
    #[error("the contract cannot be reflected")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the transport failed")]
    Transport(#[source] tonic::transport::Error),
    /// A listener for plain HTTP failed.
    #[error("the HTTP listener failed")]
    Http(#[source] io::Error),
}
