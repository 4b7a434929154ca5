//! A collector on loopback that answers every request with one status and keeps the bodies, and a queue that is traced.
//!
//! Must not know what spans say.

#![allow(unreachable_pub, reason = "shared by test files")]

use ltx_jobs::{Disk, Jobs, Surroundings, Tracer};
use ltx_testkit::fake::{FakeModels, FakeOptions, is_locked, opened, policy, settings};
use ltx_traces::{Settings, Traces};
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span};
use parking_lot::Mutex;
use prost::Message;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

/// What has come.
#[derive(Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<Span>>>);

impl Collected {
    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().clone()
    }
}

/// A collector's address, and what comes there.
pub fn collector(status: u16) -> (String, Collected) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, collected) = (listener.local_addr().unwrap(), Collected::default());
    let kept = collected.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = kept.clone();
            thread::spawn(move || while answer(&stream, status, &kept).is_some() {});
        }
    });
    (format!("http://{address}"), collected)
}

/// Answers one request; `None` when no more come.
fn answer(mut stream: &TcpStream, status: u16, collected: &Collected) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if status == 200 {
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        collected.0.lock().extend(scopes.flat_map(|scope| scope.spans));
    }
    write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").ok()
}

/// Traces that are sent there, all of them.
pub fn traces(endpoint: &str) -> Arc<Traces> {
    let settings = Settings {
        endpoint: endpoint.to_owned(),
        headers_file: Default::default(),
        service_name: "tests".to_owned(),
        resource_attributes: Vec::new(),
        sampler: "parentbased_always_on".to_owned(),
        sample_ratio: 1.0,
    };
    Arc::new(Traces::start(settings.check().unwrap().unwrap(), "test-node").unwrap())
}

/// Jobs that are traced.
pub fn jobs(data: &Path, options: FakeOptions, traces: &Arc<Traces>) -> Jobs {
    let tracer = Some(Arc::clone(traces) as Arc<dyn Tracer>);
    let open = || {
        let models = Arc::new(FakeModels::new(options.clone()));
        let (space, tracer) = (Box::new(Disk), tracer.clone());
        let surroundings = Surroundings { models, policy: policy().into(), space, credentials: None, tracer };
        Jobs::open(settings(data).check().unwrap(), surroundings)
    };
    opened(open, is_locked)
}
