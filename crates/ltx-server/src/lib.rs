//! The node on the wire: gRPC services, statuses, limits, metrics, shutdown.
//!
//! Must not know: tensors, engines, the database, files of configuration. The wire's shapes are known to two files,
//! `from_proto` and `to_proto`; what an error looks like there, to `status`. A request goes
//! `services` → `from_proto` → `ltx_policy::admit` → [`Jobs`](ltx_jobs::Jobs), and its news come back through `to_proto`.
//!
//! The binary composes it: [`Settings`] → [`Settings::check`] → [`Server::new`] → [`Server::serve`].
#![forbid(unsafe_code)]

mod app;
mod config;
mod error;
mod grpc;
mod http;
mod server;
mod transport;

pub use app::catalog::{Catalog, ModelCard};
pub use config::{Device, Limits, Listen, ServerConfig, Settings, Tls};
pub use error::ServerError;
pub use server::{Control, Listeners, Server};
pub use transport::token::{Token, TokenHash};
