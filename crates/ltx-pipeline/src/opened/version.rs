//! The version that a checkpoint counts as: its sampler and the compression of its images go by it. What the transformer's file states
//! counts; where it states none, what the model's manifest says; by path, that of the family that its configuration shows.
//!
//! Must not know what goes by it.

use super::{stated::MODEL_VERSION, versions::version_of};
use ltx_model::architecture::{Conditioning, Family};
use ltx_types::model_version;
use ltx_weights::TensorSet;

/// Major and minor number of a checkpoint of a family where nothing states one.
pub(crate) fn of_family(family: Family) -> (u32, u32) {
    match family {
        Family::Ltxv098 => (0, 9),
        Family::Ltx2 => (2, 0),
        Family::Ltx23 => (2, 3),
        Family::Ltx25 => (2, 5),
    }
}

/// Major and minor number.
pub(crate) fn of(tensors: &TensorSet, family: Family) -> (u32, u32) {
    version_of(tensors).and_then(model_version).unwrap_or_else(|| of_family(family))
}

/// The files with the manifest's version for what states none, and a note where another counts than the files state.
pub(super) fn settled(tensors: TensorSet, manifests: Option<&str>, family: Family) -> (TensorSet, Option<String>) {
    let file = tensors.path().display().to_string();
    let lacks = match version_of(&tensors) {
        None => "states no version".to_owned(),
        Some(version) if model_version(version).is_none() => format!("states “{version}”, which is no version"),
        Some(_) => return (tensors, None),
    };
    match manifests.filter(|version| model_version(version).is_some()) {
        Some(version) if version_of(&tensors).is_none() => {
            (tensors.saying(MODEL_VERSION, version), Some(format!("{file}: {lacks}; the manifest's counts: {version}")))
        }
        // Nothing goes by the version there.
        _ if family.conditioning() == Conditioning::Points => (tensors, None),
        _ => {
            let ((major, minor), title) = (of_family(family), family.title());
            (
                tensors,
                Some(format!("{file}: {lacks}; taken for {major}.{minor}, as its configuration is that of {title}")),
            )
        }
    }
}
