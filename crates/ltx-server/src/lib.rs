//! A node's application, and the faces that serve it.
//!
//! `app` is what the node does for a client, in domain values; `grpc` and `http` are faces of it; `transport` is what stands
//! between the network and every face. A request for a generation goes `grpc::services` → `from_proto` → `app` →
//! `ltx_policy::admit` → [`Jobs`](ltx_jobs::Jobs), and its news come back through `app` and `to_proto`.
//!
//! Must not know: tensors, engines, the database, files of configuration. The wire's shapes are known to two files,
//! `from_proto` and `to_proto`; what an error looks like there, to `status`.
//!
//! The binary composes it: [`Settings`] → [`Settings::check`] → [`Server::new`] → [`Server::serve`] with its [`Face`]s.
#![forbid(unsafe_code)]

mod app;
mod config;
mod error;
mod face;
mod grpc;
mod http;
mod page;
mod server;
mod testing;
mod transport;

pub use app::{Catalog, ModelCard};
pub use config::{Device, Limits, Listen, Page, ServerConfig, Settings, Shown, Tls};
pub use error::ServerError;
pub use face::Face;
pub use server::{Control, Server};
pub use testing::TestingSettings;
pub use transport::{
    origin::Origin,
    token::{Token, TokenHash},
};
