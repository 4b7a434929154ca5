//! The page: where it is shown, what its answers say to a browser, and where there is none.
//!
//! Must not know what is on it.

use crate::{
    node::{TestNode, Wish},
    web::{call, only, send},
};
use ltx_proto::v1;
use ltx_server::Shown;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_there_with_its_policy() {
    let node = TestNode::start(Wish::default()).await;
    let address = node.address;
    for host in [format!("{address}"), format!("localhost:{}", address.port())] {
        let page = send(&node, "GET /", &format!("host: {host}\naccept-encoding: identity"), b"").await;
        assert_eq!((page.status, &page.headers["content-type"][..]), (200, "text/html; charset=utf-8"));
        assert!(page.body.starts_with(b"<!doctype html>") || page.body.starts_with(b"<!DOCTYPE html>"));
        assert_eq!(page.headers["content-length"], page.body.len().to_string());
        let policy = &page.headers["content-security-policy"];
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{rule}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(page.headers[name], value, "{name}");
        }
        assert!(!page.headers.contains_key("set-cookie") && !page.headers.contains_key("access-control-allow-origin"));
        let etag = &page.headers["etag"];
        let same = send(&node, "GET /", &format!("host: {host}\nif-none-match: {etag}"), b"").await;
        assert_eq!((same.status, same.body.len()), (304, 0));
        let head = send(&node, "HEAD /", &format!("host: {host}"), b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(&head.headers["etag"], etag);
    }
    let none = send(&node, "GET /nothing", &format!("host: {address}"), b"").await;
    assert_eq!(none.status, 404);
    assert!(none.headers.contains_key("content-security-policy"));
    let post = send(&node, "PUT /", &format!("host: {address}"), b"").await;
    assert_eq!((post.status, &post.headers["allow"][..]), (405, "GET, HEAD, POST"));
    let long = send(&node, "GET /", &format!("host: {address}\nx-long: {}", "x".repeat(17 << 10)), b"").await;
    assert_eq!(long.status, 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_pages_can_link_to_it_and_do_nothing_else_with_it() {
    let node = TestNode::start(Wish::default()).await;
    let get = async |rest: &str| send(&node, "GET /", &format!("host: {}\n{rest}", node.address), b"").await.status;
    assert_eq!(get("sec-fetch-site: cross-site\nsec-fetch-mode: navigate\nsec-fetch-dest: document").await, 200);
    for rest in [
        "sec-fetch-site: cross-site\nsec-fetch-mode: navigate\nsec-fetch-dest: iframe",
        "sec-fetch-site: cross-site\nsec-fetch-mode: no-cors\nsec-fetch-dest: script",
        "sec-fetch-site: same-site\nsec-fetch-mode: cors\nsec-fetch-dest: empty",
        "origin: http://evil.example",
    ] {
        assert_eq!(get(rest).await, 403, "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_page_answers_calls_alone() {
    let server = |it: &mut ltx_server::Settings| it.page.enabled = Shown::Off;
    let node = TestNode::start(Wish { server, ..Wish::default() }).await;
    for path in ["/", "/index.html", "/assets/x.js"] {
        let none = send(&node, &format!("GET {path}"), &format!("host: {}", node.address), b"").await;
        assert_eq!(none.status, 404);
        assert!(!String::from_utf8_lossy(&none.body).contains("<html"));
    }
    only(call::<v1::GetNodeResponse>(&node, "NodeService/GetNode", &v1::GetNodeRequest {}).await);
    node.about().await;
}
