//! What was found of a file.
//!
//! Must not know how it was found.

use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// The one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Signed, unchanged since, and one of the roots that were given vouches for the signer.
    Trusted,
    /// Signed and unchanged since; none of the roots that were given vouches for the signer, or its certificate does not hold.
    Untrusted,
    /// Neither signed nor marked as an output of ltxd: nothing is known of it.
    Unsigned,
    /// The signature is gone; a mark that anybody can write is left, and its pictures are not known to differ.
    Stripped,
    /// The signature is gone and the pictures are others than the mark's: encoded anew, or edited.
    Reencoded,
    /// Signed, and changed since; or the credentials themselves are damaged.
    Changed,
}

/// What of a file was found to be otherwise than it was signed, or worth telling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// A C2PA status code, or one of ours, which begins with `ltxd.`.
    pub code: String,
    /// In words.
    pub what: String,
}

/// Whether the signer is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// By a root of this file.
    By(PathBuf),
    /// By none of the roots that were given, or its certificate does not hold: expired, revoked, for another purpose.
    ByNone,
}

/// Whose signature it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// The certificate's subject.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The end of its time.
    pub until: String,
    /// SHA-256 of the certificate.
    pub certificate_sha256: String,
    /// When it was signed, as far as a time-stamp authority says so.
    pub time: Option<String>,
    /// Whether it is known.
    pub trust: Trust,
}

/// The pictures, decoded, and what is said of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pictures {
    /// How many were decoded; `None` where they cannot be.
    pub count: Option<u64>,
    /// SHA-256 of what was decoded; `None` where it cannot be.
    pub sha256: Option<String>,
    /// What is said of them: by the signature, by the mark in the metadata, or by the sidecar.
    pub expected_sha256: Option<String>,
    /// Who says so: `signature`, `metadata`, `sidecar`.
    pub expected_by: Option<&'static str>,
    /// Whether both are the same; `None` where one of them is not known.
    pub same: Option<bool>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// `mp4`, `png`, `sidecar`.
    pub kind: &'static str,
    /// The one word.
    pub verdict: Verdict,
    /// Whose signature; `None` without one that can be read.
    pub signer: Option<Signer>,
    /// Whether it is, or says that it is, an output of ltxd.
    pub output_of_ltxd: bool,
    /// The usage class that the mark states, such as `UNLIMITED`.
    pub usage_class: Option<String>,
    /// The mark, from the signed assertion or, without one, from the metadata.
    pub mark: Option<Value>,
    /// Whether the mark is the signed one, in a file that is as it was signed.
    pub mark_is_signed: bool,
    /// The pictures.
    pub pictures: Pictures,
    /// What is otherwise than it was signed, and what else is worth telling.
    pub found: Vec<Found>,
    /// Of a sidecar, the files that it tells of and that lie beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Report>,
}

impl Found {
    pub(super) fn new(code: impl Into<String>, what: impl Into<String>) -> Self {
        Self { code: code.into(), what: what.into() }
    }
}
