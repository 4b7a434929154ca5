//! The node as an application: what it does for a client, in the domain's words, whatever face the client came through.
//!
//! Must not know a face: no messages of the contract, no status codes, no sockets. Use cases are methods of [`Node`], one file
//! each; they take domain values and answer with domain values or a [`Problem`].

mod about;
mod catalog;
mod check;
mod create;
mod follow;
mod generations;
mod given;
mod judge;
mod life;
mod metrics;
mod node;
mod observer;
mod problem;
#[cfg(test)]
mod tests;
mod trace;
mod upload;

pub(crate) use about::{About, NodeState, ServedModel};
pub use catalog::{Catalog, ModelCard};
pub(crate) use check::Checked;
pub(crate) use create::Order;
pub(crate) use follow::{Following, Happened, News, Wanted};
pub(crate) use generations::{Listing, Shown, Snapshot};
pub(crate) use given::OpenImage;
pub(crate) use judge::{Given, Request, Rules, Specification};
pub(crate) use life::Phase;
pub(crate) use metrics::{Gauges, Metrics};
pub(crate) use node::Node;
pub(crate) use problem::Problem;
pub(crate) use trace::{Answer, RequestTrace};
pub(crate) use upload::{KeptUpload, ReceivedImage};
