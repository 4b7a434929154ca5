//! Running the binary to its end: what it exits with and what it says.
//!
//! Must not know what a command is for.

use serde_json::Value;
use std::{
    fmt::Debug,
    process::Command,
    time::{Duration, Instant},
};

/// Exit codes, as `ltxd --help` lists them.
pub(crate) const DONE: i32 = 0;
pub(crate) const FAILED: i32 = 1;
pub(crate) const BAD_INPUT: i32 = 2;
pub(crate) const REFUSED: i32 = 3;
pub(crate) const NOT_FOUND: i32 = 5;
pub(crate) const UNREACHABLE: i32 = 69;
pub(crate) const CANCELLED: i32 = 130;
pub(crate) const NOT_READ: i32 = 141;

/// After this long a command hangs. No test measures by it.
pub(crate) const HUNG: Duration = Duration::from_secs(600);

/// The binary under test.
pub(crate) const LTXD: &str = env!("CARGO_BIN_EXE_ltxd");

/// A command of the binary, free of the caller's settings.
pub(crate) fn ltxd<S: AsRef<str>>(words: &[S]) -> Command {
    under(&[], words)
}

/// A command of the binary, started by another program that is given its path and its words.
pub(crate) fn under<S: AsRef<str>>(program: &[String], words: &[S]) -> Command {
    let mut all = [program, &[LTXD.to_owned()]].concat();
    // A request that leaves open where its clip goes is one that makes none; the folder has to be there all the same.
    let folder = std::env::temp_dir().display().to_string();
    all.extend(words.iter().map(|word| word.as_ref().replace("{out}", &folder)));
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("LTXD_") || name.starts_with("RAYON_")) {
            command.env_remove(name);
        }
    }
    // Nothing that an earlier run has kept may spare this one work.
    command.env("LTXD_NO_CACHE", "true");
    // Bytes are compared, and signatures draw salts; tests of signatures ask for them.
    command.env("LTXD_PROVENANCE_MODE", "off");
    // What the machine's user has fetched must not count.
    for name in ["HF_HUB_CACHE", "XDG_DATA_HOME"] {
        command.env(name, "/nonexistent");
    }
    command
}

/// What a command that has ended left to be read.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Nothing where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Ended {
    let output = assert_cmd::Command::from_std(command).timeout(HUNG).output();
    let output = output.unwrap_or_else(|error| panic!("the command cannot be run, or hangs: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The exit code of a probe, and what it left. One that a busy machine did not answer within the probe's own time is sent again.
pub(crate) fn answered<T: Debug>(probe: impl Fn() -> (Option<i32>, T)) -> (Option<i32>, T) {
    let began = Instant::now();
    loop {
        let (code, left) = probe();
        if code != Some(UNREACHABLE) {
            return (code, left);
        }
        assert!(began.elapsed() < HUNG, "the node never answered the probe: {left:?}");
    }
}

/// A probe, run to its end.
pub(crate) fn probed<S: AsRef<str>>(words: &[S]) -> Ended {
    let probe = || {
        let ended = run(ltxd(words));
        (ended.code, ended)
    };
    answered(probe).1
}

impl Ended {
    /// Itself; fails where it did not exit with this code.
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.said());
        self
    }

    /// Everything it said.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// What it printed as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.said()))
    }

    /// What it printed as a JSON value a line.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let value = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(value).collect()
    }
}
