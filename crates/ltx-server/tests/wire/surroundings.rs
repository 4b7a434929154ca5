//! What is around the services: health, reflection, metrics, the node's facts, loading, TLS and where it may listen.
//!
//! Must not know generations beyond making one.

use crate::node::{LOADED, OTHER, TestNode, Wish, create, policy, reason, spec, watched};
use ltx_policy::WeightFingerprint;
use ltx_proto::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const SERVICES: [&str; 4] =
    ["ltx.v1.GenerationService", "ltx.v1.UploadService", "ltx.v1.PolicyService", "ltx.v1.NodeService"];

async fn health(node: &TestNode, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(node.channel().await);
    client.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner().status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_answer_without_a_token() {
    let node = TestNode::start(Wish { tokens: true, ..Wish::default() }).await;
    for service in SERVICES.into_iter().chain([""]) {
        // The background tells it within a moment; ten minutes are a guard against hanging.
        for attempt in 0.. {
            let status = health(&node, service).await;
            if status == ServingStatus::Serving {
                break;
            }
            assert!(attempt < 30_000, "{service}: {status:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    let mut client = ServerReflectionClient::new(node.channel().await);
    let asked = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned()),
    ];
    let request = |asked| ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    let requests = tokio_stream::iter(asked.map(request));
    let mut stream = client.server_reflection_info(requests).await.unwrap().into_inner();
    let answer = stream.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(names.contains(&service.to_owned()), "{service}: {names:?}");
    }
    let answer = stream.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::FileDescriptorResponse(files) = answer else { panic!("{answer:?}") };
    assert_eq!(files.file_descriptor_proto.len(), 1, "what errors carry as their details");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_loads_says_so_and_serves_once_it_has() {
    let node = TestNode::start(Wish::default()).await;
    node.control.set_policy(policy().with_loaded([]));
    assert_eq!(node.about().await.state(), v1::NodeState::Loading);
    let mut client = node.generations().await;
    assert_eq!(reason(&client.create_generation(create(spec(1))).await.unwrap_err()), "MODEL_NOT_LOADED");
    node.control.set_policy(policy());
    assert!(node.about().await.models[0].weights.is_none());
    let weights = WeightFingerprint { header_sha256: "ab".repeat(32), file_sha256: None, total_bytes: 7 };
    node.control.set_weights(LOADED, weights);
    let about = node.about().await;
    assert_eq!((about.state(), about.id.as_str()), (v1::NodeState::Ready, "test-node"));
    let models: Vec<_> = about.models.iter().map(|model| (model.name.as_str(), model.loaded, model.default)).collect();
    assert_eq!(models, [(LOADED, true, true), (OTHER, false, false)]);
    assert!(!about.models[0].two_stages, "its manifest names no upscaler");
    assert_eq!(about.models[0].weights.as_ref().unwrap().header_sha256, "ab".repeat(32));
    assert_eq!(about.models[0].defaults.as_ref().unwrap().frames(), 9);
    let flows: Vec<_> = about.models.iter().map(|model| model.defaults.as_ref().unwrap().flow()).collect();
    assert_eq!(flows, [v1::Flow::Unspecified, v1::Flow::Distilled], "as their manifests state them");
    let (limits, memory) = (about.limits.unwrap(), about.memory.unwrap());
    assert!(limits.message_bytes > 0 && limits.concurrent_streams > 0 && memory.resident_bytes > 0);
    assert_eq!(about.policy.unwrap().plans, ["Premium", "Pro", "Business"]);
    client.create_generation(create(spec(1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_happened() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let id = client.create_generation(create(spec(1))).await.unwrap().into_inner().generation.unwrap().id;
    watched(&mut client, &id, 0).await;
    client.create_generation(create(v1::GenerationSpec::default())).await.unwrap_err();
    let expected = [
        "ltxd_queued 0",
        "ltxd_running 0",
        "ltxd_accepted_total 1",
        "ltxd_ended_total{state=\"DONE\"} 1",
        "ltxd_steps_total{stage=\"denoising\"} 8",
        "ltxd_stage_seconds_count{stage=\"denoising\"} 1",
        "ltxd_refusals_total{reason=\"NOT_AN_UNLIMITED_METHOD\"} 1",
        "ltxd_grpc_calls_total{method=\"/ltx.v1.GenerationService/CreateGeneration\",code=\"Ok\"} 1",
        "ltxd_grpc_calls_total{method=\"/ltx.v1.GenerationService/CreateGeneration\",code=\"PermissionDenied\"} 1",
        "ltxd_grpc_calls_total{method=\"/ltx.v1.GenerationService/WatchGeneration\",code=\"Ok\"} 1",
        "ltxd_resident_bytes ",
    ];
    let mut text = String::new();
    for _ in 0..30_000 {
        text = get(&node, "/metrics").await;
        if expected.iter().all(|line| text.contains(line)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let missing: Vec<_> = expected.iter().filter(|line| !text.contains(**line)).collect();
    assert!(missing.is_empty(), "{missing:?} in\n{text}");
    assert!(text.starts_with("HTTP/1.1 200"));
    assert!(get(&node, "/").await.starts_with("HTTP/1.1 404"));
    // What is no method of the contract adds no name of its own.
    let mut wrong = tonic::client::Grpc::new(node.channel().await);
    wrong.ready().await.unwrap();
    let path = "/ltx.v1.GenerationService/Nothing".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<v1::GetNodeRequest, v1::GetNodeResponse>::default();
    wrong.unary(tonic::Request::new(v1::GetNodeRequest {}), path, codec).await.unwrap_err();
    let text = get(&node, "/metrics").await;
    assert!(text.contains("method=\"other\"") && !text.contains("Nothing"));
}

/// The answer of the metrics' port.
pub(crate) async fn get(node: &TestNode, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(node.metrics).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_and_nothing_else() {
    use tonic::transport::{Certificate, Channel, ClientTlsConfig};
    let pem = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/tls").join(name);
    let wish = Wish {
        server: |it| {
            let pem = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/tls").join(name);
            it.listen.tls = Some(ltx_server::Tls { certificate: pem("localhost.pem"), key: pem("localhost.key") });
        },
        ..Wish::default()
    };
    let node = TestNode::start(wish).await;
    let trusted = Certificate::from_pem(std::fs::read(pem("localhost.pem")).unwrap());
    let endpoint = Channel::from_shared(format!("https://localhost:{}", node.address.port())).unwrap();
    let endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(trusted)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = ltx_proto::v1::node_service_client::NodeServiceClient::new(channel);
    client.get_node(v1::GetNodeRequest {}).await.unwrap();
    let plain = Channel::from_shared(format!("http://{}", node.address)).unwrap().connect().await;
    if let Ok(plain) = plain {
        let mut client = ltx_proto::v1::node_service_client::NodeServiceClient::new(plain);
        client.get_node(v1::GetNodeRequest {}).await.unwrap_err();
    }
}
