//! What an answer must be: an error as `proto/ltx/v1/errors.proto` documents it, or something within the limits.
//!
//! Must not know what was asked.

use crate::grpc::status;
use ltx_proto::v1::{self, ErrorReason};
use prost::Message;
use tonic::{Code, Status, codegen::http::HeaderMap};
use tonic_types::StatusExt;

/// What gRPC clients take of headers or trailers unless they are told otherwise.
const TRAILERS: usize = 8 << 10;

/// The gRPC code, as a number.
pub(super) fn code(headers: &HeaderMap) -> i32 {
    headers["grpc-status"].to_str().unwrap().parse().unwrap()
}

pub(super) fn look_at_error(headers: &HeaderMap) {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(bytes <= TRAILERS, "{bytes} bytes of headers");
    let status = Status::from_header_map(headers).unwrap();
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "ltxd");
    let reason = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason));
    let reason = reason.unwrap_or_else(|| panic!("{} is not documented", info.reason));
    assert_eq!(status.code(), status::code(reason), "{status:?}");
    assert_ne!(reason, ErrorReason::Internal, "a request made the node fail: {status:?}");
    for reason in info.metadata["reasons"].split(',') {
        assert!(!info.metadata[&format!("why.{reason}")].is_empty(), "{status:?}");
        assert!(!info.metadata[&format!("remedy.{reason}")].is_empty(), "{status:?}");
    }
    assert!(!status.message().is_empty());
    if matches!(reason, ErrorReason::InvalidField | ErrorReason::MessageTooLarge) {
        let bad = details.bad_request().unwrap_or_else(|| panic!("no BadRequest: {status:?}"));
        assert!(!bad.field_violations.is_empty());
        assert!(bad.field_violations.iter().all(|it| !it.field.is_empty() && !it.description.is_empty()), "{status:?}");
    }
    if (reason as i32) < 100 {
        assert!(details.help().is_some() && details.localized_message().is_some(), "{status:?}");
    }
    let lasts = matches!(reason, ErrorReason::DoesNotFit | ErrorReason::TakesTooLong);
    let retries = matches!(status.code(), Code::ResourceExhausted) && !lasts;
    assert!(!retries || details.retry_info().is_some() || reason == ErrorReason::StorageFull, "{status:?}");
}

fn message<M: Message + Default>(body: &[u8]) -> M {
    let length = u32::from_be_bytes([body[1], body[2], body[3], body[4]]) as usize;
    M::decode(&body[5..5 + length]).unwrap()
}

/// The id of a generation that was created.
pub(super) fn created(body: &[u8]) -> String {
    message::<v1::CreateGenerationResponse>(body).generation.unwrap().id
}

pub(super) fn page_token(body: &[u8]) -> String {
    message::<v1::ListGenerationsResponse>(body).next_page_token
}

pub(super) fn look_at_answer(path: &str, body: &[u8]) {
    match path {
        "/ltx.v1.GenerationService/CreateGeneration" => {
            let generation = message::<v1::CreateGenerationResponse>(body).generation.unwrap();
            look_at_spec(generation.spec.as_ref().unwrap(), generation.method());
        }
        "/ltx.v1.PolicyService/CheckEligibility" => {
            let answer: v1::CheckEligibilityResponse = message(body);
            assert!(!answer.sentence.is_empty());
            match answer.verdict() {
                v1::Verdict::Unlimited => assert!(answer.grounds.is_empty() && !answer.model.is_empty()),
                v1::Verdict::Refused => {
                    assert!(!answer.grounds.is_empty() && answer.estimate.is_none() && answer.violations.is_empty());
                    assert!(answer.grounds.iter().all(|ground| !ground.why.is_empty() && !ground.remedy.is_empty()));
                }
                v1::Verdict::Unspecified => panic!("no verdict"),
            }
            assert!(answer.violations.iter().all(|it| !it.field.is_empty() && !it.description.is_empty()));
            assert_eq!(
                answer.verdict() == v1::Verdict::Unlimited,
                answer.estimate.is_some() || !answer.violations.is_empty()
            );
        }
        "/ltx.v1.UploadService/UploadImage" => {
            let answer: v1::UploadImageResponse = message(body);
            assert!(answer.width >= 1 && answer.height >= 1 && answer.width.max(answer.height) <= 16_384);
            assert!((1..=64 << 10).contains(&answer.total_bytes) && answer.sha256.len() == 64);
        }
        "/ltx.v1.UploadService/UploadPart" => {
            let answer: v1::UploadPartResponse = message(body);
            let upload = answer.upload.map(|upload| upload.total_bytes);
            assert!(upload.is_none_or(|total| total == answer.received_bytes) && answer.received_bytes <= 64 << 10);
        }
        "/ltx.v1.GenerationService/ListGenerations" => {
            assert!(message::<v1::ListGenerationsResponse>(body).generations.len() <= 500);
        }
        _ => {}
    }
}

/// Everything that spec.proto promises of what is accepted.
fn look_at_spec(spec: &v1::GenerationSpec, method: v1::Method) {
    let step = 32 * spec.stages();
    assert!((1..=2).contains(&spec.stages()), "{spec:?}");
    for side in [spec.width(), spec.height()] {
        assert!((32..=8192).contains(&side) && side % step == 0, "{spec:?}");
    }
    let least = if method == v1::Method::StartEndFrames { 9 } else { 1 };
    assert!(spec.frames() % 8 == 1 && (least..=8001).contains(&spec.frames()), "{spec:?}");
    assert!(spec.width() * spec.height() * spec.frames() <= 300_000, "it does not fit: {spec:?}");
    assert!((1.0..=120.0).contains(&spec.fps()), "{spec:?}");
    assert!((1..=1000).contains(&spec.steps()) && spec.image_crf() <= 51, "{spec:?}");
    assert!(spec.prompt.len() <= 16 << 10 && spec.negative_prompt().len() <= 16 << 10);
    for (list, steps) in [(&spec.sigmas, Some(spec.steps())), (&spec.refine_sigmas, None)] {
        let falls = list.windows(2).all(|pair| pair[0] as f32 > pair[1] as f32);
        let ends = list.first().is_none_or(|first| *first <= 1.0) && list.last().is_none_or(|last| *last == 0.0);
        let steps = list.is_empty() || steps.is_none_or(|steps| list.len() == steps as usize + 1);
        assert!(falls && ends && steps && list.len() != 1, "{spec:?}");
    }
    // What nothing reads was refused, or is not there.
    let guided = spec.schedule() == v1::Schedule::Guided;
    assert!(guided || (spec.guidance.is_none() && spec.negative_prompt.is_none()), "{spec:?}");
    assert!(guided || !spec.sigmas.is_empty() || spec.steps() == 8, "{spec:?}");
    assert!(spec.refine_sigmas.is_empty() || spec.stages() == 2, "{spec:?}");
    if let Some(guidance) = &spec.guidance {
        for (value, most) in [(guidance.cfg_scale, 100.0), (guidance.stg_scale, 100.0), (guidance.rescale_scale, 1.0)] {
            assert!(value.is_none_or(|value| (0.0..=most).contains(&value)), "{spec:?}");
        }
        assert!(guidance.stg_blocks.len() <= 256);
    }
    assert!(spec.audio.is_none() && spec.video_input.is_none() && spec.element_edit.is_none());
    assert!(spec.more_images.is_empty() && !spec.model.is_empty(), "{spec:?}");
}
