//! The page for browsers: the files of `web/dist`, which are in the binary, over HTTP.
//!
//! Must not know calls, nor a file system: a path is looked up among the files that were built in, and is nothing else.

mod bundle;

use bundle::{Bundle, File};
use http_body_util::Full;
use std::{collections::HashMap, sync::LazyLock};
use tonic::{
    body::Body,
    codegen::{
        Bytes,
        http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header as h},
    },
};

/// The built files.
static BUNDLE: LazyLock<Bundle> = LazyLock::new(Bundle::built);

/// What a page may do: take what this node serves and call it, show pictures and videos that it was given, and nothing else. No
/// text can become markup or script (`trusted-types 'none'`), and no other page can show it inside itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      media-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// What every answer says, errors included.
const ALWAYS: [(HeaderName, &str); 8] = [
    (h::CONTENT_SECURITY_POLICY, POLICY),
    (h::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (h::REFERRER_POLICY, "no-referrer"),
    (h::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), usb=()",
    ),
];

/// A file whose name has a digest of what is in it never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Any other is asked for again, and sent again only when it is another.
const ASK: &str = "no-cache";

/// The answer to a request for a file: the file, that it is still the same, or that there is none. `shown` says whether there
/// is a page at all.
pub(crate) fn answer<B>(request: &Request<B>, shown: bool) -> Response<Body> {
    let head = request.method() == Method::HEAD;
    let path = match request.uri().path() {
        "/" => "/index.html",
        path => path,
    };
    let file = path.strip_prefix('/').and_then(|name| BUNDLE.file(name)).filter(|_| shown);
    match file {
        Some(file) => with_security(of_file(file, request.headers(), head)),
        None if shown => plain(StatusCode::NOT_FOUND, "There is no such page.", head),
        None => plain(StatusCode::NOT_FOUND, "This node shows no page (page.enabled).", head),
    }
}

/// A short text.
pub(crate) fn plain(status: StatusCode, text: &str, head: bool) -> Response<Body> {
    let text = Bytes::from(format!("{text}\n"));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(h::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(h::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(h::CONTENT_LENGTH, text.len().into());
    if !head {
        *response.body_mut() = Body::new(Full::new(text));
    }
    with_security(response)
}

/// There is such a thing, and it is asked for by other methods.
pub(crate) fn not_allowed(methods: &'static str, head: bool) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "That method is not for this.", head);
    response.headers_mut().insert(h::ALLOW, HeaderValue::from_static(methods));
    response
}

fn with_security(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn of_file(file: &File, asked: &HeaderMap, head: bool) -> Response<Body> {
    let gzip = file.gzip.as_ref().filter(|_| takes_gzip(asked));
    let body = gzip.unwrap_or(&file.plain);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(h::ETAG, file.etag.clone());
    headers.insert(h::CACHE_CONTROL, HeaderValue::from_static(if file.hashed { FOR_EVER } else { ASK }));
    headers.insert(h::VARY, HeaderValue::from_static("accept-encoding"));
    if is_known(asked, &file.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(h::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(h::CONTENT_LENGTH, body.len().into());
    if gzip.is_some() {
        headers.insert(h::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if !head {
        *response.body_mut() = Body::new(Full::new(body.clone()));
    }
    response
}

/// Whether the client says that it has this file already.
fn is_known(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let listed = asked.get_all(h::IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut tags = listed.map(|tag| tag.trim_ascii());
    tags.any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
}

/// Whether the client takes gzip: it names it, or anything, and not with a weight of 0.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(h::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings = values.flat_map(|value| value.split(',')).map(|coding| {
        let (name, rest) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = rest.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
        (name.trim().to_ascii_lowercase(), weight.unwrap_or(0.0))
    });
    let weights: HashMap<_, _> = codings.collect();
    weights.get("gzip").or_else(|| weights.get("*")).is_some_and(|weight| *weight > 0.0)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
