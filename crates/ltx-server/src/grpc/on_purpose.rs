//! Errors that a test asked for: each with the code and the details that errors.proto promises of its reason, and with the fault
//! that made it, so that nobody takes one for real.
//!
//! Must not know who asks for them. The values in their details are made up.

use super::status::{Answer, name};
use ltx_proto::v1::ErrorReason;
use ltx_types::FieldError;
use std::time::Duration;
use tonic::Status;

/// The key of ErrorInfo's metadata that says what made the error.
const KEY: &str = "testing";
/// When a limit that is met on purpose is worth another try, unless something else is said.
const RETRY: Duration = Duration::from_secs(1);

/// An error of that reason.
pub(crate) fn status(reason: ErrorReason, fault: &str, retry: Option<Duration>) -> Status {
    use ErrorReason as R;
    let answer = Answer::new(reason, format!("this was asked for by a test ({fault})")).with(KEY, fault);
    let retry = retry.unwrap_or(RETRY);
    let answer = match reason {
        R::QueueFull | R::RateLimited | R::StorageFull | R::ShuttingDown => answer.retry(retry),
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
        R::WrongState => answer.with("state", "QUEUED"),
        R::OffsetOutOfRange => answer.with("total_bytes", 0),
        R::EventOutOfRange => answer.with("last_event", 0),
        _ => match remedy(reason) {
            Some(remedy) => answer.with(&format!("remedy.{}", name(reason)), remedy).of_policy(remedy),
            None => answer,
        },
    };
    answer.status()
}

/// What the table of policy says against a reason.
fn remedy(reason: ErrorReason) -> Option<&'static str> {
    use ErrorReason as R;
    Some(match reason {
        R::NotAnUnlimitedMethod => "attach an image, or a start and an end image",
        R::ElementEditingNotSupported => "generate again from an image",
        R::AudioNotCovered => "ask without audio",
        R::ExternalModelNotCovered => "say “Use Carat Basic Video (LTX 2.3)”",
        R::LowCredits => "use Agent 1.0, or top up",
        R::PlanNotCovered => "use a plan that carries the benefit",
        R::UnknownModel => "use a name that the node knows",
        R::ModelNotLoaded => "use a model that is loaded",
        _ => return None,
    })
}
