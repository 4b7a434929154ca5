//! The one place that turns a domain error into a gRPC status, as `proto/ltx/v1/errors.proto` promises it.
//!
//! Must not know services. UNIMPLEMENTED is used for what gRPC itself uses it for, and for no reason of policy.

use crate::app::Problem;
use ltx_jobs::{JobsError, LegalShape};
use ltx_media::MediaError;
use ltx_policy::{Reason, Refusal};
use ltx_proto::v1::ErrorReason;
use ltx_types::{FieldError, sentence};
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// ErrorInfo's domain.
const DOMAIN: &str = "ltxd";
/// The most bytes of one value of ErrorInfo's metadata.
const LONGEST: usize = 512;
/// When a full queue is worth another try.
const QUEUE_DELAY: Duration = Duration::from_secs(10);
/// When a full disk is worth another try.
const STORAGE_DELAY: Duration = Duration::from_secs(60);
/// When a node that loads its model may have done so.
const LOADING_DELAY: Duration = Duration::from_secs(1);
/// When a node that stops may be back.
const RESTART_DELAY: Duration = Duration::from_secs(10);
/// When a stream may have closed.
const STREAM_DELAY: Duration = Duration::from_secs(1);

/// The name on the wire, without the enum's prefix.
pub(crate) fn name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

/// The gRPC code of a reason; the table of errors.proto.
pub(crate) fn code(reason: ErrorReason) -> Code {
    use ErrorReason as R;
    match reason {
        R::NotAnUnlimitedMethod
        | R::ElementEditingNotSupported
        | R::AudioNotCovered
        | R::ExternalModelNotCovered
        | R::PlanNotCovered => Code::PermissionDenied,
        R::OriginNotAllowed | R::HostNotAllowed => Code::PermissionDenied,
        R::LowCredits | R::WrongState | R::TestingNotEnabled => Code::FailedPrecondition,
        R::UnknownModel | R::GenerationNotFound | R::UploadNotFound | R::OutputNotFound | R::ImageNotFound => {
            Code::NotFound
        }
        R::ModelNotLoaded | R::ShuttingDown | R::StoreUnavailable => Code::Unavailable,
        R::DoesNotFit | R::TakesTooLong | R::QueueFull | R::RateLimited | R::StorageFull => Code::ResourceExhausted,
        R::InvalidField | R::MessageTooLarge | R::UnsupportedContentType => Code::InvalidArgument,
        R::DeadlineExceeded => Code::DeadlineExceeded,
        R::UnknownMethod | R::UnsupportedEncoding => Code::Unimplemented,
        R::Unauthenticated => Code::Unauthenticated,
        R::RequestIdReused => Code::AlreadyExists,
        R::OffsetOutOfRange | R::EventOutOfRange => Code::OutOfRange,
        R::Internal | R::Unspecified => Code::Internal,
    }
}

/// The wire's word for a policy reason.
pub(crate) fn of_policy(reason: Reason) -> ErrorReason {
    match reason {
        Reason::NotAnUnlimitedMethod => ErrorReason::NotAnUnlimitedMethod,
        Reason::ElementEditingNotSupported => ErrorReason::ElementEditingNotSupported,
        Reason::AudioNotCovered => ErrorReason::AudioNotCovered,
        Reason::ExternalModelNotCovered => ErrorReason::ExternalModelNotCovered,
        Reason::LowCredits => ErrorReason::LowCredits,
        Reason::PlanNotCovered => ErrorReason::PlanNotCovered,
        Reason::UnknownModel => ErrorReason::UnknownModel,
        Reason::ModelNotLoaded => ErrorReason::ModelNotLoaded,
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let message = problem.to_string();
        let plain = |reason| Answer::new(reason, message.clone());
        let answer = match problem {
            Problem::Refused(refusal) => refused(&refusal),
            Problem::Fields(fields) => plain(ErrorReason::InvalidField).fields(&fields),
            Problem::Jobs(error) => of_jobs(error),
            Problem::TestingNotEnabled => plain(ErrorReason::TestingNotEnabled),
            Problem::StorageFull { room_comes } => {
                let answer = plain(ErrorReason::StorageFull);
                if room_comes { answer.retry(STORAGE_DELAY) } else { answer }
            }
            Problem::NoToken | Problem::UnknownToken => plain(ErrorReason::Unauthenticated),
            Problem::TooManyStreams { .. } | Problem::UploadsFull { .. } => {
                plain(ErrorReason::RateLimited).retry(STREAM_DELAY)
            }
            Problem::OffsetOutOfRange { total_bytes, .. } => {
                plain(ErrorReason::OffsetOutOfRange).with("total_bytes", total_bytes)
            }
            Problem::MessageTooLarge { most } => {
                let field =
                    FieldError::new("message", "the request", "is larger than Limits.message_bytes").nearest(most);
                plain(ErrorReason::MessageTooLarge).fields(&[field]).with("message_bytes", most)
            }
            Problem::Paused { .. } | Problem::NotTaken { .. } | Problem::OutOfTime { .. } => {
                plain(ErrorReason::DeadlineExceeded)
            }
            Problem::UnknownMethod { .. } => plain(ErrorReason::UnknownMethod),
            Problem::Encoding => plain(ErrorReason::UnsupportedEncoding),
            Problem::ContentType { .. } => plain(ErrorReason::UnsupportedContentType),
            Problem::OriginNotAllowed { .. } => plain(ErrorReason::OriginNotAllowed),
            Problem::HostNotAllowed { .. } => plain(ErrorReason::HostNotAllowed),
            Problem::PartBeyond { received_bytes, .. } => {
                plain(ErrorReason::OffsetOutOfRange).with("received_bytes", received_bytes)
            }
            Problem::Stopping => plain(ErrorReason::ShuttingDown).retry(RESTART_DELAY),
            Problem::Deleted => plain(ErrorReason::GenerationNotFound),
            Problem::Fault { what } => fault(&what),
        };
        answer.status()
    }
}

fn of_jobs(error: JobsError) -> Answer {
    let message = error.to_string();
    let plain = |reason| Answer::new(reason, message);
    match error {
        JobsError::NotFound { .. } => plain(ErrorReason::GenerationNotFound),
        JobsError::UploadNotFound { .. } => plain(ErrorReason::UploadNotFound),
        JobsError::AlreadyExists { .. } => plain(ErrorReason::RequestIdReused),
        JobsError::QueueFull { .. } => plain(ErrorReason::QueueFull).retry(QUEUE_DELAY),
        JobsError::RateLimited { retry_after } => plain(ErrorReason::RateLimited).retry(retry_after),
        JobsError::StorageFull { .. } => plain(ErrorReason::StorageFull),
        JobsError::DoesNotFit { needed, available, largest } => {
            let answer = plain(ErrorReason::DoesNotFit).with("needed_bytes", needed).with("available_bytes", available);
            answer.largest(largest)
        }
        JobsError::TakesTooLong { seconds, limit, largest, .. } => {
            let answer =
                plain(ErrorReason::TakesTooLong).with("predicted_seconds", seconds).with("limit_seconds", limit);
            answer.largest(largest)
        }
        JobsError::Ended { state, .. } | JobsError::NotEnded { state, .. } => {
            plain(ErrorReason::WrongState).with("state", state.as_str())
        }
        JobsError::NoOutput { expired: false, state, .. } if state != ltx_jobs::State::Done => {
            plain(ErrorReason::WrongState).with("state", state.as_str())
        }
        JobsError::NoOutput { .. } => plain(ErrorReason::OutputNotFound),
        JobsError::NoImage { .. } => plain(ErrorReason::ImageNotFound),
        JobsError::EventsUnknown { last, .. } => plain(ErrorReason::EventOutOfRange).with("last_event", last),
        JobsError::Fields(fields) => plain(ErrorReason::InvalidField).fields(&fields.into_iter().collect::<Vec<_>>()),
        JobsError::Media(error) => of_media(&error),
        JobsError::NoModel | JobsError::ModelUnavailable { .. } => plain(ErrorReason::ModelNotLoaded),
        JobsError::Unavailable { retry_after, .. } => plain(ErrorReason::StoreUnavailable).retry(retry_after),
        JobsError::Stopping => plain(ErrorReason::ShuttingDown).retry(RESTART_DELAY),
        error @ (JobsError::NotPossible(_)
        | JobsError::Locked { .. }
        | JobsError::Moved { .. }
        | JobsError::NotAlone { .. }
        | JobsError::SchemaTooNew { .. }
        | JobsError::Database(_)
        | JobsError::Corrupt { .. }
        | JobsError::File { .. }) => fault(&sentence(&error)),
        // The enum may grow; until this match does too, what is new is a fault of the node.
        error => fault(&sentence(&error)),
    }
}

fn of_media(error: &MediaError) -> Answer {
    let message = sentence(error);
    if !error.is_of_image() {
        // Encoders and outputs; none belongs to a call.
        return fault(&message);
    }
    Answer::new(ErrorReason::InvalidField, message).fields(&[error.in_field("image")])
}

fn fault(what: &str) -> Answer {
    tracing::error!(what, "a fault of the node");
    Answer::new(ErrorReason::Internal, "a fault of the node; its log has the cause")
}

fn refused(refusal: &Refusal) -> Answer {
    let first = of_policy(refusal.reason());
    let clause = |ground: &ltx_policy::Ground| format!("{}. What to do: {}.", ground.why, ground.remedy);
    let clauses: Vec<_> = refusal.grounds().map(clause).collect();
    let sentence = format!("This is not unlimited, and nothing was deducted: {}", clauses.join(" Also: "));
    let reasons: Vec<_> = refusal.grounds().map(|ground| ground.reason.as_str()).collect();
    let mut answer = Answer::new(first, sentence.clone()).with("reasons", reasons.join(","));
    for ground in refusal.grounds() {
        answer = answer.with(&format!("why.{}", ground.reason), &ground.why);
        answer = answer.with(&format!("remedy.{}", ground.reason), &ground.remedy);
        answer.details.add_help_link(ground.remedy.clone(), "");
    }
    answer.details.set_localized_message("en", sentence);
    if refusal.passes() {
        // The remedy is policy's own: to wait.
        answer.details.set_retry_info(Some(LOADING_DELAY));
    }
    answer
}

/// A status in the making.
pub(super) struct Answer {
    reason: ErrorReason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Answer {
    pub(super) fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        let message = message.into();
        let answer = Self { reason, message: message.clone(), metadata: HashMap::new(), details: ErrorDetails::new() };
        answer.with("reasons", name(reason)).with(&format!("why.{}", name(reason)), message)
    }

    pub(super) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), cut(value.to_string()));
        self
    }

    /// The largest shape that fits, where there is one.
    fn largest(self, shape: Option<LegalShape>) -> Self {
        shape.into_iter().fold(self, |answer, LegalShape { pixels, frames }| {
            let answer = answer.with("largest_width", pixels.width).with("largest_height", pixels.height);
            answer.with("largest_frames", frames.get())
        })
    }

    pub(super) fn retry(mut self, after: Duration) -> Self {
        self.details.set_retry_info(Some(after));
        let remedy = format!("try again in {:.1} s", after.as_secs_f64());
        let key = format!("remedy.{}", name(self.reason));
        self.with(&key, remedy)
    }

    pub(super) fn fields(mut self, fields: &[FieldError]) -> Self {
        for field in fields {
            let FieldError { value, rule, nearest, .. } = field;
            let nearest = nearest.as_ref().map(|nearest| format!("; nearest legal: {nearest}")).unwrap_or_default();
            self.details.add_bad_request_violation(field.field, cut(format!("{value} {rule}{nearest}")));
        }
        let key = format!("remedy.{}", name(self.reason));
        self.with(&key, "correct the fields that BadRequest names")
    }

    /// The details beside ErrorInfo that every refusal of policy has, for one with a single ground.
    pub(super) fn of_policy(mut self, remedy: &str) -> Self {
        let sentence =
            format!("This is not unlimited, and nothing was deducted: {}. What to do: {remedy}.", self.message);
        self.details.add_help_link(remedy, "");
        self.details.set_localized_message("en", sentence);
        self
    }

    pub(super) fn status(mut self) -> Status {
        let remedy = format!("remedy.{}", name(self.reason));
        let general = general_remedy(self.reason);
        self.metadata.entry(remedy).or_insert_with(|| general.to_owned());
        self.details.set_error_info(name(self.reason), DOMAIN, self.metadata);
        Status::with_error_details(code(self.reason), cut(self.message), self.details)
    }
}

/// What to do where nothing more particular is known.
fn general_remedy(reason: ErrorReason) -> &'static str {
    use ErrorReason as R;
    match reason {
        R::DoesNotFit | R::TakesTooLong => "ask for a smaller size or fewer frames",
        R::StorageFull => "delete generations, or ask the operator for room",
        R::Unauthenticated => "send a token that the operator gave out",
        R::GenerationNotFound => "check the id; ListGenerations has those of this client",
        R::UploadNotFound => "upload the image again",
        R::OutputNotFound => "generate again",
        R::TestingNotEnabled => {
            "leave the header ltxd-testing out; only the operator of a node for tests sets testing.enabled"
        }
        R::RequestIdReused => "use another request_id for another request",
        R::WrongState => "wait for the generation to reach the state the call needs",
        R::OffsetOutOfRange => "use an offset up to total_bytes, of an upload up to received_bytes",
        R::EventOutOfRange => "resume after last_event",
        R::InvalidField => "correct the fields that BadRequest names",
        R::MessageTooLarge => "send a smaller message; images may travel ahead, through UploadImage",
        R::DeadlineExceeded => "send and take without long pauses, and allow the call more time",
        R::UnknownMethod => "use a method of the contract; reflection lists them",
        R::UnsupportedEncoding => "send without compression",
        R::UnsupportedContentType => "send application/grpc over HTTP/2, or application/grpc-web+proto",
        R::OriginNotAllowed => "open the node's own page; or have its operator list the origin in page.origins",
        R::HostNotAllowed => "use the node's address or localhost; or have its operator list the name in page.hosts",
        R::ImageNotFound => "send the image again with the next request",
        R::Internal | R::Unspecified => "ask the operator",
        R::ModelNotLoaded => "ask again when the model is loaded",
        R::QueueFull | R::RateLimited | R::ShuttingDown => "try again later",
        R::StoreUnavailable => "try again later, or ask another node of the service",
        R::NotAnUnlimitedMethod
        | R::ElementEditingNotSupported
        | R::AudioNotCovered
        | R::ExternalModelNotCovered
        | R::LowCredits
        | R::PlanNotCovered
        | R::UnknownModel => "see the remedies",
    }
}

/// At most [`LONGEST`] bytes of a text, whole characters.
fn cut(text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    let mut end = LONGEST - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
