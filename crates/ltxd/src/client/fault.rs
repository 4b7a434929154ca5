//! A node's error as a line for people (one for every field that is wrong), and the exit code it means.
//!
//! Must not know the calls. The table of reasons is in proto/ltx/v1/errors.proto.

use super::words;
use crate::exit::Code;
use ltx_proto::v1::ErrorReason;
use ltx_types::sentence;
use std::{error::Error, fmt};
use tonic::{Code as GrpcCode, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// What a node, or the way to it, had against a call.
#[derive(Debug)]
pub(crate) struct Fault {
    line: String,
    /// The fields that are wrong with the request.
    pub(crate) violations: Vec<Violation>,
    /// What the command exits with.
    pub(crate) code: Code,
    /// Whether the connection broke, the node is going to come back, or this client called too often: the same call may be
    /// made again.
    pub(crate) passing: bool,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    /// The value and the rule it breaks.
    pub(crate) description: String,
    /// The nearest legal value; empty where there is none.
    pub(crate) nearest: String,
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
        Self { line, violations: vec![], code: Code::Unreachable, passing: true }
    }

    /// An answer that the contract does not have.
    pub(crate) fn nonsense(what: &str) -> Self {
        Self::failed(format!("the node's answer has no {what}"))
    }

    /// Fields of a request that are wrong, found by more calls than one.
    pub(crate) fn of_fields(violations: Vec<Violation>) -> Self {
        let line = |Violation { field, description, nearest }: &Violation| {
            let nearest = if nearest.is_empty() { String::new() } else { format!("; nearest legal: {nearest}") };
            format!("INVALID_FIELD: {field}: {description}{nearest}")
        };
        let lines: Vec<_> = violations.iter().map(line).collect();
        Self { line: lines.join("\n"), violations, code: Code::BadInput, passing: false }
    }

    /// What was received is not what was promised.
    pub(crate) fn failed(line: String) -> Self {
        Self { line, violations: vec![], code: Code::Failed, passing: false }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let Some(info) = details.error_info().filter(|info| info.domain == "ltxd") else {
            return without_reason(&status);
        };
        // A newer node may give reasons that this client has no word for.
        let unknown = Meaning { code: Code::Failed, passing: false };
        let Meaning { code, passing } = words::reason_named(&info.reason).map_or(unknown, meaning);
        let mut line = match code {
            Code::Refused => refusal(&status, &details),
            _ => told(&info.reason, &status, &details),
        };
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            line = format!("{line}; try again in {:.1} s", delay.as_secs_f64());
        }
        let found = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        Self { line, violations: found.iter().map(violation).collect(), code, passing }
    }
}

/// What one of the contract's reasons means to a command.
struct Meaning {
    /// What the command exits with.
    code: Code,
    /// Whether the same call may be made again in a moment.
    passing: bool,
}

/// The table of reasons, as this side of the wire takes them.
fn meaning(reason: ErrorReason) -> Meaning {
    use ErrorReason as R;
    let lasting = |code| Meaning { code, passing: false };
    match reason {
        R::NotAnUnlimitedMethod
        | R::ElementEditingNotSupported
        | R::AudioNotCovered
        | R::ExternalModelNotCovered
        | R::LowCredits
        | R::PlanNotCovered
        | R::UnknownModel
        | R::ModelNotLoaded => lasting(Code::Refused),
        R::InvalidField
        | R::MessageTooLarge
        | R::RequestIdReused
        | R::WrongState
        | R::OffsetOutOfRange
        | R::EventOutOfRange
        | R::DoesNotFit
        | R::TakesTooLong
        | R::TestingNotEnabled => lasting(Code::BadInput),
        R::QueueFull | R::StorageFull => lasting(Code::Busy),
        R::RateLimited | R::ShuttingDown | R::StoreUnavailable => Meaning { code: Code::Busy, passing: true },
        R::Unauthenticated | R::OriginNotAllowed | R::HostNotAllowed => lasting(Code::NotAllowed),
        R::GenerationNotFound | R::UploadNotFound | R::OutputNotFound | R::ImageNotFound => lasting(Code::NotFound),
        R::DeadlineExceeded
        | R::UnknownMethod
        | R::UnsupportedEncoding
        | R::UnsupportedContentType
        | R::Internal
        | R::Unspecified => lasting(Code::Failed),
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
        true => format!("{reason}: {}", violation.description),
        false => format!("{reason}: {}: {}", violation.field, violation.description),
    });
    fields.collect::<Vec<_>>().join("\n")
}

/// A violation as a node writes it: the nearest legal value stands behind the rule.
fn violation(of: &FieldViolation) -> Violation {
    let (description, nearest) = of.description.split_once("; nearest legal: ").unwrap_or((&of.description, ""));
    Violation { field: of.field.clone(), description: description.to_owned(), nearest: nearest.to_owned() }
}

/// Of the way to the node, or of something between.
fn without_reason(status: &Status) -> Fault {
    let broken = matches!(status.code(), GrpcCode::Unavailable | GrpcCode::Unknown | GrpcCode::Cancelled);
    // What a node says itself has a reason; INTERNAL with a cause comes from this side of the wire: no HTTP/2, or TLS, there.
    let garbled = status.code() == GrpcCode::Internal && status.source().is_some();
    if broken || garbled || status.code() == GrpcCode::DeadlineExceeded {
        let cause = status.source().and_then(Error::source).map(|cause| format!(": {cause}")).unwrap_or_default();
        let line = format!("the connection to the node broke: {}{cause}", status.message());
        return Fault { line, violations: vec![], code: Code::Unreachable, passing: broken };
    }
    let code = match status.code() {
        GrpcCode::InvalidArgument | GrpcCode::OutOfRange => Code::BadInput,
        GrpcCode::Unauthenticated => Code::NotAllowed,
        GrpcCode::ResourceExhausted => Code::Busy,
        _ => Code::Failed,
    };
    let line = format!("{:?}: {}", status.code(), status.message());
    Fault { line, violations: vec![], code, passing: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(reason: &str) -> Fault {
        let info = ErrorDetails::with_error_info(reason, "ltxd", std::collections::HashMap::new());
        Fault::from(Status::with_error_details(GrpcCode::Internal, "so it is", info))
    }

    #[test]
    fn every_field_has_a_line_and_a_nearest_value() {
        let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "ltxd", std::collections::HashMap::new());
        details.add_bad_request_violation("width", "130 is not a multiple of 32; nearest legal: 128 or 160");
        details.add_bad_request_violation("image", "image: is no image");
        let fault = Fault::from(Status::with_error_details(GrpcCode::InvalidArgument, "x", details));
        let lines = "INVALID_FIELD: width: 130 is not a multiple of 32; nearest legal: 128 or 160\nINVALID_FIELD: image: is no image";
        assert_eq!(fault.to_string(), lines);
        assert_eq!(fault.violations[0].nearest, "128 or 160");
        assert_eq!(
            (fault.violations[1].description.as_str(), fault.violations[1].nearest.as_str()),
            ("image: is no image", "")
        );
    }

    #[test]
    fn reasons_are_known_by_the_name_they_have_on_the_wire() {
        let busy = fault("SHUTTING_DOWN");
        assert_eq!((busy.code, busy.passing, busy.line.as_str()), (Code::Busy, true, "SHUTTING_DOWN: so it is"));
        assert_eq!(fault("AUDIO_NOT_COVERED").code, Code::Refused);
        let newer = fault("A_REASON_TO_COME");
        assert_eq!((newer.code, newer.passing), (Code::Failed, false));
        assert_eq!(newer.line, "A_REASON_TO_COME: so it is");
    }
}
