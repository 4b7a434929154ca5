//! What the domain has into messages. With `from_proto` the only file that knows the wire's shapes.
//!
//! Must not know requests or statuses.

mod node;

pub(crate) use node::{limits, model};

use super::status;
use crate::app::{OpenImage, Snapshot};
use ltx_jobs::{
    Batch, Estimate, Event, EventKind, Failure, FailureCode, Fidelity, Finished, GenerationId, GenerationRecord,
    GivenImage, LegalShape, OutputFile, OutputKind, Prediction, PromptTokens, StageTime, State,
};
use ltx_policy::{Agent, Ground, StoredRequest};
use ltx_proto::v1;
use ltx_types::{ConditioningMode, FieldError, Flow, ImageCondition, LoraUse, Method, Schedule, Stage};
use prost_types::Timestamp;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tonic::codegen::Bytes;

/// What a record's message needs beside the record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside {
    /// The latest progress, of a generation that runs.
    pub(crate) progress: Option<v1::Progress>,
    /// How long outputs are kept.
    pub(crate) outputs_for: Duration,
}

/// A generation.
pub(crate) fn generation(record: &GenerationRecord, beside: &Beside) -> v1::Generation {
    let outcome = record.outcome.as_ref().filter(|_| record.state == State::Done);
    let kept = outcome.filter(|_| record.outputs_kept);
    let expire = kept.and(record.ended_ms).and_then(|ended| {
        let kept_ms = i64::try_from(beside.outputs_for.as_millis()).ok()?;
        ended.checked_add(kept_ms)
    });
    v1::Generation {
        id: record.id.to_string(),
        request_id: record.request_id.clone().unwrap_or_default(),
        state: state(record.state).into(),
        method: method(record.method).into(),
        spec: Some(spec(&record.request, &record.model)),
        created: Some(time(record.created_ms)),
        started: record.started_ms.map(time),
        ended: record.ended_ms.map(time),
        queue_position: record.position.filter(|_| record.state == State::Queued).map(count),
        progress: beside.progress.filter(|_| record.state == State::Running),
        last_event: record.last_event,
        predicted: Some(predicted(&record.predicted)),
        measured: outcome.map(measured),
        mark: outcome.map(mark),
        first_frame: outcome.and_then(|outcome| outcome.first_frame).map(fidelity),
        last_frame: outcome.and_then(|outcome| outcome.last_frame).map(fidelity),
        outputs: kept.map(|outcome| outcome.files.iter().map(output_file).collect()).unwrap_or_default(),
        outputs_expire: expire.map(time),
        failure: record.failure.as_ref().filter(|_| record.state == State::Failed).map(failure),
        resumptions: record.attempts.saturating_sub(1),
        batch: record.batch.map(|Batch { id, index, size }| v1::Batch { id: id.to_string(), index, size }),
    }
}

/// A generation whose spec is another's but for the seed, which alone is told: so an answer with many is small.
pub(crate) fn of_another_seed(record: &GenerationRecord, beside: &Beside) -> v1::Generation {
    let generation = generation(record, beside);
    let seed = generation.spec.as_ref().and_then(|spec| spec.seed);
    v1::Generation { spec: Some(v1::GenerationSpec { seed, ..Default::default() }), ..generation }
}

/// A generation as it stands, with the latest progress of one that runs.
pub(crate) fn snapshot(of: &Snapshot, outputs_for: Duration) -> v1::Generation {
    let progress = of.progress.as_ref().and_then(|event| progress(&event.kind));
    generation(&of.record, &Beside { progress, outputs_for })
}

/// A request as it is stored: image bytes are left out.
fn spec(stored: &StoredRequest, model: &str) -> v1::GenerationSpec {
    let StoredRequest { ask, draft, .. } = stored;
    let caller = v1::Caller {
        agent: match ask.agent {
            None => v1::Agent::Unspecified,
            Some(Agent::Agent1) => v1::Agent::Agent1,
            Some(Agent::Agent2) => v1::Agent::Agent2,
        }
        .into(),
        credits_low: ask.credits_low,
        plan: ask.plan.clone().unwrap_or_default(),
    };
    // What nothing read is left out: the spec can be sent again as it is.
    let guidance = draft.constant_guidance();
    v1::GenerationSpec {
        prompt: draft.prompt.clone(),
        negative_prompt: draft.uses_cfg().then(|| draft.negative_prompt.clone()),
        images: images(&draft.images),
        width: Some(count(draft.width)),
        height: Some(count(draft.height)),
        frames: Some(count(draft.frames)),
        fps: Some(draft.fps),
        seed: Some(draft.seed.0),
        flow: draft.flow.map_or(v1::Flow::Unspecified, flow).into(),
        schedule: schedule(draft.schedule).into(),
        steps: Some(count(draft.steps)),
        stages: Some(u32::from(draft.stages.count())),
        guidance: guidance.map(|guidance| v1::Guidance {
            cfg_scale: Some(guidance.cfg_scale),
            stg_scale: Some(guidance.stg_scale),
            rescale_scale: (guidance.uses_cfg() || guidance.uses_stg()).then_some(guidance.rescale_scale),
            stg_blocks: guidance.stg_blocks.iter().filter(|_| guidance.uses_stg()).copied().map(count).collect(),
        }),
        conditioning: match draft.conditioning {
            ConditioningMode::ReplaceFirst => v1::Conditioning::ReplaceFirst,
            ConditioningMode::AppendAll => v1::Conditioning::AppendAll,
        }
        .into(),
        image_crf: draft.image_crf,
        sigmas: draft.sigmas.clone().unwrap_or_default(),
        refine_sigmas: draft.refine_sigmas.clone().unwrap_or_default(),
        beyond_trained_length: draft.beyond_trained_length,
        loras: draft.loras.iter().map(lora).collect(),
        model: model.to_owned(),
        caller: Some(caller),
        ..v1::GenerationSpec::default()
    }
}

/// A LoRA by name.
fn lora(of: &LoraUse) -> v1::LoraUse {
    // As it was written: 0.1, not the double that is nearest to the f32 of it.
    let said = |strength: Option<f32>| strength.and_then(|strength| strength.to_string().parse().ok());
    let LoraUse { name, strength, stage_2_strength } = of;
    v1::LoraUse { name: name.clone(), strength: said(*strength), stage_2_strength: said(*stage_2_strength) }
}

fn images(conditions: &[ImageCondition]) -> Option<v1::generation_spec::Images> {
    use v1::generation_spec::Images;
    let image = |condition: &ImageCondition| v1::Image { source: None, strength: Some(condition.strength.get()) };
    match conditions {
        [] => None,
        [only] => Some(Images::Image(image(only))),
        [one, other, ..] => {
            let (start, end) = if one.frame_index <= other.frame_index { (one, other) } else { (other, one) };
            let both = v1::StartEndImages { start: Some(image(start)), end: Some(image(end)) };
            Some(Images::StartEndImages(both))
        }
    }
}

/// What a request is expected to take.
fn predicted(of: &Prediction) -> v1::Resources {
    v1::Resources {
        peak_memory_bytes: of.peak_bytes,
        seconds: of.seconds.unwrap_or(0.0),
        stages: stage_seconds(&of.stages),
        counted: of.counted,
    }
}

/// An image that was given.
pub(crate) fn image_file(of: &OpenImage) -> v1::ImageFile {
    let image = match of.image {
        GivenImage::Start => v1::GivenImage::Start,
        GivenImage::End => v1::GivenImage::End,
    };
    v1::ImageFile {
        image: image.into(),
        content_type: of.media_type.to_owned(),
        total_bytes: of.bytes,
        sha256: of.sha256.clone(),
        width: of.width,
        height: of.height,
    }
}

/// How long a prompt is.
pub(crate) fn tokens(of: PromptTokens) -> v1::TokenCount {
    v1::TokenCount { tokens: count(of.count), most: count(of.most) }
}

/// What a dry run estimates.
pub(crate) fn estimate(of: Estimate) -> v1::Estimate {
    v1::Estimate {
        resources: Some(predicted(&of.predicted)),
        available_memory_bytes: of.available_bytes.unwrap_or(0),
        fits: of.fits,
        largest: of.largest.map(shape),
        wait_seconds: of.wait_seconds,
        limit_seconds: of.limit_seconds.unwrap_or(0) as f64,
    }
}

fn measured(outcome: &Finished) -> v1::Resources {
    v1::Resources {
        peak_memory_bytes: outcome.measured_peak_bytes.unwrap_or(0),
        seconds: outcome.measured_seconds,
        stages: stage_seconds(&outcome.stages),
        counted: false,
    }
}

fn stage_seconds(times: &[StageTime]) -> Vec<v1::StageSeconds> {
    times.iter().map(|time| v1::StageSeconds { stage: stage(time.stage).into(), seconds: time.seconds }).collect()
}

/// The mark as it stands in the sidecar, in the wire's words.
fn mark(outcome: &Finished) -> v1::UsageMark {
    let of = &outcome.mark;
    let text = |key: &str| of[key].as_str().unwrap_or_default().to_owned();
    let sigmas = |key: &str| of[key].as_array().into_iter().flatten().filter_map(|sigma| sigma.as_f64()).collect();
    let weights = &of["weights"];
    let weight = |key: &str| weights[key].as_str().unwrap_or_default().to_owned();
    let class = match of["usage_class"].as_str() {
        Some("UNLIMITED") => v1::UsageClass::Unlimited,
        _ => v1::UsageClass::Unspecified,
    };
    let method = match of["method"].as_str() {
        Some("image_to_video") => v1::Method::ImageToVideo,
        Some("start_end_frames") => v1::Method::StartEndFrames,
        _ => v1::Method::Unspecified,
    };
    v1::UsageMark {
        usage_class: class.into(),
        credits_charged: of["credits_charged"].as_u64().and_then(|credits| credits.try_into().ok()).unwrap_or(0),
        method: method.into(),
        model: text("model"),
        model_version: text("model_version"),
        weights: weights.is_object().then(|| v1::WeightFingerprint {
            header_sha256: weight("header_sha256"),
            file_sha256: weight("file_sha256"),
            total_bytes: weights["total_bytes"].as_u64().unwrap_or(0),
        }),
        frames_sha256: outcome.frames_sha256.clone(),
        engine: text("engine"),
        seed: of["seed"].as_u64().unwrap_or(0),
        node_id: text("node"),
        time: text("time").parse().ok(),
        testing: of["testing"].as_bool().unwrap_or(false),
        sigmas: sigmas("sigmas"),
        refine_sigmas: sigmas("refine_sigmas"),
        loras: of["loras"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|lora| Some(lora.as_str()?.to_owned()))
            .collect(),
        products: of["products"].as_str().unwrap_or_default().to_owned(),
        flow: of["flow"].as_str().and_then(|name| Flow::named(name).ok()).map(flow).unwrap_or_default().into(),
    }
}

fn fidelity(of: Fidelity) -> v1::Fidelity {
    v1::Fidelity { psnr_db: of.psnr_db, ssim: of.ssim }
}

/// One file of a generation.
pub(crate) fn output_file(file: &OutputFile) -> v1::OutputFile {
    let output = match file.kind {
        OutputKind::Video => v1::Output::Mp4,
        OutputKind::Poster => v1::Output::Poster,
        OutputKind::Sidecar => v1::Output::Sidecar,
    };
    v1::OutputFile {
        output: output.into(),
        file_name: file.kind.file_name().to_owned(),
        content_type: file.kind.media_type().to_owned(),
        total_bytes: file.bytes,
        sha256: file.sha256.clone(),
    }
}

fn failure(of: &Failure) -> v1::Failure {
    let (reason, retryable) = match of.code {
        FailureCode::Refused => (v1::FailureReason::Refused, false),
        FailureCode::Invalid => (v1::FailureReason::Request, false),
        FailureCode::Image => (v1::FailureReason::Image, false),
        FailureCode::StorageFull => (v1::FailureReason::StorageFull, true),
        FailureCode::ModelUnavailable => (v1::FailureReason::Engine, true),
        FailureCode::Panicked => (v1::FailureReason::Engine, true),
        FailureCode::Crashed => (v1::FailureReason::Crashed, false),
        FailureCode::Signature => (v1::FailureReason::Engine, true),
        FailureCode::Engine => (v1::FailureReason::Engine, false),
    };
    v1::Failure { reason: reason.into(), message: of.message.clone(), retryable }
}

/// An event. `done` is the finished generation, for the event that says so; `preview` is what it looks like at this step.
pub(crate) fn event(
    id: GenerationId,
    event: &Event,
    done: Option<v1::Generation>,
    preview: Option<Arc<[u8]>>,
) -> v1::GenerationEvent {
    use v1::generation_event::Event as Wire;
    let what = match &event.kind {
        EventKind::Queued { position, seconds_left, .. } => Some(Wire::Queued(place(*position, *seconds_left))),
        EventKind::Running { attempt } => Some(Wire::Running(v1::Running { resumed: *attempt > 1 })),
        EventKind::Progress { .. } => progress(&event.kind).map(Wire::Progress),
        EventKind::Cancelling => Some(Wire::Cancelling(v1::Cancelling {})),
        EventKind::Done => Some(Wire::Done(v1::Done { generation: done })),
        EventKind::Failed(of) => Some(Wire::Failed(v1::Failed { failure: Some(failure(of)) })),
        EventKind::Cancelled => Some(Wire::Cancelled(v1::Cancelled {})),
    };
    v1::GenerationEvent {
        number: event.number,
        generation_id: id.to_string(),
        time: Some(time(event.at_ms)),
        event: what,
        preview_png: preview.map(Bytes::from_owner).unwrap_or_default(),
    }
}

/// The progress that an event tells of.
fn progress(kind: &EventKind) -> Option<v1::Progress> {
    let EventKind::Progress { stage: of, done, total, seconds_left } = kind else { return None };
    let (step, steps) = (count(*done), count(*total));
    Some(v1::Progress { stage: stage(*of).into(), step, steps, seconds_left: *seconds_left })
}

/// A place in the queue.
pub(crate) fn place(position: usize, seconds_left: Option<f64>) -> v1::Queued {
    v1::Queued { position: count(position), seconds_left }
}

/// One reason against a request.
pub(crate) fn ground(ground: &Ground) -> v1::Ground {
    let reason = status::of_policy(ground.reason);
    v1::Ground {
        reason: reason.into(),
        why: ground.why.clone(),
        remedy: ground.remedy.clone(),
        grpc_code: status::code(reason).into(),
    }
}

/// A field that is wrong.
pub(crate) fn violation(error: FieldError) -> v1::FieldViolation {
    v1::FieldViolation {
        field: error.field.to_owned(),
        description: format!("{} {}", error.value, error.rule),
        nearest: error.nearest.unwrap_or_default(),
    }
}

/// A clip's size.
fn shape(shape: LegalShape) -> v1::Shape {
    let LegalShape { pixels, frames } = shape;
    v1::Shape { width: count(pixels.width), height: count(pixels.height), frames: count(frames.get()) }
}

/// One of the two methods.
pub(crate) fn method(of: Method) -> v1::Method {
    match of {
        Method::ImageToVideo => v1::Method::ImageToVideo,
        Method::StartEndFrames => v1::Method::StartEndFrames,
    }
}

fn flow(of: Flow) -> v1::Flow {
    match of {
        Flow::Distilled => v1::Flow::Distilled,
        Flow::Dev => v1::Flow::Dev,
        Flow::Hq => v1::Flow::Hq,
        Flow::MultiScale => v1::Flow::MultiScale,
    }
}

fn schedule(of: Schedule) -> v1::Schedule {
    match of {
        Schedule::Distilled => v1::Schedule::Distilled,
        Schedule::Guided => v1::Schedule::Guided,
    }
}

fn stage(of: Stage) -> v1::Stage {
    match of {
        Stage::TextEncoding => v1::Stage::TextEncoding,
        Stage::ImageEncoding => v1::Stage::ImageEncoding,
        Stage::Denoising => v1::Stage::Denoising,
        Stage::Upsampling => v1::Stage::Upsampling,
        Stage::Refining => v1::Stage::Refining,
        Stage::Decoding => v1::Stage::Decoding,
    }
}

fn state(of: State) -> v1::GenerationState {
    match of {
        State::Queued => v1::GenerationState::Queued,
        State::Running => v1::GenerationState::Running,
        State::Done => v1::GenerationState::Done,
        State::Failed => v1::GenerationState::Failed,
        State::Cancelled => v1::GenerationState::Cancelled,
    }
}

/// Milliseconds since 1970.
pub(crate) fn time(ms: i64) -> Timestamp {
    Timestamp { seconds: ms.div_euclid(1000), nanos: (ms.rem_euclid(1000) * 1_000_000) as i32 }
}

/// A moment of the system's clock.
pub(crate) fn moment(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A count that fits the wire.
pub(crate) fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_policy::Ask;
    use ltx_types::{Defaults, GenerationDraft, Overrides};

    /// What a node says of a request can be asked for again as it is.
    #[test]
    fn a_spec_says_no_guidance_where_that_changes_from_step_to_step() {
        let model = Defaults::official(Schedule::Guided);
        let said = |spec: v1::GenerationSpec| Overrides {
            flow: (spec.flow() == v1::Flow::MultiScale).then_some(Flow::MultiScale),
            negative_prompt: spec.negative_prompt.clone(),
            steps: spec.steps.map(|steps| steps as usize),
            cfg_scale: spec.guidance.and_then(|guidance| guidance.cfg_scale),
            ..Overrides::default()
        };
        let flow = v1::Flow::MultiScale.into();
        let asked = v1::GenerationSpec { flow, negative_prompt: Some("blurry".into()), ..Default::default() };
        let stored = |draft: GenerationDraft| StoredRequest { ask: Ask::default(), model: None, draft };
        let draft = model.fill(said(asked), String::new(), vec![]);
        let told = spec(&stored(draft.clone()), "m");
        assert_eq!((told.flow(), told.steps(), told.stages()), (v1::Flow::MultiScale, 27, 2));
        assert!(told.guidance.is_none() && told.negative_prompt() == "blurry");
        let again = model.fill(said(told), String::new(), vec![]);
        assert_eq!(GenerationDraft { steps_said: None, ..again }, draft, "and nothing is refused");
    }
}
