//! Errors that a test asked for: each with the code and the details that errors.proto promises of its reason, and with the fault
//! that made it, so that nobody takes one for real.
//!
//! Must not know who asks for them. The values in their details are made up; what policy says to do is its own.

use super::status::{self, Answer};
use ltx_policy::{PolicyConfig, Reason};
use ltx_proto::v1::ErrorReason;
use ltx_types::FieldError;
use std::time::Duration;
use tonic::Status;

/// The key of ErrorInfo's metadata that says what made the error.
const KEY: &str = "testing";
/// After how long what is so on purpose is worth another try.
pub(crate) const SOON: Duration = Duration::from_secs(1);

/// A refusal for that reason; one of policy has the remedy that this policy says.
pub(crate) fn refusal(reason: ErrorReason, fault: &str, policy: &PolicyConfig) -> Status {
    match Reason::ALL.into_iter().find(|known| status::of_policy(*known) == reason) {
        Some(known) => {
            let remedy = known.remedy(policy);
            blank(reason, fault).with(&format!("remedy.{known}"), &remedy).of_policy(&remedy).status()
        }
        None => status(reason, fault, SOON),
    }
}

/// An error of that reason; where it is worth another try, after `retry`.
pub(crate) fn status(reason: ErrorReason, fault: &str, retry: Duration) -> Status {
    use ErrorReason as R;
    let answer = blank(reason, fault);
    let answer = match reason {
        R::QueueFull | R::RateLimited | R::StorageFull | R::ShuttingDown | R::StoreUnavailable => answer.retry(retry),
        R::InvalidField => {
            answer.fields(&[FieldError::new("width", 63, "is not a multiple of 32, as a test asked for").nearest(64)])
        }
        R::MessageTooLarge => {
            let field =
                FieldError::new("message", "the request", "is larger than Limits.message_bytes, as a test asked for");
            answer.fields(&[field.nearest(1 << 20)]).with("message_bytes", 1 << 20)
        }
        R::DoesNotFit => answer
            .with("needed_bytes", 1_u64 << 40)
            .with("available_bytes", 1_u64 << 30)
            .with("largest_width", 256)
            .with("largest_height", 256)
            .with("largest_frames", 9),
        R::TakesTooLong => answer
            .with("predicted_seconds", 86_400)
            .with("limit_seconds", 600)
            .with("largest_width", 256)
            .with("largest_height", 256)
            .with("largest_frames", 9),
        R::WrongState => answer.with("state", "QUEUED"),
        R::OffsetOutOfRange => answer.with("total_bytes", 0),
        R::EventOutOfRange => answer.with("last_event", 0),
        // Without details beyond those that every error has.
        R::UnsupportedContentType
        | R::UnsupportedEncoding
        | R::UnknownMethod
        | R::DeadlineExceeded
        | R::OriginNotAllowed
        | R::HostNotAllowed
        | R::Unauthenticated
        | R::TestingNotEnabled
        | R::GenerationNotFound
        | R::UploadNotFound
        | R::OutputNotFound
        | R::ImageNotFound
        | R::RequestIdReused
        | R::Internal
        | R::Unspecified
        // Those of policy have theirs by `refusal`.
        | R::NotAnUnlimitedMethod
        | R::ElementEditingNotSupported
        | R::AudioNotCovered
        | R::ExternalModelNotCovered
        | R::LowCredits
        | R::PlanNotCovered
        | R::UnknownModel
        | R::ModelNotLoaded => answer,
    };
    answer.status()
}

/// With the reason and the fault alone.
fn blank(reason: ErrorReason, fault: &str) -> Answer {
    Answer::new(reason, format!("this was asked for by a test ({fault})")).with(KEY, fault)
}
