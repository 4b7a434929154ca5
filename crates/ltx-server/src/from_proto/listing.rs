//! Which generations a client asks to list.
//!
//! Must not know pages; a page token is the jobs' own, with this filter's mark behind it.

use super::fields::{milliseconds, unknown};
use ltx_jobs::State;
use ltx_proto::v1;
use ltx_types::{FieldError, Method};
use sha2::{Digest, Sha256};

/// The most generations of a page.
const PAGE_SIZE: i32 = 500;

/// Which generations a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listing {
    pub(crate) size: usize,
    pub(crate) states: Vec<State>,
    pub(crate) method: Option<Method>,
    /// Milliseconds since 1970.
    pub(crate) from_ms: Option<i64>,
    pub(crate) before_ms: Option<i64>,
    /// What tells this filter from another; page tokens carry it.
    pub(crate) filter: String,
}

/// Reads a listing; the page token apart.
///
/// # Errors
/// A field that is wrong.
pub(crate) fn listing(request: &v1::ListGenerationsRequest) -> Result<Listing, FieldError> {
    let size = match request.page_size {
        0 => 50,
        size @ 1..=PAGE_SIZE => size as usize,
        size => {
            let nearest = size.clamp(1, PAGE_SIZE);
            return Err(FieldError::new("page_size", size, format!("is outside 0..={PAGE_SIZE}")).nearest(nearest));
        }
    };
    let mut states = Vec::new();
    for &value in &request.states {
        let state = match v1::GenerationState::try_from(value) {
            Ok(v1::GenerationState::Queued) => State::Queued,
            Ok(v1::GenerationState::Running) => State::Running,
            Ok(v1::GenerationState::Done) => State::Done,
            Ok(v1::GenerationState::Failed) => State::Failed,
            Ok(v1::GenerationState::Cancelled) => State::Cancelled,
            Ok(v1::GenerationState::Unspecified) | Err(_) => return Err(unknown("states", value)),
        };
        if !states.contains(&state) {
            states.push(state);
        }
    }
    let method = match v1::Method::try_from(request.method) {
        Ok(v1::Method::Unspecified) => None,
        Ok(v1::Method::ImageToVideo) => Some(Method::ImageToVideo),
        Ok(v1::Method::StartEndFrames) => Some(Method::StartEndFrames),
        Err(_) => return Err(unknown("method", request.method)),
    };
    let from_ms = request.created_from.as_ref().map(|time| milliseconds("created_from", time)).transpose()?;
    let before_ms = request.created_before.as_ref().map(|time| milliseconds("created_before", time)).transpose()?;
    let words: Vec<_> = states.iter().map(|state| state.as_str()).collect();
    let filter = format!("{words:?} {method:?} {from_ms:?} {before_ms:?}");
    let filter = format!("{:x}", Sha256::digest(filter))[..8].to_owned();
    Ok(Listing { size, states, method, from_ms, before_ms, filter })
}
