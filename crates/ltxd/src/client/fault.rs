//! A node's error as one line for people, and the exit code it means.
//!
//! Must not know the calls. The table of reasons is in proto/ltx/v1/errors.proto.

use super::words;
use crate::exit::Code;
use ltx_proto::v1::ErrorReason;
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
        Self { line, code, passing }
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
        | R::DoesNotFit => lasting(Code::BadInput),
        R::QueueFull | R::StorageFull => lasting(Code::Busy),
        R::RateLimited | R::ShuttingDown => Meaning { code: Code::Busy, passing: true },
        R::Unauthenticated => lasting(Code::NotAllowed),
        R::GenerationNotFound | R::UploadNotFound | R::OutputNotFound => lasting(Code::NotFound),
        R::DeadlineExceeded | R::UnknownMethod | R::UnsupportedEncoding | R::Internal | R::Unspecified => {
            lasting(Code::Failed)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(reason: &str) -> Fault {
        let info = ErrorDetails::with_error_info(reason, "ltxd", std::collections::HashMap::new());
        Fault::from(Status::with_error_details(GrpcCode::Internal, "so it is", info))
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
