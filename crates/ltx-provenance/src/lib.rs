//! Content credentials (C2PA): every output signed while it is finished, and files held against what they say of themselves.
//!
//! Must not know models, tensors, jobs, the network: an output comes from `ltx-media`, which seals it by a [`ClipSeal`]; a time-stamp
//! authority is asked by whoever implements [`TimeAuthority`].
//!
//! Sign: [`ProvenanceSettings`] → [`Credentials::open`] → [`ClipSeal`]. Check: [`verify`].
#![forbid(unsafe_code)]

mod bytes;
mod certificate;
mod claim;
mod credentials;
mod given;
mod input;
mod key_error;
mod mp4;
mod own;
mod png_file;
mod seal;
mod settings;
mod signing;
mod usage;
mod verify;
mod xmp;

pub use certificate::Certificate;
pub use credentials::{Credentials, TimeAuthority};
pub use input::Input;
pub use key_error::KeyError;
pub use seal::{ClipSeal, Sealed};
pub use settings::{Mode, ProvenanceSettings};
pub use verify::{Against, Found, Pictures, Report, Signer, Trust, Verdict, verify};
