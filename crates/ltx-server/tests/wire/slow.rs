//! Callers who are slow, idle or speak something else: cut in time, with typed errors where there is a call to answer.
//!
//! Must not know what the calls do.

use crate::node::{TestNode, Wish, create, reason, spec};
use ltx_proto::v1::{self, upload_image_request::Part};
use ltx_types::settings::Bounded;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, codegen::http::uri::PathAndQuery};

const SHORT: Duration = Duration::from_millis(300);
/// A guard against hanging, on a machine however busy.
const LONGEST: Duration = Duration::from_secs(120);

fn impatient() -> Wish {
    let server = |it: &mut ltx_server::Settings| {
        (it.limits.handshake_time, it.limits.connection_idle_time) = (SHORT, SHORT);
        it.limits.idle_time = SHORT;
        it.limits.connections = Bounded::new(2).unwrap();
    };
    Wish { server, ..Wish::default() }
}

/// Until the node closes it.
async fn closed(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    let mut bytes = [0; 1024];
    while timeout(LONGEST, stream.read(&mut bytes)).await.expect("it was not cut").is_ok_and(|count| count > 0) {}
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_reason_make_room() {
    let node = TestNode::start(impatient()).await;
    for said in [&b""[..], b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let connect = || async {
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            stream.write_all(said).await.unwrap();
            stream
        };
        let (mut one, mut two) = (connect().await, connect().await);
        let (one, two) = tokio::join!(closed(&mut one), closed(&mut two));
        assert!(one >= SHORT / 2 && two >= SHORT / 2, "{one:?}, {two:?}");
        node.about().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_in_an_upload_is_typed() {
    let node = TestNode::start(impatient()).await;
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
