//! What answers of an S3 service mean.
//!
//! Must not repeat an answer to clients: it may name buckets, accounts and users. Its code alone is told.

use super::Failed;
use object_store::Error;

/// Codes of services that take no more.
const FULL: [&str; 4] = ["QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"];

/// The most of an answer that is logged.
const SHOWN: usize = 200;

/// What stands between two marks of a text.
pub(super) fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(behind)?.0)
}

/// The code of an answer that has one, such as `NoSuchBucket`.
pub(super) fn code(error: &Error) -> Option<String> {
    let said = error.to_string();
    between(&said, "<Code>", "</Code>").map(str::to_owned)
}

/// The last cause of an error, in words.
pub(super) fn cause(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let said = cause.to_string();
    let told = match (between(&said, "<Code>", "</Code>"), between(&said, "<Message>", "</Message>")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => said.replace(['\n', '\r'], " "),
    };
    told.chars().take(SHOWN).collect::<String>().trim_end_matches([' ', ':']).to_owned()
}

/// Whether there is no such object. Without the bucket nobody knows.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && code(error).as_deref() != Some("NoSuchBucket")
}

/// An answer that is not what was asked for.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed(error: Error) -> Failed {
    let code = code(&error);
    let is_full = code.as_deref().is_some_and(|code| FULL.contains(&code)) || error.to_string().contains(" 507 ");
    match (is_full, code) {
        (true, _) => Failed::Full,
        (false, Some(code)) => Failed::Away(format!("S3 answers {code}")),
        (false, None) => Failed::Away(format!("S3: {}", cause(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn answer(body: &str) -> Error {
        let status = format!("Server returned non-2xx status code: {body}");
        Error::Generic { store: "S3", source: io::Error::other(status).into() }
    }

    fn missing(body: &str) -> Error {
        Error::NotFound { path: "p".into(), source: io::Error::other(body.to_owned()).into() }
    }

    #[test]
    fn an_answer_is_missing_full_or_away_and_clients_are_told_its_code_alone() {
        assert!(is_missing(&missing("404 Not Found")));
        assert!(is_missing(&missing("<Error><Code>NoSuchKey</Code></Error>")));
        assert!(!is_missing(&missing("<Error><Code>NoSuchBucket</Code></Error>")));
        for body in ["507 Insufficient Storage: ", "403: <Code>QuotaExceeded</Code>"] {
            assert!(matches!(failed(answer(body)), Failed::Full), "{body}");
        }
        let denied =
            "403 Forbidden: <Error><Code>AccessDenied</Code><Message>User arn:aws:iam::1:user/x</Message></Error>";
        assert!(matches!(failed(answer(denied)), Failed::Away(why) if why == "S3 answers AccessDenied"));
        assert_eq!(cause(&answer(denied)), "AccessDenied: User arn:aws:iam::1:user/x");
        let broken = answer(&format!("503 Service Unavailable: {}", "x".repeat(10_000)));
        assert!(matches!(failed(broken), Failed::Away(why) if why.len() < 300 && why.contains("503")));
    }
}
