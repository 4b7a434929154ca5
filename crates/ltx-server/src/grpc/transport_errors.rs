//! Errors that the transport makes, in the domain's words: so that they, too, have the details every error has.
//!
//! Must not know calls. What other contracts than ours answer (health, reflection) is left as it is.

use crate::app::Problem;
use ltx_types::FieldError;
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, Response},
};

/// Tells a client in which encodings it may send; part of an answer about encodings.
const ACCEPTED: &str = "grpc-accept-encoding";
/// Contracts whose errors are their own.
const OTHERS: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

/// The response, its error with details.
pub(crate) fn with_details(path: &str, response: Response<Body>, message_bytes: usize) -> Response<Body> {
    let headers = response.headers();
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return response;
    }
    let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) else {
        return response;
    };
    let Some(problem) = problem(path, &status, message_bytes) else { return response };
    answer(problem, headers)
}

/// An error as the transport sends it.
pub(crate) fn answer(problem: Problem, headers: &HeaderMap) -> Response<Body> {
    let mut answer = Status::from(problem).into_http();
    if let Some(accepted) = headers.get(ACCEPTED) {
        answer.headers_mut().insert(ACCEPTED, accepted.clone());
    }
    answer
}

fn problem(path: &str, status: &Status, message_bytes: usize) -> Option<Problem> {
    if let Some(problem) = decoding(status, message_bytes) {
        return Some(problem);
    }
    match status.code() {
        Code::Unimplemented if status.message().contains("compressed") => Some(Problem::Encoding),
        Code::Unimplemented => Some(Problem::UnknownMethod { path: path.chars().take(100).collect() }),
        _ if OTHERS.iter().any(|other| path.starts_with(other)) => None,
        Code::Internal | Code::Unknown => {
            Some(Problem::fault(format!("{path}: {:?}: {}", status.code(), status.message())))
        }
        _ => None,
    }
}

/// What a failure to read a message is.
pub(crate) fn decoding(status: &Status, message_bytes: usize) -> Option<Problem> {
    let message = status.message();
    let rule = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted if message.contains("message length too large") => {
            return Some(Problem::MessageTooLarge { most: message_bytes });
        }
        // Text that is no base64 is "Invalid …" to its decoder.
        Code::Internal if message.contains("tonic-web: malformed") || message.contains("tonic-web: Invalid ") => {
            "is not framed as gRPC-Web frames messages"
        }
        Code::Internal if message.contains("tonic-web: ") => "broke off",
        Code::Internal if message.contains("Unexpected EOF") => "broke off in the middle of a message",
        Code::Internal if message.contains("decode") => "is not a message of this contract",
        Code::Internal if message.contains("protocol error") => "is not framed as gRPC frames messages",
        Code::Internal if message.contains("Missing request message") => "is missing",
        Code::Internal | Code::Unknown if message.contains("h2 protocol error") => "broke off",
        Code::Cancelled => "broke off",
        _ => return None,
    };
    Some(FieldError::new("message", "the request", rule).into())
}
