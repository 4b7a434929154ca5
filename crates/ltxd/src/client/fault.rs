//! A node's error as one line for people, and the exit code it means.
//!
//! Must not know the calls. The table of reasons is in proto/ltx/v1/errors.proto.

use crate::exit::Code;
use ltx_types::sentence;
use std::{error::Error, fmt};
use tonic::{Code as GrpcCode, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What a node, or the way to it, had against a call.
#[derive(Debug)]
pub(crate) struct Fault {
    line: String,
    /// What the command exits with.
    pub(crate) code: Code,
    /// Whether the connection broke, the node is going to come back, or this client called too often: the same call may be
    /// made again.
    pub(crate) passing: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl Error for Fault {}

impl Fault {
    /// Nobody answers.
    pub(crate) fn unreachable(server: &str, error: &(dyn Error + 'static)) -> Self {
        let line = format!("{server}: the node cannot be reached: {}", sentence(error));
        Self { line, code: Code::Unreachable, passing: true }
    }

    /// An answer that the contract does not have.
    pub(crate) fn nonsense(what: &str) -> Self {
        Self { line: format!("the node's answer has no {what}"), code: Code::Failed, passing: false }
    }

    /// What was received is not what was promised.
    pub(crate) fn failed(line: String) -> Self {
        Self { line, code: Code::Failed, passing: false }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let Some(info) = details.error_info().filter(|info| info.domain == "ltxd") else {
            return without_reason(&status);
        };
        let code = code_of(&info.reason);
        let mut line = match code {
            Code::Refused => refusal(&status, &details),
            _ => told(&info.reason, &status, &details),
        };
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            line = format!("{line}; try again in {:.1} s", delay.as_secs_f64());
        }
        Self { line, code, passing: matches!(info.reason.as_str(), "SHUTTING_DOWN" | "RATE_LIMITED") }
    }
}

fn code_of(reason: &str) -> Code {
    match reason {
        "NOT_AN_UNLIMITED_METHOD"
        | "ELEMENT_EDITING_NOT_SUPPORTED"
        | "AUDIO_NOT_COVERED"
        | "EXTERNAL_MODEL_NOT_COVERED"
        | "LOW_CREDITS"
        | "PLAN_NOT_COVERED"
        | "UNKNOWN_MODEL"
        | "MODEL_NOT_LOADED" => Code::Refused,
        "INVALID_FIELD"
        | "MESSAGE_TOO_LARGE"
        | "REQUEST_ID_REUSED"
        | "WRONG_STATE"
        | "OFFSET_OUT_OF_RANGE"
        | "EVENT_OUT_OF_RANGE"
        | "DOES_NOT_FIT" => Code::BadInput,
        "QUEUE_FULL" | "RATE_LIMITED" | "STORAGE_FULL" | "SHUTTING_DOWN" => Code::Busy,
        "UNAUTHENTICATED" => Code::NotAllowed,
        "GENERATION_NOT_FOUND" | "UPLOAD_NOT_FOUND" | "OUTPUT_NOT_FOUND" => Code::NotFound,
        _ => Code::Failed,
    }
}

/// Every reason with its remedy, in table order.
fn refusal(status: &Status, details: &ErrorDetails) -> String {
    let Some(info) = details.error_info() else { return status.message().to_owned() };
    let reasons = info.metadata.get("reasons").map_or(info.reason.as_str(), String::as_str);
    let ground = |reason: &str| {
        let said = |what: &str| info.metadata.get(&format!("{what}.{reason}")).map_or("", String::as_str);
        match (said("why"), said("remedy")) {
            ("", "") => format!("{reason}: {}", status.message()),
            (why, "") => format!("{reason}: {why}"),
            (why, remedy) => format!("{reason}: {why} (remedy: {remedy})"),
        }
    };
    let grounds: Vec<_> = reasons.split(',').map(|reason| ground(reason.trim())).collect();
    format!("refused: {}", grounds.join("; "))
}

fn told(reason: &str, status: &Status, details: &ErrorDetails) -> String {
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    if violations.is_empty() {
        return format!("{reason}: {}", status.message());
    }
    let fields = violations.iter().map(|violation| match violation.description.starts_with(&violation.field) {
        true => violation.description.clone(),
        false => format!("{}: {}", violation.field, violation.description),
    });
    format!("{reason}: {}", fields.collect::<Vec<_>>().join("; "))
}

/// Of the way to the node, or of something between.
fn without_reason(status: &Status) -> Fault {
    let broken = matches!(status.code(), GrpcCode::Unavailable | GrpcCode::Unknown | GrpcCode::Cancelled);
    // What a node says itself has a reason; INTERNAL with a cause comes from this side of the wire: no HTTP/2, or TLS, there.
    let garbled = status.code() == GrpcCode::Internal && status.source().is_some();
    if broken || garbled || status.code() == GrpcCode::DeadlineExceeded {
        let cause = status.source().and_then(Error::source).map(|cause| format!(": {cause}")).unwrap_or_default();
        let line = format!("the connection to the node broke: {}{cause}", status.message());
        return Fault { line, code: Code::Unreachable, passing: broken };
    }
    let code = match status.code() {
        GrpcCode::InvalidArgument | GrpcCode::OutOfRange => Code::BadInput,
        GrpcCode::Unauthenticated => Code::NotAllowed,
        GrpcCode::ResourceExhausted => Code::Busy,
        _ => Code::Failed,
    };
    Fault { line: format!("{:?}: {}", status.code(), status.message()), code, passing: false }
}
