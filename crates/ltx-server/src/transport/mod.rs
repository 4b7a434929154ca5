//! What is between the network and a face: connections and their limits, bodies, open streams, and who calls.
//!
//! Must not know messages, nor what calls do.

pub(crate) mod body_limits;
pub(crate) mod browsers;
pub(crate) mod door;
pub(crate) mod entrance;
pub(crate) mod listen;
pub(crate) mod origin;
pub(crate) mod parts;
pub(crate) mod presence;
pub(crate) mod short_lived;
pub(crate) mod streams;
pub(crate) mod tls;
pub(crate) mod token;
