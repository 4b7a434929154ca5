//! The assertion of our own: the usage mark, with what ties it to the file and to its pictures. Its schema is
//! docs/provenance-usage.schema.json.
//!
//! Must not know how it is signed.

use crate::Input;
use ltx_policy::UsageMark;
use serde_json::{Value, json};

/// Its label.
pub(crate) const USAGE_LABEL: &str = "org.ltxd.usage";
/// The entry of an MP4's metadata that says its digest of pictures.
pub(crate) const PICTURES: &str = "pictures_sha256";
/// The version of its schema.
const SCHEMA: u32 = 1;
/// Stands where a digest goes that is not known yet; of the same length.
pub(crate) const UNKNOWN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What ties a mark to a file.
#[derive(Debug, Clone)]
pub(crate) struct Ties {
    /// SHA-256 of the pictures as a decoder gets them.
    pub(crate) pictures_sha256: String,
    /// How many there are.
    pub(crate) pictures: usize,
    /// SHA-256 of the whole file but for the credentials themselves.
    pub(crate) rest_sha256: String,
}

/// The assertion's data.
pub(crate) fn usage(mark: &UsageMark, ties: &Ties, inputs: &[Input]) -> Result<Value, serde_json::Error> {
    Ok(json!({
        "schema": SCHEMA,
        "mark": serde_json::to_value(mark)?,
        "pictures": ties.pictures,
        "pictures_sha256": ties.pictures_sha256,
        "rest_sha256": ties.rest_sha256,
        "inputs": inputs,
    }))
}
