//! Golden cases (`ltx-golden/1`): a request and the tensors the models' reference implementation computes from it.
//!
//! Must not know policy: a case writes no output, so it runs beneath the gate. It takes its inputs from the case alone
//! (prompt, images, seed), never from intermediate results.

mod case;
mod compare;
mod run;

pub use case::{GoldenCase, GoldenError};
pub use compare::Comparison;
pub use run::{GoldenResult, run_case};
