//! Answers for files of the page, as a browser asks for them.
//!
//! Must not know connections.

use super::*;
use http_body_util::BodyExt;
use std::io::Read;

fn asked(path: &str, headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.body(()).unwrap()
}

async fn body(response: Response<Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn the_page_is_whole_in_both_encodings() {
    let plain = answer(&asked("/", &[]), true);
    assert_eq!(plain.status(), StatusCode::OK);
    assert_eq!(plain.headers()[h::CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(plain.headers()[h::CACHE_CONTROL], "no-cache");
    let length = plain.headers()[h::CONTENT_LENGTH].clone();
    let bytes = body(plain).await;
    assert_eq!(length, bytes.len().to_string());
    assert_eq!(bytes, body(answer(&asked("/index.html", &[]), true)).await);
    let packed = answer(&asked("/", &[(h::ACCEPT_ENCODING, "br, gzip;q=0.5")]), true);
    if packed.headers().get(h::CONTENT_ENCODING).is_some() {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&body(packed).await[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, bytes);
    }
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let etag = answer(&asked("/", &[]), true).headers()[h::ETAG].clone();
    for tag in [etag.to_str().unwrap().to_owned(), format!("\"x\", W/{}", etag.to_str().unwrap()), "*".to_owned()] {
        let same = answer(&asked("/", &[(h::IF_NONE_MATCH, &tag)]), true);
        assert_eq!((same.status(), &same.headers()[h::ETAG]), (StatusCode::NOT_MODIFIED, &etag));
        assert!(body(same).await.is_empty());
    }
    assert_eq!(answer(&asked("/", &[(h::IF_NONE_MATCH, "\"other\"")]), true).status(), StatusCode::OK);
}

#[tokio::test]
async fn nothing_but_the_pages_files_is_there() {
    let others = [
        "/index",
        "/index.html/",
        "//index.html",
        "/../Cargo.toml",
        "/..%2fCargo.toml",
        "/%2e%2e/Cargo.toml",
        "/./index.html",
        "/assets",
        "/assets/",
        "/%69ndex.html",
        "/etc/passwd",
        "/index.html%00",
        "/INDEX.HTML",
    ];
    for path in others {
        let response = answer(&asked(path, &[]), true);
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(response.headers().contains_key(h::CONTENT_SECURITY_POLICY));
    }
    assert_eq!(answer(&asked("/?a=b", &[]), true).status(), StatusCode::OK);
    assert_eq!(answer(&asked("/", &[]), false).status(), StatusCode::NOT_FOUND, "there is no page");
}

#[tokio::test]
async fn a_head_has_what_a_get_has_without_the_body() {
    let mut head = asked("/", &[]);
    *head.method_mut() = Method::HEAD;
    let (head, get) = (answer(&head, true), answer(&asked("/", &[]), true));
    assert_eq!(head.headers(), get.headers());
    assert!(body(head).await.is_empty());
}

#[test]
fn encodings_are_read_with_their_weights() {
    let takes = |said: &str| takes_gzip(asked("/", &[(h::ACCEPT_ENCODING, said)]).headers());
    for said in ["gzip", "deflate, GZIP", "gzip;q=0.1", "*", "br;q=1, *;q=0.5"] {
        assert!(takes(said), "{said}");
    }
    for said in ["", "br", "gzip;q=0", "gzip;q=0, *", "identity", "gzip;q=x", "*;q=0"] {
        assert!(!takes(said), "{said}");
    }
    assert!(!takes_gzip(&HeaderMap::new()));
}
