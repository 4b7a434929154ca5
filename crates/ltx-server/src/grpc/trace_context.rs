//! The trace that a caller says its call belongs to: `traceparent` and `tracestate`, as W3C Trace Context has them in headers.
//!
//! Must not know spans.

use crate::app::{Answer, RequestTrace};
use ltx_jobs::{Submitted, TraceContext};
use tonic::{Request, Status, metadata::MetadataMap};
use tonic_types::StatusExt;

/// The headers by which it is said.
pub(super) const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// What a request says of its trace; nothing where that is not written as the standard has it.
pub(super) fn of<T>(request: &Request<T>) -> Option<TraceContext> {
    read(request.metadata())
}

fn read(metadata: &MetadataMap) -> Option<TraceContext> {
    let [parent, state] = HEADERS;
    let mut parents = metadata.get_all(parent).iter();
    // Two parents are none.
    let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else { return None };
    // A list may come in parts.
    let states = metadata.get_all(state).iter().filter_map(|state| state.to_str().ok());
    TraceContext::read(parent, &states.collect::<Vec<_>>().join(","))
}

/// Tells how a request for generations was answered.
pub(super) fn answered(trace: Option<&RequestTrace>, answer: &Result<Submitted, Status>) {
    let Some(trace) = trace else { return };
    trace.answered(match answer {
        Ok(Submitted { record, further, existed, .. }) => {
            let generations = std::iter::once(record).chain(further).map(|record| record.id).collect();
            Answer { code: Some(0), reason: None, generations, existed: *existed }
        }
        Err(status) => {
            let reason = status.get_details_error_info().map(|info| info.reason);
            Answer { code: Some(status.code() as i32), reason, ..Answer::default() }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn said(headers: &[(&'static str, &str)]) -> Option<TraceContext> {
        let mut metadata = MetadataMap::new();
        for (name, value) in headers {
            metadata.append(*name, value.parse().unwrap());
        }
        read(&metadata)
    }

    #[test]
    fn a_caller_s_headers_are_its_context() {
        let context = said(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]).unwrap();
        assert_eq!((context.to_string().as_str(), context.state.as_str()), (PARENT, "a=1,b=2"));
        assert_eq!(said(&[("tracestate", "a=1")]), None);
        assert_eq!(said(&[("traceparent", "x")]), None);
        assert_eq!(said(&[("traceparent", PARENT), ("traceparent", PARENT)]), None);
    }
}
