//! Which requests belong to the unlimited class, and the mark that every output carries.
//!
//! Must not know: candle, tonic, tokio, files. Pure rules: a request and the names the node knows go in, evidence or a
//! refusal comes out. The engine takes only [`Admitted`], the writers only outputs with a [`UsageMark`]; neither can be
//! made outside this crate, so going round the rules does not compile.
#![forbid(unsafe_code)]

mod admit;
mod mark;
mod names;
mod refusal;

pub use admit::{Admitted, Ask, admit};
pub use mark::{ModelIdentity, UsageMark};
pub use names::{KnownModel, ModelNames};
pub use refusal::{Reason, Refusal};
