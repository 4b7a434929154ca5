//! A NATS server on loopback.
//!
//! Must not know what is kept in it.

use crate::{Guarded, fake::eventually};
use serde::Deserialize;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// A NATS server with a folder of its own, which ends with the test.
#[derive(Debug)]
pub struct Nats {
    /// Dropped before its folder.
    child: Guarded,
    folder: tempfile::TempDir,
    /// Where clients reach it.
    pub address: String,
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl Nats {
    /// One with nothing configured.
    pub fn start() -> Self {
        Self::with("")
    }

    /// One that is configured so.
    pub fn with(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("configuration"), configuration).unwrap();
        let child = server(folder.path(), "-1");
        let file = folder.path().join(format!("nats-server_{}.ports", child.id()));
        let mut address = None;
        eventually("the NATS server says where it listens", || {
            let ports = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Ports>(&bytes).ok());
            address = ports.and_then(|ports| ports.nats.into_iter().next());
            address.is_some()
        });
        Self { child, folder, address: address.unwrap() }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Keeps what is there now, beside it.
    pub fn back_up(&self) {
        let (from, to) = (self.folder.path().join("jetstream"), self.folder.path().join("backup"));
        assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
    }

    /// What was kept is all that is there.
    pub fn restore(&self) {
        let (from, to) = (self.folder.path().join("backup"), self.folder.path().join("jetstream"));
        fs::remove_dir_all(&to).unwrap();
        fs::rename(from, to).unwrap();
    }

    /// On the same port and folder again.
    pub fn restart(&mut self) {
        let port = self.address.rsplit(':').next().unwrap().to_owned();
        self.child = server(self.folder.path(), &port);
    }
}

fn server(folder: &Path, port: &str) -> Guarded {
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(folder.join("configuration")).args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"]).arg(folder);
    command.arg("--ports_file_dir").arg(folder);
    command.arg("-l").arg(folder.join("log")).stdout(Stdio::null()).stderr(Stdio::null());
    Guarded(command.spawn().unwrap_or_else(|error| panic!("nats-server (scripts/install-deps installs it): {error}")))
}
