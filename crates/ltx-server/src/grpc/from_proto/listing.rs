//! Which generations a client asks to list.
//!
//! Must not know what a page token says; the jobs gave it.

use super::fields::{length, milliseconds, unknown};
use crate::app::Listing;
use ltx_jobs::{Filter, GenerationId, State};
use ltx_proto::v1;
use ltx_types::{Faults, FieldError, FieldErrors, Method};
use prost_types::Timestamp;

/// The most generations of a page.
const PAGE_SIZE: i32 = 500;

/// The most bytes of a text that prompts, or names of models, are looked through for.
const TEXT_BYTES: usize = 256;

/// Reads a listing. Whether the page token belongs to the filter is for the jobs to say.
///
/// # Errors
/// Every field that is wrong.
pub(crate) fn listing(request: &v1::ListGenerationsRequest) -> Result<Listing, FieldErrors> {
    let mut faults = Faults::default();
    let size = match request.page_size {
        0 => 50,
        size @ 1..=PAGE_SIZE => size as usize,
        size => {
            let error = FieldError::new("page_size", size, format!("is outside 0..={PAGE_SIZE}"));
            faults.add(error.nearest(size.clamp(1, PAGE_SIZE)));
            0
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
            Ok(v1::GenerationState::Unspecified) | Err(_) => {
                // One of them tells of all.
                faults.add(unknown("states", value));
                break;
            }
        };
        if !states.contains(&state) {
            states.push(state);
        }
    }
    let method = match v1::Method::try_from(request.method) {
        Ok(v1::Method::Unspecified) => None,
        Ok(v1::Method::ImageToVideo) => Some(Method::ImageToVideo),
        Ok(v1::Method::StartEndFrames) => Some(Method::StartEndFrames),
        Err(_) => {
            faults.add(unknown("method", request.method));
            None
        }
    };
    let mut time = |field, time: &Option<Timestamp>| {
        let time = time.as_ref().map(|time| milliseconds(field, time));
        time.and_then(|time| faults.keep_as(field, time))
    };
    let from_ms = time("created_from", &request.created_from);
    let before_ms = time("created_before", &request.created_before);
    let token = Some(&request.page_token).filter(|token| !token.is_empty());
    let after = token.and_then(|token| faults.keep_as("page_token", token.parse()));
    length(&mut faults, "model", &request.model, TEXT_BYTES);
    length(&mut faults, "text", &request.text, TEXT_BYTES);
    let batch = Some(&request.batch_id).filter(|id| !id.is_empty());
    let batch = batch.and_then(|id| faults.keep_as("batch_id", id.parse::<GenerationId>()));
    faults.nothing()?;
    let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let (model, text) = (said(&request.model), said(&request.text));
    Ok(Listing { size, after, filter: Filter { states, method, from_ms, before_ms, model, text, batch } })
}
