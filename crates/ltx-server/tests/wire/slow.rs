//! Callers who are slow, idle or speak something else: cut in time, with typed errors where there is a call to answer.
//!
//! Must not know what the calls do.

use crate::node::{TestNode, Wish, create, reason, spec};
use ltx_proto::v1::{self, node_service_client::NodeServiceClient, upload_image_request::Part};
use ltx_testkit::fake::LONG;
use ltx_types::settings::Bounded;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, codegen::http::uri::PathAndQuery, transport::Channel};

const SHORT: Duration = Duration::from_millis(300);

/// So few connections that those without a reason take every place.
fn crowded(it: &mut ltx_server::Settings) {
    it.limits.connections = Bounded::new(2).unwrap();
}

/// How long the node leaves a connection open on which this was said, at least: from before it was made.
async fn open_for(node: &TestNode, said: &[u8]) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut bytes = [0; 1024];
    while timeout(LONG, stream.read(&mut bytes)).await.expect("it was not cut").is_ok_and(|count| count > 0) {}
    began.elapsed()
}

/// The node has room and answers: at once, or once a connection was quick enough for its limits.
async fn answers(node: &TestNode) {
    let until = Instant::now() + LONG;
    loop {
        let answered = async {
            let endpoint = Channel::from_shared(format!("http://{}", node.address)).unwrap();
            let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
            let mut client = NodeServiceClient::new(channel);
            client.get_node(v1::GetNodeRequest {}).await.map_err(|status| status.to_string())
        };
        match timeout(LONG, answered).await.expect("the node has no room") {
            Ok(_) => return,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_reason_make_room() {
    // A connection is looked at when its handshake's time is over; one that has greeted may then stay as long as an idle one.
    let handshake = |it: &mut ltx_server::Settings| {
        crowded(it);
        it.limits.handshake_time = SHORT;
    };
    let both = |it: &mut ltx_server::Settings| {
        crowded(it);
        (it.limits.handshake_time, it.limits.connection_idle_time) = (SHORT, SHORT);
    };
    let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    type Change = fn(&mut ltx_server::Settings);
    let cases: [(&[u8], Change); 3] = [(b"", handshake), (b"PRI * HT", handshake), (greeting, both)];
    for (said, server) in cases {
        let node = TestNode::start(Wish { server, ..Wish::default() }).await;
        let (one, two) = tokio::join!(open_for(&node, said), open_for(&node, said));
        assert!(one >= SHORT && two >= SHORT, "{one:?}, {two:?}");
        answers(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_cut_while_it_waits_to_answer() {
    let server = |it: &mut ltx_server::Settings| {
        crowded(it);
        it.limits.connection_idle_time = SHORT;
        it.limits.handshake_time = SHORT;
    };
    let node = TestNode::start(Wish { server, ..Wish::default() }).await;
    // An answer that never ends, to somebody unknown, with the beginning of another request behind it: nothing is read meanwhile.
    let head =
        "POST /grpc.health.v1.Health/Watch HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\ncontent-length: 5";
    let asked = format!("{head}\r\nhost: {}\r\n\r\n\0\0\0\0\0G", node.address);
    assert!(open_for(&node, asked.as_bytes()).await >= SHORT);
    // Answers that nobody takes, until there is no more room for them.
    let page = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", node.address).repeat(100);
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let asks = async { while stream.write_all(page.as_bytes()).await.is_ok() {} };
    timeout(LONG, asks).await.expect("it was not cut");
    answers(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_in_an_upload_is_typed() {
    let server = |it: &mut ltx_server::Settings| {
        crowded(it);
        it.limits.idle_time = SHORT;
    };
    let node = TestNode::start(Wish { server, ..Wish::default() }).await;
    let (sender, parts) = mpsc::channel(1);
    let header = Part::Header(v1::UploadHeader { total_bytes: 100, sha256: String::new() });
    sender.send(v1::UploadImageRequest { part: Some(header) }).await.unwrap();
    let status = node.uploads().await.upload_image(ReceiverStream::new(parts)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!(node.kept().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_of_the_contract_is_typed() {
    let node = TestNode::start(Wish::default()).await;
    for path in ["/ltx.v1.GenerationService/Nothing", "/ltx.v1.Nothing/Nothing"] {
        let mut client = tonic::client::Grpc::new(node.channel().await);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<v1::GetNodeRequest, v1::GetNodeResponse>::default();
        let path = PathAndQuery::from_static(path);
        let status = client.unary(Request::new(v1::GetNodeRequest {}), path, codec).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNKNOWN_METHOD"));
    }
    node.generations().await.create_generation(create(spec(1))).await.unwrap();
}
