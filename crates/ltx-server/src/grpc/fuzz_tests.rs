//! Hostile requests: messages of any numbers and texts, damaged bytes, wrong frames and headers, through everything but the
//! socket: layers, routes, decoding, `from_proto`, policy, the jobs. None may panic, what is refused has the documented status
//! and keeps nothing, and what is accepted is within the limits.
//!
//! Must not know how connections are made; tests/node/hostile does that.

mod answers;
mod messages;

use super::{
    calls::{Called, Calls},
    routes::services,
};
use crate::{Catalog, Settings, Token, TokenHash, app::Node, face::FaceContext};
use http_body_util::{BodyExt, Full};
use ltx_catalog::{Manifest, ModelLibrary};
use ltx_jobs::{ClientId, Filter, Jobs, Surroundings};
use ltx_testkit::{
    default_settings,
    fake::{FakeModels, FakeOptions, LONG, ended, picture, policy},
    fuzz::{Bytes, Edit, Verdict, campaign, damaged, edits},
};
use ltx_types::settings::{Bounded, PerSecond};
use messages::{Known, Message};
use proptest::{
    arbitrary::any,
    collection::vec,
    option, prop_oneof,
    strategy::{Just, Strategy},
};
use std::{future::poll_fn, path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::{runtime::Runtime, time::timeout};
use tonic::{
    codegen::{
        Service,
        http::{HeaderMap, HeaderValue, Request},
    },
    service::Routes,
};
use tower_layer::Layer;

const TOKEN: &str = "the secret";

/// A node without a socket.
struct Bench {
    runtime: Runtime,
    service: Called<Routes>,
    jobs: Jobs,
    folder: TempDir,
    known: Known,
}

/// What a node keeps, as far as a refused call must not change it.
#[derive(Debug, PartialEq)]
struct Kept {
    newest: Option<String>,
    images: usize,
}

fn manifest() -> Manifest {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let library = ModelLibrary::open(&folder).unwrap();
    library.manifest(FakeModels::NAME).unwrap().clone()
}

impl Bench {
    fn new(tokens: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = TempDir::new().unwrap();
        let mut jobs = ltx_jobs::Settings { data: folder.path().into(), node: "bench".into(), ..default_settings() };
        jobs.limits.requests_per_second = PerSecond::new(1e6).unwrap();
        jobs.limits.request_burst = Bounded::new(1 << 30).unwrap();
        // With tokens a queue that is full now and then, without them one that never is.
        let queued = Bounded::new(if tokens { 32 } else { 1 << 20 }).unwrap();
        (jobs.limits.queued, jobs.limits.queued_per_client) = (queued, queued);
        // The plan adds 48 MiB to the one byte a pixel that the fake takes.
        jobs.limits.image_bytes = Bounded::new(64 << 10).unwrap();
        jobs.limits.memory_bytes = Some((48 << 20) + 300_000);
        jobs.retention.outputs_bytes = Bounded::new(20_000_000).unwrap();
        let config = jobs.check().unwrap();
        let models = Arc::new(FakeModels::new(FakeOptions::default()));
        let surroundings = Surroundings {
            models,
            policy: policy().into(),
            space: Box::new(ltx_jobs::Disk),
            credentials: None,
            tracer: None,
        };
        let jobs = Jobs::open(config.clone(), surroundings).unwrap();
        let mut settings: Settings = default_settings();
        settings.limits.message_bytes = Bounded::new(2 << 20).unwrap();
        // A slow machine is no reason to refuse.
        let limits = &mut settings.limits;
        (limits.call_time, limits.upload_time, limits.idle_time) = (LONG, LONG, LONG);
        if tokens {
            let client = ClientId::new("local").unwrap();
            settings.listen.tokens = vec![Token { client, hash: TokenHash::of(TOKEN) }];
        }
        let catalog = Catalog::new(vec![manifest().into()]).unwrap();
        let node = Node::new(settings.check(config).unwrap(), jobs.clone(), catalog);
        let face = FaceContext::new(Arc::new(node));
        let service = Calls::new(face.clone()).layer(services(&face).unwrap());
        let mut bench = Self { runtime, service, jobs, folder, known: Known::default() };
        bench.known = bench.make_known();
        bench
    }

    /// A generation that is done, its page token, and an upload.
    fn make_known(&self) -> Known {
        let client = ClientId::new("local").unwrap();
        let upload = self.jobs.upload(&client, picture()).unwrap().to_string();
        let mut known = Known { upload, ..Known::default() };
        for seed in 0..2 {
            let create = messages::plain(seed);
            let (headers, body) = self.call(&create.path, create.framed(), &authorized(TOKEN.as_bytes()));
            assert_eq!(answers::code(&headers), 0, "{headers:?}");
            known.generation = answers::created(&body);
        }
        let listing = messages::first_page();
        let (_, body) = self.call(&listing.path, listing.framed(), &authorized(TOKEN.as_bytes()));
        known.page_token = answers::page_token(&body);
        assert!(!known.page_token.is_empty());
        let record = ended(&self.jobs, client.as_str(), known.generation.parse().unwrap());
        assert_eq!(record.state, ltx_jobs::State::Done);
        known
    }

    fn kept(&self) -> Kept {
        let client = ClientId::new("local").unwrap();
        let newest = self.jobs.list(&client, &Filter::default(), 1, None).unwrap().records;
        let images = std::fs::read_dir(self.folder.path().join("images")).unwrap().count();
        Kept { newest: newest.first().map(|record| record.id.to_string()), images }
    }

    /// The answer's headers with its trailers, and its body. Every answer ends by itself: what can be watched has ended, and
    /// nothing else goes on. [`LONG`] is a guard against hanging.
    fn call(&self, path: &str, body: Vec<u8>, headers: &HeaderMap) -> (HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method("POST").uri(format!("http://node{path}"));
        *request.headers_mut().unwrap() = headers.clone();
        let request = request.header("content-type", "application/grpc").body(Full::new(body.into())).unwrap();
        let mut service = self.service.clone();
        let answered = async {
            poll_fn(|cx| Service::<Request<Full<tonic::codegen::Bytes>>>::poll_ready(&mut service, cx)).await.unwrap();
            let (parts, mut body) = service.call(request).await.unwrap().into_parts();
            let (mut headers, mut bytes) = (parts.headers, Vec::new());
            while !headers.contains_key("grpc-status") {
                match body.frame().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => bytes.extend_from_slice(&data),
                        Err(frame) => headers.extend(frame.into_trailers().unwrap()),
                    },
                    Some(Err(status)) => panic!("the body failed: {status:?}"),
                    None => panic!("no status: {headers:?}"),
                }
            }
            (headers, bytes)
        };
        let answered = self.runtime.block_on(async { timeout(LONG, answered).await });
        answered.unwrap_or_else(|_| panic!("the answer of {path} does not end"))
    }

    /// Makes a call and looks at everything that came of it.
    fn tried(&self, path: &str, body: Vec<u8>, headers: &HeaderMap) -> Verdict {
        let before = self.kept();
        let (answer, body) = self.call(path, body, headers);
        if answers::code(&answer) == 0 {
            answers::look_at_answer(path, &body);
            return Verdict::Accepted;
        }
        answers::look_at_error(&answer);
        assert_eq!(self.kept(), before, "a refused {path} kept something");
        Verdict::Refused
    }
}

fn authorized(token: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", token].concat()) {
        headers.insert("authorization", value);
    }
    headers
}

/// How a message is put into frames.
#[derive(Debug, Clone)]
enum Framing {
    Right,
    Length(u32),
    Flag(u8),
    Cut(f64),
    Twice,
    Bare,
    Behind(Vec<u8>),
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        2 => Just(Framing::Right),
        2 => prop_oneof![any::<u32>(), 0..100u32, 2_097_100..2_097_200u32].prop_map(Framing::Length),
        1 => any::<u8>().prop_map(Framing::Flag),
        2 => (0.0..1.0f64).prop_map(Framing::Cut),
        1 => Just(Framing::Twice),
        1 => Just(Framing::Bare),
        1 => vec(any::<u8>(), 1..12).prop_map(Framing::Behind),
    ]
}

fn framed(mut bytes: Vec<u8>, framing: &Framing) -> Vec<u8> {
    match framing {
        Framing::Right => {}
        Framing::Length(length) if bytes.len() >= 5 => bytes[1..5].copy_from_slice(&length.to_be_bytes()),
        Framing::Flag(flag) if !bytes.is_empty() => bytes[0] = *flag,
        Framing::Length(_) | Framing::Flag(_) => {}
        Framing::Cut(share) => bytes.truncate((bytes.len() as f64 * share) as usize),
        Framing::Twice => bytes.extend(bytes.clone()),
        Framing::Bare => drop(bytes.drain(..bytes.len().min(5))),
        Framing::Behind(more) => bytes.extend(more),
    }
    bytes
}

/// Whether a message that was damaged could still be one that may run for long, or fill the node's disk.
fn damaged_message(message: &Message, edits: &[Edit]) -> Vec<u8> {
    let parts = message.parts.iter().map(|part| messages::frame(&damaged(part.0.clone(), edits)));
    parts.collect::<Vec<_>>().concat()
}

#[test]
fn fuzz_requests() {
    let bench = Bench::new(false);
    let none = HeaderMap::new();
    campaign("requests: CreateGeneration, any fields", &messages::create(&bench.known), |message| {
        bench.tried(&message.path, message.framed(), &none)
    });
    campaign("requests: CheckEligibility, any fields", &messages::check(&bench.known), |message| {
        bench.tried(&message.path, message.framed(), &none)
    });
    campaign("requests: the other calls, any fields", &messages::others(&bench.known), |message| {
        bench.tried(&message.path, message.framed(), &none)
    });
    campaign("requests: damaged messages", &(messages::every(&bench.known), edits(4)), |(message, edits)| {
        bench.tried(&message.path, damaged_message(&message, &edits), &none)
    });
    campaign("requests: damaged frames", &(messages::every(&bench.known), framing(), edits(1)), |it| {
        let (message, framing, edits) = it;
        bench.tried(&message.path, damaged(framed(message.framed(), &framing), &edits), &none)
    });

    let guarded = Bench::new(true);
    let token = prop_oneof![
        2 => Just(TOKEN.as_bytes().to_vec()),
        2 => edits(2).prop_map(|edits| damaged(TOKEN.into(), &edits)),
        1 => vec(any::<u8>(), 0..40),
        1 => (1..20_000usize).prop_map(|length| vec![b'x'; length]),
    ];
    let name = prop_oneof![
        Just("grpc-timeout".to_owned()),
        Just("grpc-encoding".to_owned()),
        Just("te".to_owned()),
        Just("grpc-accept-encoding".to_owned()),
        "[a-z-]{1,12}(-bin)?",
    ];
    let more = vec((name, prop_oneof![vec(any::<u8>(), 0..20), Just(b"gzip".to_vec()), Just(b"1H".to_vec())]), 0..3);
    let path = option::weighted(0.2, "(/[ -~]{0,12}){0,3}|/ltx\\.v1\\.[A-Z][a-zA-Z]{0,12}/[a-zA-Z]{0,12}");
    let cases = (messages::every(&guarded.known), option::weighted(0.9, token.prop_map(Bytes)), more, path);
    campaign("requests: any headers, tokens and paths", &cases, |(message, token, more, path)| {
        let mut headers = token.map(|token| authorized(&token.0)).unwrap_or_default();
        for (name, value) in more {
            if let (Ok(name), Ok(value)) =
                (name.parse::<tonic::codegen::http::HeaderName>(), HeaderValue::from_bytes(&value))
            {
                headers.append(name, value);
            }
        }
        let path = path.filter(|path| format!("http://node{path}").parse::<tonic::codegen::http::Uri>().is_ok());
        guarded.tried(path.as_deref().unwrap_or(&message.path), message.framed(), &headers)
    });
}
