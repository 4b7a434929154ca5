//! Ids of spans and traces. Those of a generation's spans follow from what they are of, so that every node gives the same.
//!
//! Must not know what a span holds.

use ltx_jobs::{GenerationId, TraceContext};
use opentelemetry::trace::SpanId;
use sha2::{Digest, Sha256};

/// A new request's ids.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn drawn() -> Result<([u8; 16], [u8; 8]), getrandom::Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&bytes[..16]);
    span.copy_from_slice(&bytes[16..]);
    // Of all zeros neither may be.
    trace[15] |= u8::from(trace == [0; 16]);
    span[7] |= u8::from(span == [0; 8]);
    Ok((trace, span))
}

/// The id of a span of a generation; `parts` say which.
pub(crate) fn of(context: &TraceContext, generation: GenerationId, parts: &[&str]) -> SpanId {
    of_request(context, &[&[generation.to_string().as_str()], parts].concat())
}

/// The id of a span of a request.
pub(crate) fn of_request(context: &TraceContext, parts: &[&str]) -> SpanId {
    let mut digest = Sha256::new();
    digest.update(context.trace);
    digest.update(context.span);
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    id[7] |= u8::from(id == [0; 8]);
    SpanId::from_bytes(id)
}
