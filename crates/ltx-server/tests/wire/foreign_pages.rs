//! What other web pages try: calls of another origin, simple requests, a name of their own that points at the node. Nothing of
//! it makes, reads or cancels anything, and clients that are no browsers are left alone.
//!
//! Must not know what the calls do.

use crate::{
    node::{TestNode, Wish, create, reason, spec},
    web::{CONTENT, Called, NOBODYS, call, call_with, framed, made, only, own, send},
};
use ltx_proto::v1::{self, node_service_client::NodeServiceClient};
use ltx_testkit::fake::Gate;
use ltx_types::Stage;
use tonic::{
    Code, Request,
    codegen::http::{Uri, uri::PathAndQuery},
    metadata::MetadataValue,
    transport::Channel,
};

/// A node with a generation that runs.
async fn busy(gate: &Gate, server: fn(&mut ltx_server::Settings)) -> (TestNode, String) {
    let node = TestNode::start(Wish { server, ..Wish::behind(gate) }).await;
    let id = made(&node, spec(1)).await.id;
    gate.bring_to(1, Stage::Denoising, 1);
    (node, id)
}

/// Every call that a page would like to make, each with an empty answer.
async fn tried(node: &TestNode, headers: &str, id: &str) -> Vec<Called<v1::CancelGenerationResponse>> {
    let id = id.to_owned();
    let watch = v1::WatchGenerationRequest { id: id.clone(), ..Default::default() };
    let output = v1::DownloadOutputRequest { id: id.clone(), ..Default::default() };
    let part = v1::UploadPartRequest::default();
    vec![
        call_with(node, "GenerationService/CreateGeneration", headers, &create(spec(2))).await,
        call_with(node, "GenerationService/ListGenerations", headers, &v1::ListGenerationsRequest::default()).await,
        call_with(node, "GenerationService/GetGeneration", headers, &v1::GetGenerationRequest { id: id.clone() }).await,
        call_with(node, "GenerationService/WatchGeneration", headers, &watch).await,
        call_with(node, "GenerationService/DownloadOutput", headers, &output).await,
        call_with(
            node,
            "GenerationService/CancelGeneration",
            headers,
            &v1::CancelGenerationRequest { id: id.clone(), batch: false },
        )
        .await,
        call_with(node, "GenerationService/DeleteGeneration", headers, &v1::DeleteGenerationRequest { id }).await,
        call_with(node, "UploadService/UploadPart", headers, &part).await,
        call_with(node, "NodeService/GetNode", headers, &v1::GetNodeRequest {}).await,
    ]
}

/// Nothing of it got in, nothing can be read of it, and what runs still does.
async fn nothing_came_of(node: &TestNode, id: &str, headers: &str, expected: &str) {
    for called in tried(node, headers, id).await {
        let status = called.end.unwrap_err();
        let code = if expected == "UNSUPPORTED_CONTENT_TYPE" { Code::InvalidArgument } else { Code::PermissionDenied };
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{headers}");
        assert!(called.messages.is_empty());
        let shared: Vec<_> = called.answer.headers.keys().filter(|name| name.starts_with("access-control-")).collect();
        assert!(shared.is_empty(), "{shared:?}: {headers}");
    }
    assert_eq!(node.kept().0, 1);
    let list = node.generations().await.list_generations(v1::ListGenerationsRequest::default()).await;
    let listed = list.unwrap().into_inner().generations;
    assert_eq!((listed[0].id.as_str(), listed[0].state()), (id, v1::GenerationState::Running));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_gets_nothing() {
    let gate = Gate::closed();
    let (node, id) = busy(&gate, |_| {}).await;
    let address = node.address;
    let port = address.port();
    let from = |origin: &str, site: &str| {
        format!("host: {address}\norigin: {origin}\nsec-fetch-site: {site}\ncontent-type: {CONTENT}\nx-grpc-web: 1")
    };
    for headers in [
        from("http://evil.example", "cross-site"),
        from("null", "cross-site"),
        from(&format!("http://localhost:{port}"), "cross-site"),
        from("http://127.0.0.1:1", "same-site"),
        from(&format!("https://{address}"), "cross-site"),
        from(&format!("http://{address}"), "cross-site"),
        format!("host: {address}\norigin: http://evil.example\ncontent-type: {CONTENT}"),
        format!("host: {address}\nsec-fetch-site: cross-site\ncontent-type: {CONTENT}"),
    ] {
        nothing_came_of(&node, &id, &headers, "ORIGIN_NOT_ALLOWED").await;
    }
    // The question that its browser asks first is answered with no leave.
    let preflight = format!(
        "host: {address}\norigin: http://evil.example\naccess-control-request-method: POST\n\
         access-control-request-headers: content-type,x-grpc-web\naccess-control-request-private-network: true"
    );
    let answer = send(&node, "OPTIONS /ltx.v1.GenerationService/CreateGeneration", &preflight, b"").await;
    assert_eq!(answer.status, 403);
    assert!(answer.headers.keys().all(|name| !name.starts_with("access-control-")), "{answer:?}");
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_made_to_point_here_gets_nothing() {
    let gate = Gate::closed();
    let (node, id) = busy(&gate, |_| {}).await;
    let port = node.address.port();
    for name in
        [format!("evil.example:{port}"), format!("127.0.0.1.nip.io:{port}"), format!("localhost.evil.example:{port}")]
    {
        // To its browser it is the same origin: nothing else betrays it.
        let headers = format!("host: {name}\norigin: http://{name}\ncontent-type: {CONTENT}\nx-grpc-web: 1");
        nothing_came_of(&node, &id, &headers, "HOST_NOT_ALLOWED").await;
        nothing_came_of(&node, &id, &format!("host: {name}\ncontent-type: {CONTENT}"), "HOST_NOT_ALLOWED").await;
        for path in ["/", "/metrics", "/ltx.v1.NodeService/GetNode"] {
            let page = send(&node, &format!("GET {path}"), &format!("host: {name}"), b"").await;
            assert_eq!(page.status, 421, "{path}");
        }
        let mut stream = tokio::net::TcpStream::connect(node.metrics).await.unwrap();
        let scrape = format!("GET /metrics HTTP/1.1\r\nhost: {name}\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, scrape.as_bytes()).await.unwrap();
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 403") && !text.contains("ltxd_"), "{text}");
    }
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simple_request_is_no_call() {
    let gate = Gate::closed();
    let (node, id) = busy(&gate, |_| {}).await;
    let address = node.address;
    let simple = [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ];
    for content in simple.into_iter().chain(["application/grpc", "application/json", "application/grpc-web+json"]) {
        // What comes with an origin is refused for that; this is a browser that said nothing.
        let headers = format!("host: {address}\ncontent-type: {content}");
        nothing_came_of(&node, &id, &headers, "UNSUPPORTED_CONTENT_TYPE").await;
    }
    let answer = send(&node, "POST /ltx.v1.NodeService/GetNode", &format!("host: {address}"), b"").await;
    assert_eq!(answer.status, 415);
    for request in ["GET", "HEAD", "PUT", "DELETE", "TRACE", "OPTIONS"] {
        let path = "/ltx.v1.GenerationService/CancelGeneration";
        let body = framed(&v1::CancelGenerationRequest { id: id.clone(), batch: false });
        let answer = send(&node, &format!("{request} {path}"), &own(&node), &body).await;
        assert_eq!(answer.status, 405, "{request}");
    }
    assert_eq!(
        node.generations()
            .await
            .get_generation(v1::GetGenerationRequest { id })
            .await
            .unwrap()
            .into_inner()
            .generation
            .unwrap()
            .state(),
        v1::GenerationState::Running
    );
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_the_operator_lists_may_call_and_read() {
    let server = |it: &mut ltx_server::Settings| it.page.origins = vec!["https://studio.example".parse().unwrap()];
    let node = TestNode::start(Wish { server, ..Wish::default() }).await;
    let address = node.address;
    let preflight = |origin: &str| {
        format!(
            "host: {address}\norigin: {origin}\naccess-control-request-method: POST\n\
             access-control-request-headers: authorization,content-type,x-grpc-web\n\
             access-control-request-private-network: true"
        )
    };
    let path = "/ltx.v1.GenerationService/CreateGeneration";
    let leave = send(&node, &format!("OPTIONS {path}"), &preflight("https://studio.example"), b"").await;
    assert_eq!((leave.status, &leave.headers["access-control-allow-origin"][..]), (200, "https://studio.example"));
    assert_eq!(leave.headers["access-control-allow-methods"], "POST");
    assert_eq!(leave.headers["access-control-allow-private-network"], "true");
    let allowed = &leave.headers["access-control-allow-headers"];
    for header in ["authorization", "content-type", "grpc-timeout", "x-grpc-web"] {
        assert!(allowed.contains(header), "{header}: {allowed}");
    }
    assert!(!leave.headers.contains_key("access-control-allow-credentials"));
    assert!(leave.headers["vary"].contains("origin"));
    assert_eq!(send(&node, &format!("OPTIONS {path}"), &preflight("http://studio.example"), b"").await.status, 403);

    let headers =
        format!("host: {address}\norigin: https://studio.example\nsec-fetch-site: cross-site\ncontent-type: {CONTENT}");
    let all = v1::ListGenerationsRequest::default();
    let method = "GenerationService/ListGenerations";
    let listed = call_with::<v1::ListGenerationsResponse>(&node, method, &headers, &all).await;
    assert_eq!(listed.answer.headers["access-control-allow-origin"], "https://studio.example");
    assert!(listed.answer.headers["access-control-expose-headers"].contains("grpc-status-details-bin"));
    only(listed);
    // Errors can be read as well.
    let missing = v1::GetGenerationRequest { id: NOBODYS.to_owned() };
    let missing =
        call_with::<v1::GetGenerationResponse>(&node, "GenerationService/GetGeneration", &headers, &missing).await;
    assert_eq!(missing.answer.headers["access-control-allow-origin"], "https://studio.example");
    assert_eq!(reason(&missing.end.unwrap_err()), "GENERATION_NOT_FOUND");
    // To the node's own page nothing is said of others.
    let own = call::<v1::GetNodeResponse>(&node, "NodeService/GetNode", &v1::GetNodeRequest {}).await;
    assert!(!own.answer.headers.contains_key("access-control-allow-origin"));
    only(own);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_grpc_calls_under_any_name_unless_a_page_sent_it() {
    let node = TestNode::start(Wish::default()).await;
    let endpoint = Channel::from_shared(format!("http://{}", node.address)).unwrap();
    let named = endpoint.clone().origin(Uri::from_static("http://some-service.internal:1234"));
    let mut client = NodeServiceClient::new(named.connect().await.unwrap());
    client.get_node(v1::GetNodeRequest {}).await.unwrap();
    let before = node.kept();
    // Over HTTP/2, too, what a page sends is known by what its browser says.
    for (header, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let mut request = Request::new(v1::GetNodeRequest {});
        request.metadata_mut().insert(header, MetadataValue::from_static(value));
        let mut plain = NodeServiceClient::new(endpoint.connect().await.unwrap());
        let status = plain.get_node(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "ORIGIN_NOT_ALLOWED"));
        let mut request = Request::new(v1::GetNodeRequest {});
        request.metadata_mut().insert(header, MetadataValue::from_static(value));
        assert_eq!(reason(&client.get_node(request).await.unwrap_err()), "HOST_NOT_ALLOWED");
    }
    // Health and reflection are calls like any other.
    let mut other = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    other.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<v1::GetNodeRequest, v1::GetNodeResponse>::default();
    let mut request = Request::new(v1::GetNodeRequest {});
    request.metadata_mut().insert("origin", MetadataValue::from_static("http://evil.example"));
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    assert_eq!(reason(&other.unary(request, path, codec).await.unwrap_err()), "ORIGIN_NOT_ALLOWED");
    assert_eq!(node.kept(), before);
}
