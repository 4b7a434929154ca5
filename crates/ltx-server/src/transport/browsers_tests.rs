//! What browsers send, held against the lists.
//!
//! Must not know connections.

use super::*;

fn node() -> Browsers {
    Browsers { bound: [127, 0, 0, 1].into(), tls: false, hosts: vec![], origins: vec![] }
}

/// A request over HTTP/1.1, its headers a line each.
fn request(headers: &str) -> Request<()> {
    let mut request = Request::post("/ltx.v1.NodeService/GetNode").version(Version::HTTP_11);
    for (name, value) in headers.lines().map(|line| line.trim().split_once(": ").unwrap()) {
        request = request.header(name, value);
    }
    request.body(()).unwrap()
}

fn verdict(browsers: &Browsers, wanted: Wanted, headers: &str) -> &'static str {
    match browsers.admit(&request(headers), wanted) {
        Ok(()) => "in",
        Err(Problem::HostNotAllowed { .. }) => "host",
        Err(Problem::OriginNotAllowed { .. }) => "origin",
        Err(_) => "other",
    }
}

#[test]
fn only_names_that_cannot_be_rebound_are_the_nodes_own() {
    let call = |browsers: &Browsers, host: &str| verdict(browsers, Wanted::Call, &format!("host: {host}"));
    for host in ["127.0.0.1:7750", "127.0.0.1", "LOCALHOST:7750", "[::1]:7750", "127.3.2.1:80", "[::ffff:127.0.0.1]:1"]
    {
        assert_eq!(call(&node(), host), "in", "{host}");
    }
    let others =
        ["evil.example:7750", "127.0.0.1.nip.io:7750", "localhost.evil.example", "10.0.0.7", "0.0.0.0:7750", "node"];
    for host in others {
        assert_eq!(call(&node(), host), "host", "{host}");
    }
    let named = Browsers { hosts: vec!["node".into()], ..node() };
    assert_eq!((call(&named, "node:7750"), call(&named, "nodes")), ("in", "host"));
    let everywhere = Browsers { bound: [0, 0, 0, 0].into(), ..node() };
    assert_eq!((call(&everywhere, "10.0.0.7:7750"), call(&everywhere, "evil.example")), ("in", "host"));
    let beyond = Browsers { bound: [10, 0, 0, 7].into(), ..node() };
    assert_eq!((call(&beyond, "10.0.0.7:7750"), call(&beyond, "10.0.0.8:7750")), ("in", "host"));
    let certified = Browsers { tls: true, ..node() };
    assert_eq!(call(&certified, "node.example"), "in");
}

#[test]
fn a_request_is_addressed_once() {
    assert_eq!(verdict(&node(), Wanted::Call, "accept: x"), "host");
    assert_eq!(verdict(&node(), Wanted::Call, "host: 127.0.0.1\nhost: evil.example"), "host");
    let target = |uri: &str| {
        let mut request = request("host: 127.0.0.1:7750");
        *request.uri_mut() = uri.parse().unwrap();
        node().admit(&request, Wanted::Call).is_ok()
    };
    assert!(target("http://127.0.0.1:7750/x") && !target("http://evil.example/x"));
}

#[test]
fn only_the_nodes_own_pages_and_listed_ones_call() {
    let from = |browsers: &Browsers, origin: &str| {
        verdict(browsers, Wanted::Call, &format!("host: 127.0.0.1:7750\norigin: {origin}"))
    };
    assert_eq!(from(&node(), "http://127.0.0.1:7750"), "in");
    let others = [
        "null",
        "http://evil.example",
        "http://localhost:7750",
        "http://127.0.0.1:7751",
        "https://127.0.0.1:7750",
        "http://127.0.0.1",
        "file://",
        "http://127.0.0.1:7750.evil.example",
        "http://127.0.0.1:7750/",
    ];
    for origin in others {
        assert_eq!(from(&node(), origin), "origin", "{origin}");
    }
    let listing = Browsers { origins: vec!["https://studio.example".parse().unwrap()], ..node() };
    assert_eq!(from(&listing, "https://studio.example"), "in");
    assert_eq!(from(&listing, "http://studio.example"), "origin");
    assert_eq!(from(&listing, "https://studio.example:444"), "origin");
    // A page that a proxy shows under a name of the node's, over the proxy's TLS.
    let behind = Browsers { hosts: vec!["node.example".into()], ..node() };
    let headers = "host: node.example\norigin: https://node.example";
    assert_eq!(verdict(&behind, Wanted::Call, headers), "in");
    assert_eq!(verdict(&node(), Wanted::Call, headers), "host");
    let certified = Browsers { tls: true, ..node() };
    assert_eq!(verdict(&certified, Wanted::Call, "host: node.example\norigin: http://node.example"), "origin");
    assert_eq!(verdict(&certified, Wanted::Call, headers), "in");
    let twice = "host: 127.0.0.1:7750\norigin: http://127.0.0.1:7750\norigin: http://evil.example";
    assert_eq!(verdict(&node(), Wanted::Call, twice), "origin");
}

#[test]
fn what_another_site_sends_is_seen_without_an_origin() {
    let sent = |wanted, rest: &str| verdict(&node(), wanted, &format!("host: localhost\n{rest}"));
    for site in ["cross-site", "same-site", "anything"] {
        let site = format!("sec-fetch-site: {site}");
        assert_eq!(sent(Wanted::Call, &site), "origin");
        assert_eq!(sent(Wanted::Page, &site), "origin");
        assert_eq!(sent(Wanted::Page, &format!("{site}\nsec-fetch-mode: no-cors\nsec-fetch-dest: script")), "origin");
        assert_eq!(sent(Wanted::Page, &format!("{site}\nsec-fetch-mode: navigate\nsec-fetch-dest: iframe")), "origin");
        let link = format!("{site}\nsec-fetch-mode: navigate\nsec-fetch-dest: document");
        assert_eq!((sent(Wanted::Page, &link), sent(Wanted::Call, &link)), ("in", "origin"));
    }
    assert_eq!(sent(Wanted::Call, "sec-fetch-site: same-origin"), "in");
    assert_eq!(sent(Wanted::Page, "sec-fetch-site: none"), "in");
    assert_eq!(sent(Wanted::Call, "origin: http://localhost\nsec-fetch-site: cross-site"), "origin");
}

#[test]
fn grpc_that_says_nothing_of_a_page_is_addressed_as_it_likes() {
    let native = |headers: &str, version| {
        let mut request = request(headers);
        *request.version_mut() = version;
        node().admit(&request, Wanted::Grpc).is_ok()
    };
    assert!(native("te: trailers", Version::HTTP_2) && native("host: anything", Version::HTTP_2));
    assert!(!native("host: anything", Version::HTTP_11), "which no client of gRPC speaks");
    assert!(!native("host: anything\norigin: http://anything", Version::HTTP_2));
    assert!(!native("host: 127.0.0.1\norigin: http://evil.example", Version::HTTP_2));
    assert!(!native("host: anything\nsec-fetch-site: same-origin", Version::HTTP_2));
}
