//! Readers that have gone (`ltxd inspect FILE | head -1`): a command whose standard output nobody reads ends quietly, as Unix tools do;
//! what is said beside the work on standard error ends nothing.
//!
//! Must not know what a command prints.

use crate::support::{
    command::{DONE, FAILED, LTXD, NOT_READ, answered, ltxd, probed},
    files::{checkpoint, gemma, models, repository, scratch, text},
    node::Node,
    process::Guarded,
    request::good,
};
use nix::sys::signal::Signal::SIGTERM;
use serde_json::Value;
use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Command, Stdio},
};

/// The end of a pipe whose reader has gone.
fn nobody() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    Stdio::from(writer)
}

/// What a command exits with, and what it says on standard error, where its output goes there.
fn written_to(output: Stdio, mut command: Command) -> (Option<i32>, String) {
    let child = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn().expect("the binary");
    let ended = child.wait_with_output().expect("it ends");
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

/// Commands that print and need no node.
fn printing(folder: &Path) -> Vec<Vec<String>> {
    let out = |name: &str| text(&folder.join(name));
    let (file, models) = (checkpoint(), format!("--models-dir={}", models()));
    let case = text(&repository("crates/ltx-testkit/data/i2v_distilled"));
    let data = format!("--data-dir={}", out("data"));
    let plan = ["inspect", "--plan", "--width=128", "--height=96", "--frames=9", &file, &gemma()].map(str::to_owned);
    let made = good().with("out", out("clip.mp4")).words();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        words(&["inspect", &file]),
        words(&["inspect", "--json", &file]),
        plan.to_vec(),
        [&plan[..], &words(&["--json"])].concat(),
        words(&["models", &models]),
        words(&["models", "--json", &models]),
        words(&["config", "print", &data]),
        words(&["config", "check", &data, &models, "--model=ltx-2.3-tiny"]),
        words(&["doctor", "--json", &data, &models, "--model=ltx-2.3-tiny"]),
        words(&["doctor", &data, &models, "--model=ltx-2.3-tiny"]),
        words(&["selftest", &case]),
        words(&["quantize", &file, &out("table.gguf"), "--type=q8_0"]),
        words(&["quantize", &file, &out("json.gguf"), "--type=q8_0", "--json"]),
        [made, words(&["--json"])].concat(),
    ]
}

#[test]
fn a_command_ends_quietly_when_nobody_reads_its_output() {
    let folder = scratch();
    for words in printing(folder.path()) {
        let (code, said) = written_to(nobody(), ltxd(&words));
        assert_eq!(code, Some(NOT_READ), "{words:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("ltxd:"), "{words:?}: {said}");
    }
    for whole in ["table.gguf", "json.gguf", "clip.mp4"] {
        assert!(fs::metadata(folder.path().join(whole)).is_ok_and(|file| file.len() > 0), "{whole} was made before");
    }
    let node = Node::start(&[]);
    for words in [&["node"][..], &["node", "--json"], &["health"]] {
        let (code, said) = answered(|| written_to(nobody(), node.client(words)));
        assert_eq!((code, said.as_str()), (Some(NOT_READ), ""), "{words:?}");
    }
    node.stop();
}

#[test]
fn output_that_cannot_be_written_is_an_error_that_says_so() {
    let full = File::options().write(true).open("/dev/full").expect("a device that is full");
    let (code, said) = written_to(full.into(), ltxd(&["inspect", &checkpoint()]));
    assert_eq!(code, Some(FAILED));
    assert!(
        said.contains("ltxd: standard output cannot be written: No space left") && !said.contains("panicked"),
        "{said}"
    );
}

#[test]
fn a_clip_is_finished_though_nobody_reads_what_is_said_beside_it() {
    let folder = scratch();
    let out = folder.path().join("clip.mp4");
    let ended = ltxd(&good().with("out", text(&out)).words()).stdout(Stdio::null()).stderr(nobody()).status().unwrap();
    assert_eq!(ended.code(), Some(DONE));
    assert!(fs::metadata(&out).unwrap().len() > 0);
    // Errors are said on it too.
    let refused = ltxd(&["inspect", "/nowhere"]).stdout(Stdio::null()).stderr(nobody()).status().unwrap();
    assert_eq!(refused.code(), Some(FAILED));
}

#[test]
fn a_node_serves_though_nobody_reads_its_log() {
    let folder = scratch();
    let [data, ready] = ["data", "ready.json"].map(|name| folder.path().join(name));
    let mut command = Command::new(LTXD);
    command.args(["serve", "--listen=127.0.0.1:0", "--model=ltx-2.3-tiny"]).arg(format!("--models-dir={}", models()));
    command.arg(format!("--data-dir={}", text(&data))).arg(format!("--ready-file={}", text(&ready)));
    let node = Guarded::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(nobody()));
    node.wait_until("it serves", |_| ready.exists());
    let ready: Value = serde_json::from_slice(&fs::read(&ready).unwrap()).unwrap();
    let server = format!("--server=http://{}", ready["listen"].as_str().expect("an address"));
    probed(&["health", &server]).with(DONE);
    node.signal(SIGTERM);
    assert_eq!(node.finish().code, Some(DONE));
}
