//! Every reason against the table that `proto/ltx/v1/errors.proto` documents.
//!
//! Must not know services.

use super::*;
use ltx_policy::{Ask, Audio, KnownModel, ModelNames, PolicyConfig, refuse_generate_audio};
use std::collections::BTreeMap;

/// Reason → code, as the comment's tables say.
fn documented() -> BTreeMap<String, String> {
    let row = |line: &str| {
        let mut words = line.strip_prefix("//   ")?.split_whitespace();
        let (reason, code) = (words.next()?, words.next()?);
        let name = |word: &str| word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        (name(reason) && name(code)).then(|| (reason.to_owned(), code.to_owned()))
    };
    include_str!("../../../../proto/ltx/v1/errors.proto").lines().filter_map(row).collect()
}

fn all() -> Vec<ErrorReason> {
    (1..=300).filter_map(|number| ErrorReason::try_from(number).ok()).collect()
}

/// `NotFound` → `NOT_FOUND`.
fn screaming(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[test]
fn every_reason_has_the_documented_code() {
    let documented = documented();
    assert_eq!(documented.len(), all().len(), "{documented:?}");
    for reason in all() {
        assert_eq!(documented.get(name(reason)), Some(&screaming(code(reason))), "{reason:?}");
        let of_grpc = matches!(reason, ErrorReason::UnknownMethod | ErrorReason::UnsupportedEncoding);
        assert_eq!(code(reason) == Code::Unimplemented, of_grpc);
        assert!(!general_remedy(reason).is_empty());
    }
    for reason in Reason::ALL {
        assert_eq!(name(of_policy(reason)), reason.as_str());
    }
}

#[test]
fn limits_are_counted_under_the_reason_that_clients_are_given() {
    let wait = Duration::from_secs(1);
    let limits = [
        Problem::from(JobsError::DoesNotFit { needed: 2, available: 1, largest: None }),
        Problem::from(JobsError::TakesTooLong { seconds: 2.0, limit: 1, counted: true, largest: None }),
        Problem::from(JobsError::QueueFull { limit: 1, of_client: true }),
        Problem::from(JobsError::RateLimited { retry_after: wait }),
        Problem::TooManyStreams { open: 1 },
        Problem::UploadsFull { places: 1 },
        Problem::from(JobsError::StorageFull { free: 1, needed: 2, source: None }),
        Problem::StorageFull { room_comes: true },
        Problem::from(JobsError::Stopping),
        Problem::Stopping,
        Problem::from(JobsError::Unavailable { why: "x".into(), retry_after: wait }),
    ];
    for problem in limits {
        let counted = problem.limit().unwrap().as_str();
        assert_eq!(Status::from(problem).get_details_error_info().unwrap().reason, counted);
    }
    assert!(Problem::NoToken.limit().is_none() && Problem::OutOfTime { limit: wait }.limit().is_none());
}

#[test]
fn problems_have_the_promised_details() {
    let status = Status::from(Problem::Fields(vec![FieldError::new("width", 100, "is odd").nearest("96 or 128")]));
    let details = status.get_error_details();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violation = &details.bad_request().unwrap().field_violations[0];
    assert_eq!(
        (violation.field.as_str(), violation.description.as_str()),
        ("width", "100 is odd; nearest legal: 96 or 128")
    );
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELD", "ltxd"));
    assert!(info.metadata.contains_key("why.INVALID_FIELD") && info.metadata.contains_key("remedy.INVALID_FIELD"));
    assert_eq!(info.metadata["reasons"], "INVALID_FIELD");

    let limited = JobsError::RateLimited { retry_after: Duration::from_secs(3) };
    let status = Status::from(Problem::from(limited));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));

    let state = ltx_jobs::State::Queued;
    let id = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    let missing = |expired, state| JobsError::NoOutput { id, kind: ltx_jobs::OutputKind::Video, state, expired };
    let reason = |error: JobsError| Status::from(Problem::from(error)).get_details_error_info().unwrap().reason;
    assert_eq!(reason(missing(false, state)), "WRONG_STATE");
    assert_eq!(reason(missing(true, ltx_jobs::State::Done)), "OUTPUT_NOT_FOUND");
    assert_eq!(reason(JobsError::Corrupt { what: "secret" }), "INTERNAL");
    let faulty = Status::from(Problem::from(JobsError::Corrupt { what: "secret" }));
    assert!(!faulty.message().contains("secret"));
}

#[test]
fn a_refusal_names_every_reason_in_table_order_and_fits_into_headers() {
    let known = KnownModel::new("ltx", vec![], "ltx-2.3").unwrap();
    let config = PolicyConfig::new(ModelNames::new(vec![known], []));
    let ask = Ask {
        agent: Some(ltx_policy::Agent::Agent2),
        credits_low: Some(true),
        plan: Some("Ü".repeat(5000)),
        model: Some("x".repeat(5000)),
        audio: vec![Audio::Track],
        ..Ask::default()
    };
    let refusal = refuse_generate_audio(&ask, &config);
    let status = Status::from(Problem::from(refusal));
    assert_eq!(status.code(), Code::PermissionDenied);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.metadata["reasons"], "AUDIO_NOT_COVERED,LOW_CREDITS,PLAN_NOT_COVERED,UNKNOWN_MODEL");
    assert_eq!(details.help().unwrap().links.len(), 4);
    assert_eq!(details.help().unwrap().links[0].description, "ask without audio");
    assert_eq!(details.localized_message().unwrap().locale, "en");
    assert!(info.metadata.values().all(|value| value.len() <= LONGEST));
    assert!(status.details().len() < 6000, "{} bytes of details", status.details().len());
}

#[test]
fn long_texts_are_cut_between_characters() {
    assert_eq!(cut("x".repeat(512)).len(), 512);
    let cut = cut("é".repeat(400));
    assert!(cut.len() <= 512 && cut.ends_with('…'));
}
