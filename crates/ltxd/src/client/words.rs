//! The contract's enumerations as words: `GENERATION_STATE_DONE` is `done`. Both JSON and tables use these.
//!
//! Must not know messages.

use ltx_proto::v1::{
    ErrorReason, FailureReason, Flow, GenerationState, Method, NodeState, Output, Schedule, Stage, UsageClass, Verdict,
};

/// What begins every reason's name in the contract, and no name on the wire.
const REASON: &str = "ERROR_REASON_";

pub(crate) fn state(state: GenerationState) -> String {
    lower(state.as_str_name(), "GENERATION_STATE_")
}

pub(crate) fn method(method: Method) -> String {
    lower(method.as_str_name(), "METHOD_")
}

pub(crate) fn stage(stage: Stage) -> String {
    lower(stage.as_str_name(), "STAGE_")
}

pub(crate) fn output(output: Output) -> String {
    lower(output.as_str_name(), "OUTPUT_")
}

pub(crate) fn flow(flow: Flow) -> String {
    lower(flow.as_str_name(), "FLOW_")
}

pub(crate) fn schedule(schedule: Schedule) -> String {
    lower(schedule.as_str_name(), "SCHEDULE_")
}

pub(crate) fn node_state(state: NodeState) -> String {
    lower(state.as_str_name(), "NODE_STATE_")
}

pub(crate) fn verdict(verdict: Verdict) -> String {
    lower(verdict.as_str_name(), "VERDICT_")
}

/// Upper case, as it stands in the MP4.
pub(crate) fn usage_class(class: UsageClass) -> String {
    upper(class.as_str_name(), "USAGE_CLASS_")
}

/// Upper case, as ErrorInfo has it.
pub(crate) fn reason(reason: ErrorReason) -> String {
    upper(reason.as_str_name(), REASON)
}

/// The reason that ErrorInfo names, if this client knows it.
pub(crate) fn reason_named(name: &str) -> Option<ErrorReason> {
    ErrorReason::from_str_name(&format!("{REASON}{name}"))
}

/// Upper case, like every reason.
pub(crate) fn failure(reason: FailureReason) -> String {
    upper(reason.as_str_name(), "FAILURE_REASON_")
}

fn upper(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

fn lower(name: &str, prefix: &str) -> String {
    upper(name, prefix).to_ascii_lowercase()
}

/// Seconds for people: `2.3 s`, `42 s`, `3 min 05 s`, `2 h 07 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_names_without_their_prefix() {
        assert_eq!(state(GenerationState::Done), "done");
        assert_eq!(method(Method::StartEndFrames), "start_end_frames");
        assert_eq!(stage(Stage::TextEncoding), "text_encoding");
        assert_eq!(output(Output::Mp4), "mp4");
        assert_eq!(usage_class(UsageClass::Unlimited), "UNLIMITED");
        assert_eq!(reason(ErrorReason::QueueFull), "QUEUE_FULL");
        assert_eq!(failure(FailureReason::Engine), "ENGINE");
    }

    #[test]
    fn seconds_are_readable() {
        assert_eq!(seconds(0.25), "0.2 s");
        assert_eq!(seconds(42.4), "42 s");
        assert_eq!(seconds(185.0), "3 min 05 s");
        assert_eq!(seconds(7620.0), "2 h 07 min");
    }
}
