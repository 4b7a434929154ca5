//! Which requests belong to the unlimited class, and the mark that every output carries.
//!
//! Must not know: candle, tonic, tokio, files. Pure rules: a request and the operator's [`PolicyConfig`] go in, evidence or a
//! refusal comes out. The engine takes only [`Admitted`], the writers only outputs with a [`UsageMark`]; neither can be
//! made outside this crate, so going round the rules does not compile.
#![forbid(unsafe_code)]

mod admit;
mod ask;
mod config;
mod eligibility;
mod generation;
mod mark;
mod names;
mod preview;
mod refusal;
mod remedy;
mod rules;
mod tokens;

pub use admit::{Admitted, StoredRequest, admit, readmit, refuse_edit_elements, refuse_generate_audio};
pub use ask::{Agent, Ask, Audio};
pub use config::PolicyConfig;
pub use eligibility::Eligibility;
pub use mark::{ModelIdentity, UsageMark, WeightFingerprint};
pub use names::{KnownModel, ModelNames};
pub use preview::PreviewLabel;
pub use refusal::{Ground, Reason, Refusal};
