//! Which generations a client asks to list.
//!
//! Must not know what a page token says; the jobs gave it.

use super::fields::{milliseconds, unknown};
use ltx_jobs::{Filter, PageToken, State};
use ltx_proto::v1;
use ltx_types::{FieldError, Method};

/// The most generations of a page.
const PAGE_SIZE: i32 = 500;

/// Which generations a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listing {
    pub(crate) size: usize,
    pub(crate) after: Option<PageToken>,
    pub(crate) filter: Filter,
}

/// Reads a listing. Whether the page token belongs to the filter is for the jobs to say.
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
    let after = Some(&request.page_token).filter(|token| !token.is_empty()).map(|token| token.parse()).transpose()?;
    Ok(Listing { size, after, filter: Filter { states, method, from_ms, before_ms } })
}
