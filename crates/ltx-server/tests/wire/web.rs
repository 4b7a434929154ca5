//! A browser's side of the wire: HTTP/1.1 by hand, so that every header is the test's own, and gRPC-Web over it.
//!
//! Must not know what is asked.

use crate::node::TestNode;
use ltx_proto::v1;
use prost::Message;
use std::collections::HashMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Status,
    codegen::http::{HeaderMap, HeaderName, HeaderValue},
};

pub(crate) const CONTENT: &str = "application/grpc-web+proto";
/// An id that no generation has.
pub(crate) const NOBODYS: &str = "01890000-0000-7000-8000-000000000000";
/// The longest body that is sent whole. Of a longer one only the beginning is: the node turns it away by its length, and what is
/// written behind that would meet a closed connection.
const WHOLE: usize = 2 << 20;
const BEGINNING: usize = 64 << 10;
/// Bit of a frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An answer of gRPC-Web: its messages, and the status at the end.
pub(crate) struct Called<M> {
    pub(crate) messages: Vec<M>,
    pub(crate) end: Result<(), Status>,
    pub(crate) answer: Answer,
}

/// Sends a request with exactly these headers, one a line, and reads the answer to its end.
pub(crate) async fn send(node: &TestNode, request: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let mut text = format!("{request} HTTP/1.1\r\n");
    for line in headers.lines().map(str::trim).filter(|line| !line.is_empty()) {
        text += &format!("{line}\r\n");
    }
    text += &format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    let sent = if body.len() > WHOLE { &body[..BEGINNING] } else { body };
    // A node that turns a request away by its head may be gone before the body has come; its answer is there all the same.
    let _ = stream.write_all(sent).await;
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    assert!(ended.is_ok() || !bytes.is_empty(), "{ended:?}");
    read(&bytes)
}

fn read(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: HashMap<_, _> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    Answer { status, headers, body: if chunked { unchunked(rest) } else { rest.to_vec() } }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a chunk's head");
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
}

/// A message in its frame.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat()
}

/// The headers of the node's own page.
pub(crate) fn own(node: &TestNode) -> String {
    let address = node.address;
    format!(
        "host: {address}\norigin: http://{address}\nsec-fetch-site: same-origin\ncontent-type: {CONTENT}\nx-grpc-web: 1"
    )
}

/// Calls a method as the node's own page does.
pub(crate) async fn call<M: Message + Default>(node: &TestNode, method: &str, message: &impl Message) -> Called<M> {
    call_with(node, method, &own(node), message).await
}

/// Calls a method with these headers.
pub(crate) async fn call_with<M: Message + Default>(
    node: &TestNode,
    method: &str,
    headers: &str,
    message: &impl Message,
) -> Called<M> {
    let answer = send(node, &format!("POST /ltx.v1.{method}"), headers, &framed(message)).await;
    let (mut messages, mut trailers) = (Vec::new(), None);
    let mut rest = &answer.body[..];
    while rest.len() >= 5 {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let (frame, body) = (rest[0], &rest[5..5 + length]);
        match frame & TRAILERS {
            0 => messages.push(M::decode(body).unwrap()),
            _ => trailers = Some(String::from_utf8(body.to_vec()).unwrap()),
        }
        rest = &rest[5 + length..];
    }
    let pairs: Vec<(String, String)> = match &trailers {
        Some(lines) => lines.lines().filter_map(|line| line.split_once(':')).map(owned).collect(),
        None => answer.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    };
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value.trim()).unwrap());
    }
    let status = Status::from_header_map(&map).unwrap_or_else(|| panic!("no status: {answer:?}"));
    let end = if status.code() == tonic::Code::Ok { Ok(()) } else { Err(status) };
    Called { messages, end, answer }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The one message of a call that went well.
pub(crate) fn only<M>(mut called: Called<M>) -> M {
    called.end.unwrap();
    assert_eq!(called.messages.len(), 1);
    called.messages.remove(0)
}

/// Makes a generation as the node's own page does.
pub(crate) async fn made(node: &TestNode, spec: v1::GenerationSpec) -> v1::Generation {
    let request = crate::node::create(spec);
    only(call::<v1::CreateGenerationResponse>(node, "GenerationService/CreateGeneration", &request).await)
        .generation
        .unwrap()
}
