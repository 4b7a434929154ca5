//! `ltxd doctor`: broken set-ups, each named with its remedy; and one where nothing is wrong.
//!
//! Must not know how it finds out. What needs another machine (no AVX2, a wrong clock, a GPU) is not here.

use crate::support::{
    command::{DONE, Ended, FAILED, ltxd, run},
    files::{models, repository, scratch, text},
};
use serde_json::Value;
use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A set-up in a folder of its own.
struct SetUp {
    folder: tempfile::TempDir,
    flags: Vec<String>,
}

impl SetUp {
    /// In which nothing is wrong: the tiny model, any port, a data folder that is still to be made.
    fn sound() -> Self {
        let folder = scratch();
        let data = format!("--data-dir={}", text(&folder.path().join("data")));
        let models = format!("--models-dir={}", models());
        // Outputs of a test's disk, however full.
        let set = ["retention.output_bytes=1", "limits.reserve_bytes=0"].map(|key| format!("--set={key}"));
        let own = [data, models, "--model=ltx-2.3-tiny".to_owned(), "--listen=127.0.0.1:0".to_owned()];
        Self { folder, flags: own.into_iter().chain(set).collect() }
    }

    fn with(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    fn set(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.with(format!("--set={key}={value}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of its own, with these permissions.
    fn file(&self, name: &str, bytes: &[u8], mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        allow(&path, mode);
        text(&path)
    }

    /// The data folder, made.
    fn data(&self) -> PathBuf {
        let data = self.path("data");
        fs::create_dir_all(&data).unwrap();
        allow(&data, 0o750);
        data
    }

    fn tls(self, cert: &Path, key: &Path, mode: u32) -> Self {
        let cert = self.file("cert.pem", &fs::read(cert).unwrap(), 0o644);
        let key = self.file("key.pem", &fs::read(key).unwrap(), mode);
        self.set("tls.cert", cert).set("tls.key", key)
    }

    /// The tiny model's files, copied, with one changed; served from there.
    fn copied_model(self, change: impl FnOnce(&Path)) -> Self {
        let (from, to) = (repository("models"), self.path("models"));
        fs::create_dir_all(to.join("tiny/gemma")).unwrap();
        for name in [
            "ltx-2.3-tiny.toml",
            "tiny/ltx-2.3-tiny-dev.safetensors",
            "tiny/ltx-2.3-tiny-spatial-upscaler-x2.safetensors",
        ] {
            fs::copy(from.join(name), to.join(name)).unwrap();
            allow(&to.join(name), 0o644);
        }
        for entry in fs::read_dir(from.join("tiny/gemma")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join("tiny/gemma").join(path.file_name().unwrap())).unwrap();
        }
        change(&to);
        let models = format!("--models-dir={}", text(&to));
        self.with(models)
    }

    fn examined(&self) -> Ended {
        // The last of a flag that is given twice counts.
        let mut flags: Vec<String> = Vec::new();
        for flag in &self.flags {
            let name = |flag: &String| flag.split('=').next().map(str::to_owned);
            flags.retain(|other| flag.starts_with("--set") || name(other) != name(flag));
            flags.push(flag.clone());
        }
        let words: Vec<String> = ["doctor".to_owned(), "--json".to_owned()].into_iter().chain(flags).collect();
        run(ltxd(&words))
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn pem(name: &str) -> PathBuf {
    repository("crates/ltx-server/tests/wire/tls").join(name)
}

fn expired(name: &str) -> PathBuf {
    repository("crates/ltxd/tests/cli/tls").join(name)
}

/// Findings that are not fine: check, severity, what, remedy.
fn wrong(told: &Value) -> Vec<[String; 4]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = told["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] != "fine");
    findings.map(|finding| ["check", "severity", "what", "remedy"].map(|key| text(&finding[key]))).collect()
}

#[test]
fn a_sound_set_up_has_nothing_wrong() {
    let set_up = SetUp::sound();
    let told = set_up.examined().with(DONE).json();
    // What the machine itself lacks is no fault of the set-up.
    let mine: Vec<_> =
        wrong(&told).into_iter().filter(|[check, ..]| !["processor", "gpu"].contains(&check.as_str())).collect();
    assert!(mine.is_empty(), "{mine:?}");
    assert_eq!(told["errors"], 0);
    assert!(!set_up.path("data").exists(), "nothing is made");
    let spoken = run(ltxd(&["doctor", "--models-dir", &models(), "--model=ltx-2.3-tiny", "--listen=127.0.0.1:0"]))
        .with(DONE)
        .out;
    assert!(spoken.contains("fine     models         ltx-2.3-tiny: is here"), "{spoken}");
    assert!(spoken.contains("none is said (data_dir)"), "{spoken}");
}

/// What is broken, and what is said of it.
struct Broken {
    name: &'static str,
    set_up: SetUp,
    check: &'static str,
    severity: &'static str,
    what: &'static str,
    remedy: &'static str,
}

#[test]
fn every_broken_set_up_is_named_with_its_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    // An address of loopback that no other test has.
    let [low, high, ..] = std::process::id().to_le_bytes();
    let own = format!("127.77.{high}.{low}:7750");
    let broken = |name, set_up, [check, severity, what, remedy]: [&'static str; 4]| Broken {
        name,
        set_up,
        check,
        severity,
        what,
        remedy,
    };
    let file = |set_up: SetUp, name: &str, bytes: &[u8], mode: u32, key: &str| {
        let path = set_up.file(name, bytes, mode);
        set_up.set(key, path)
    };
    let data = |change: fn(&Path)| {
        let set_up = SetUp::sound();
        change(&set_up.data());
        set_up
    };
    let (checkpoint, manifest) = ("tiny/ltx-2.3-tiny-dev.safetensors", "ltx-2.3-tiny.toml");
    let all = [
        broken(
            "a key that is none",
            SetUp::sound().set("limits.queue", 1),
            ["configuration", "error", "limits.queue: there is no such key", "config print"],
        ),
        broken(
            "a value that cannot be",
            SetUp::sound().set("limits.queued", 0),
            ["configuration", "error", "limits.queued = 0", "config print"],
        ),
        broken(
            "a fault without testing",
            SetUp::sound().set("testing.queue_full", true),
            ["configuration", "error", "needs testing.enabled = true", "config print"],
        ),
        broken(
            "testing",
            SetUp::sound().set("testing.enabled", true),
            ["configuration", "warning", "makes faults", "leave it out"],
        ),
        broken(
            "a port in use",
            SetUp::sound().with(format!("--listen={port}")),
            ["listen", "error", "another program listens there", "ss -ltnp"],
        ),
        broken(
            "one port for two",
            SetUp::sound().with(format!("--listen={own}")).with(format!("--metrics-listen={own}")),
            ["listen", "error", "is the port of listen as well", "another port"],
        ),
        broken(
            "another machine's address",
            SetUp::sound().with("--listen=192.0.2.7:7750").with("--allow-insecure"),
            ["listen", "error", "this machine has no such address", "ip address"],
        ),
        broken(
            "open to everybody",
            SetUp::sound().with("--listen=0.0.0.0:0").with("--allow-insecure"),
            ["listen", "warning", "anybody who reaches it", "tokens_file"],
        ),
        broken(
            "another certificate's key",
            SetUp::sound().tls(&pem("localhost.pem"), &expired("expired.key"), 0o600),
            ["tls", "error", "is not the key of", "made together"],
        ),
        broken(
            "an expired certificate",
            SetUp::sound().tls(&expired("expired.pem"), &expired("expired.key"), 0o600),
            ["tls", "error", "has expired", "renew it"],
        ),
        broken(
            "a key that all can read",
            SetUp::sound().tls(&pem("localhost.pem"), &pem("localhost.key"), 0o644),
            ["tls", "error", "anybody here may read it", "chmod o-rwx"],
        ),
        broken(
            "no certificate in the file",
            SetUp::sound().tls(&pem("localhost.key"), &pem("localhost.key"), 0o600),
            ["tls", "error", "holds no such thing", "BEGIN CERTIFICATE"],
        ),
        broken(
            "no certificate there",
            SetUp::sound().tls(&pem("localhost.pem"), &pem("localhost.key"), 0o600).set("tls.cert", "/nonexistent.pem"),
            ["tls", "error", "/nonexistent.pem: cannot be read", "put it there"],
        ),
        broken(
            "no client in the tokens file",
            file(SetUp::sound(), "tokens", b"", 0o600, "tokens_file"),
            ["configuration", "error", "names no client", "config print"],
        ),
        broken(
            "a tokens file for all to write",
            file(SetUp::sound(), "tokens", format!("web:{}\n", "ab".repeat(32)).as_bytes(), 0o666, "tokens_file"),
            ["tokens", "error", "may add a client", "chmod o-w"],
        ),
        broken(
            "a data folder that is a file",
            file(SetUp::sound(), "file", b"", 0o600, "data_dir"),
            ["data folder", "error", "is a file", "set data_dir"],
        ),
        broken(
            "a data folder below a file",
            SetUp::sound().with("--data-dir=/proc/version/data"),
            ["data folder", "error", "cannot be made", "install -d"],
        ),
        broken(
            "a data folder for all to write",
            data(|data| allow(data, 0o777)),
            ["data folder", "error", "anybody here may write in it", "chmod o-w"],
        ),
        broken(
            "a folder for a database",
            data(|data| fs::create_dir(data.join("jobs.sqlite")).unwrap()),
            ["data folder", "error", "jobs.sqlite: cannot be read and written", "chown"],
        ),
        broken(
            "a clock that is late",
            data(|data| {
                let file = File::create(data.join("jobs.sqlite")).unwrap();
                file.set_modified(SystemTime::now() + Duration::from_secs(72 * 3600)).unwrap();
            }),
            ["data folder", "warning", "in the future", "timedatectl"],
        ),
        broken(
            "a full disk",
            SetUp::sound().set("limits.reserve_bytes", i64::MAX),
            ["disk", "error", "every request is STORAGE_FULL", "make room"],
        ),
        broken(
            "a disk that is soon full",
            SetUp::sound().set("retention.output_bytes", i64::MAX),
            ["disk", "warning", "less than outputs may take", "retention.output_bytes"],
        ),
        broken(
            "more memory than there is",
            SetUp::sound().set("limits.memory_bytes", 1_i64 << 60),
            ["memory", "error", "more than the machine has", "or to 0"],
        ),
        broken(
            "a budget that holds no clip",
            SetUp::sound().set("limits.memory_bytes", 1_000_000),
            ["models", "error", "DOES_NOT_FIT", "raise limits.memory_bytes"],
        ),
        broken("a GPU that is not here", SetUp::sound().set("device", "cuda:7"), ["gpu", "error", "", "device"]),
        broken(
            "a model that nobody knows",
            SetUp::sound().with("--model=ltx-9"),
            ["models", "error", "ltx-9: has no manifest", "ltx-2.3-tiny"],
        ),
        broken(
            "a model that was not fetched",
            SetUp::sound().with("--model=ltx-2.3-distilled"),
            ["models", "error", "not on this machine", "ltxd pull ltx-2.3-distilled"],
        ),
        broken(
            "no folder of manifests",
            SetUp::sound().with("--models-dir=/nonexistent"),
            ["models", "error", "/nonexistent", "models_dir"],
        ),
        broken(
            "half a model",
            SetUp::sound().copied_model(|models| {
                let path = models.join(checkpoint);
                let bytes = fs::metadata(&path).unwrap().len();
                File::options().write(true).open(&path).unwrap().set_len(bytes / 2).unwrap();
            }),
            ["models", "error", checkpoint, "fetch it anew"],
        ),
        broken(
            "no model in its file",
            SetUp::sound().copied_model(|models| fs::write(models.join(checkpoint), b"<html>").unwrap()),
            ["models", "error", checkpoint, "fetch it anew"],
        ),
        broken(
            "a manifest that is none",
            SetUp::sound().copied_model(|models| fs::write(models.join(manifest), b"name = ").unwrap()),
            ["models", "error", "not a valid model manifest", "correct the one"],
        ),
        broken(
            "a model for all to write",
            SetUp::sound().copied_model(|models| allow(&models.join(checkpoint), 0o666)),
            ["models", "warning", "anybody here may change it", "chmod o-w"],
        ),
    ];
    let mut amiss = Vec::new();
    for Broken { name, set_up, check, severity, what, remedy } in &all {
        let code = if *severity == "error" { FAILED } else { DONE };
        let ended = set_up.examined();
        let told = ended.json();
        let found = wrong(&told);
        let named = found.iter().any(|[at, how, told, todo]| {
            at == check && how == severity && told.contains(what) && todo.contains(remedy)
        });
        let errors = found.iter().filter(|[_, how, ..]| how == "error").count();
        // What is right must not be called wrong beside it.
        let alone = errors == usize::from(code == FAILED) && told["errors"] == errors;
        if !named || !alone || ended.code != Some(code) {
            amiss.push(format!("{name}: {:?}, {found:#?}", ended.code));
        }
    }
    assert!(amiss.is_empty(), "{}", amiss.join("\n"));
}

#[test]
fn a_narrower_level_is_noticed() {
    let widest = run(ltxd(&["doctor", "--json"])).json();
    let fine = widest["findings"][0]["severity"] == "fine";
    let set_up = SetUp::sound().with("--cpu-level=portable");
    let told = set_up.examined().with(DONE).json();
    assert_eq!(told["findings"][0]["check"], "processor");
    assert_eq!(told["findings"][0]["severity"], "warning");
    assert_eq!(told["findings"][0]["what"].as_str().unwrap().contains("is asked for"), fine);
}

#[test]
fn a_node_that_runs_is_no_fault() {
    let node = crate::support::node::Node::start(&[]);
    let address = node.address().trim_start_matches("http://").to_owned();
    let data = format!("--data-dir={}", text(&node.folder().join("data")));
    let set_up = SetUp::sound().with(data).with(format!("--listen={address}"));
    let told = set_up.examined().with(DONE).json();
    let whats: Vec<_> =
        told["findings"].as_array().unwrap().iter().map(|finding| finding["what"].to_string()).collect();
    assert!(whats.iter().any(|what| what.contains("in use, as a node runs in the data folder")), "{whats:?}");
    assert!(whats.iter().any(|what| what.contains("; a node runs in it")), "{whats:?}");
}
