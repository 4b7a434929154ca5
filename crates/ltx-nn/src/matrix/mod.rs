//! The matrix of a linear layer, in three stations: [`Stored`] is what a source hands out, [`form()`] decides what it becomes,
//! and [`Prepared`] is what a layer multiplies with.
//!
//! Must not know files, keys, or which layer multiplies.

mod form;
mod low_rank;
mod packed;
mod prepare;
mod prepared;
mod product;
mod stored;

pub use form::{Arithmetic, Form, Use, form};
pub use low_rank::{LowRank, merge_low_rank};
pub use packed::{Packed, unpack};
pub use prepare::prepare;
pub use prepared::Prepared;
pub use stored::{Description, Stored, StoredKind};

#[cfg(test)]
mod tests;
