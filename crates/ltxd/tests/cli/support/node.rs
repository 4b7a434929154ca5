//! A running `ltxd serve` on the tiny model with a data folder and a port of its own, alone or as a service, and the client commands
//! against it.
//!
//! Must not know what is asked of it. Its port is read from its log.

use super::{
    command::{DONE, Ended, ltxd, run},
    files::{models, start_picture, text},
    process::Running,
};
use ltx_proto::v1::{
    CreateGenerationRequest, GenerationSpec, Image, Schedule, generation_service_client::GenerationServiceClient,
    generation_spec::Images, image::Source,
};
use ltx_testkit::nats::Nats;
use nix::sys::signal::Signal::SIGTERM;
use serde_json::Value;
use std::{fs, path::Path, process::Command, time::Duration};
use tempfile::TempDir;
use tonic::Request;

/// Limits on rates that no test reaches.
const QUICK: [&str; 2] = ["limits.requests_per_second=10000.0", "limits.request_burst=10000"];

/// A busy machine makes no client a slow one: none is cut for that, unless a test says so. And whoever is told to end has the time for
/// it that a test waits.
const PATIENT: [&str; 6] = [
    "limits.handshake_seconds=3600",
    "limits.connection_idle_seconds=3600",
    "limits.pause_seconds=3600",
    "limits.call_seconds=3600",
    "limits.upload_seconds=3600",
    "shutdown_seconds=600",
];

/// What a node needs to be [occupied](Node::occupy), and to [make slow clips](Node::submit_slow).
pub(crate) const MAY_BE_OCCUPIED: &str = "testing.enabled=true";

/// Where a node keeps what it is asked; clients must see no difference.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Store {
    /// In a database of its own.
    Own,
    /// In a NATS server, as the only node of a service.
    Nats,
}

fn set(setting: &str) -> String {
    format!("--set={setting}")
}

/// A node that serves.
pub(crate) struct Node {
    running: Running,
    address: String,
    folder: TempDir,
    /// Ends after the node.
    _nats: Option<Nats>,
}

impl Node {
    /// Starts one on the tiny model with further settings, and waits until that is loaded.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let set = QUICK.iter().chain(settings).map(|setting| set(setting));
        let models = [format!("--models-dir={}", models()), "--model=ltx-2.3-tiny".to_owned()];
        let mut node = Self::serve(&models.into_iter().chain(set).collect::<Vec<_>>());
        node.await_log("ready models=");
        node
    }

    /// The same with that store.
    pub(crate) fn start_with(store: Store, settings: &[&str]) -> Self {
        match store {
            Store::Own => Self::start(settings),
            Store::Nats => {
                let nats = Nats::start();
                let servers = format!("cluster.servers={}", nats.address);
                // Nobody else may take what it has for want of a sign of life.
                let service = [&servers, "cluster.silent_seconds=600"];
                Self { _nats: Some(nats), ..Self::start(&[&service, settings].concat()) }
            }
        }
    }

    /// Starts one with these flags, and waits until it listens; its models may not be loaded by then.
    pub(crate) fn serve(flags: &[String]) -> Self {
        let patient = PATIENT.map(set);
        let folder = super::files::scratch();
        let data = format!("--data-dir={}", text(&folder.path().join("data")));
        let own = ["serve".to_owned(), data, "--listen=127.0.0.1:0".to_owned()];
        let mut running = Running::telling(ltxd(&[&own[..], &patient, flags].concat()));
        let line = running.await_line("serving address=");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
        Self { address: format!("http://{address}"), running, folder, _nats: None }
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A folder for the test's own files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for a line of its log, unless it was written already.
    pub(crate) fn await_log(&mut self, needle: &str) {
        if !self.running.said.iter().any(|line| line.contains(needle)) {
            self.running.await_line(needle);
        }
    }

    /// Looks again and again until `holds`; fails when the node ends before.
    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        self.running.process.wait_until(what, |_| holds());
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = self.running.process.proc("status");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        1024 * kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_else(|| panic!("no VmRSS in {status}"))
    }

    /// Bytes that its threads have read from files, those of this name aside.
    pub(crate) fn read_bytes(&self, aside: &str) -> u64 {
        self.running.process.read_bytes(aside)
    }

    /// A client command against it.
    pub(crate) fn client(&self, words: &[&str]) -> Command {
        let mut command = ltxd(words);
        command.env("LTXD_SERVER", &self.address);
        command
    }

    /// A client command, run to its end, which must have this exit code.
    pub(crate) fn run(&self, words: &[&str], code: i32) -> Ended {
        run(self.client(words)).with(code)
    }

    /// What a client command that is done printed, as a JSON value a line.
    pub(crate) fn ask(&self, words: &[&str]) -> Vec<Value> {
        self.run(&[words, &["--json"]].concat(), DONE).json_lines()
    }

    /// Asks for a clip; its id.
    pub(crate) fn submit(&self, flags: &[&str]) -> String {
        let image = start_picture();
        self.run(&[&["submit", "--image", &image], flags].concat(), DONE).out.trim().to_owned()
    }

    /// Gives the device a clip that stays at its first step, for a day, so that whatever is asked for next waits until this is
    /// cancelled; its id.
    pub(crate) fn occupy(&mut self) -> String {
        let id = self.submit_slow(Duration::from_secs(24 * 3600));
        self.await_log(&format!("on the device generation={id}"));
        id
    }

    /// Asks for a clip of a thousand guided steps, each of which takes so much longer; its id.
    pub(crate) fn submit_slow(&self, steps_by: Duration) -> String {
        let image = Image { source: Some(Source::Data(fs::read(start_picture()).unwrap().into())), ..Image::default() };
        let spec = GenerationSpec {
            prompt: "A wave.".into(),
            images: Some(Images::Image(image)),
            schedule: Schedule::Guided.into(),
            steps: Some(1000),
            ..GenerationSpec::default()
        };
        let mut request = Request::new(CreateGenerationRequest { spec: Some(spec), ..Default::default() });
        request
            .metadata_mut()
            .insert("ltxd-testing", format!("slow-steps-ms={}", steps_by.as_millis()).parse().unwrap());
        let address = self.address.clone();
        let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
            GenerationServiceClient::connect(address).await.unwrap().create_generation(request).await.unwrap()
        });
        answer.into_inner().generation.unwrap().id
    }

    /// SIGTERM: it must end well.
    pub(crate) fn stop(self) {
        self.running.process.signal(SIGTERM);
        let (finished, log) = self.running.finish();
        assert_eq!(finished.code, Some(DONE), "{}", log.join("\n"));
    }
}
