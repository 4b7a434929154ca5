//! How a node is started by a program: a port that was free, a file once it serves, probes, faults that a test of a client asks for.
//!
//! Must not know clients beyond the commands.

use crate::support::{
    command::{BAD_INPUT, DONE, FAILED, LTXD, UNREACHABLE, ltxd, probed, run},
    files::{models, scratch, start_picture, text},
    node::Node,
    process::Running,
};
use serde_json::Value;
use std::{fs, path::Path};

fn serve(folder: &Path, more: &[&str]) -> Running {
    telling(folder, &folder.join("ready.json"), more)
}

/// The same with a ready file elsewhere.
fn telling(folder: &Path, ready: &Path, more: &[&str]) -> Running {
    let data = format!("--data-dir={}", text(&folder.join("data")));
    let models = format!("--models-dir={}", models());
    let ready = format!("--ready-file={}", text(ready));
    let own = ["serve", &data, &models, "--model=ltx-2.3-tiny", "--listen=127.0.0.1:0", &ready];
    Running::telling(ltxd(&[&own[..], more].concat()))
}

/// What the file says, once it is there.
fn ready(running: &Running, folder: &Path) -> Value {
    let file = folder.join("ready.json");
    running.process.wait_until("the node is ready", |_| file.exists());
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn the_ready_file_says_where_it_serves() {
    let folder = scratch();
    fs::write(folder.path().join("ready.json"), "{\"listen\": \"an earlier start\"}").unwrap();
    let mut running = serve(folder.path(), &["--metrics-listen=127.0.0.1:0"]);
    let line = running.await_line("listening on ");
    running.await_line("ready models=");
    let told = ready(&running, folder.path());
    let address = told["listen"].as_str().unwrap();
    assert!(line.ends_with(&format!("listening on {address}")), "{line}");
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
    assert!(told["metrics_listen"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!((&told["tls"], &told["testing"]), (&false.into(), &false.into()));
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert!(told["pid"].as_u64().unwrap() > 1 && told["node_id"].as_str().unwrap().starts_with("node-"));
    let server = format!("--server=http://{address}");
    for words in [&["health", &server][..], &["health", "--live", &server]] {
        assert_eq!(probed(words).with(DONE).out.trim(), "serving");
    }
    running.process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.finish().0.code, Some(DONE));
    run(ltxd(&["health", &server])).with(UNREACHABLE);
}

#[test]
fn a_second_node_leaves_the_ready_file_of_the_first() {
    let folder = scratch();
    let first = serve(folder.path(), &[]);
    let told = ready(&first, folder.path());
    let (second, said) = serve(folder.path(), &[]).finish();
    assert_eq!(second.code, Some(FAILED));
    assert!(said.iter().any(|line| line.contains("another node")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("ready models=")), "{said:?}");
    let after = fs::read(folder.path().join("ready.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&after).unwrap(), told);
    let server = format!("--server=http://{}", told["listen"].as_str().unwrap());
    assert_eq!(probed(&["health", &server]).with(DONE).out.trim(), "serving");
}

#[test]
fn a_ready_file_that_cannot_be_written_is_said_before_anything_is_done() {
    let folder = scratch();
    fs::create_dir(folder.path().join("folder")).unwrap();
    for (name, why) in [("nowhere/ready.json", "No such file or directory"), ("folder", "it is a folder")] {
        let file = folder.path().join(name);
        let (ended, said) = telling(folder.path(), &file, &[]).finish();
        assert_eq!(ended.code, Some(BAD_INPUT), "{said:?}");
        let told = format!("--ready-file {}: cannot be written: {why}", file.display());
        assert!(said.iter().any(|line| line.contains(&told)), "{said:?}");
        assert!(!said.iter().any(|line| line.contains("listening on")), "{said:?}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["folder"], "no data folder, and nothing hidden");
}

#[test]
fn a_ready_file_may_lie_in_a_data_folder_that_is_still_to_be_made() {
    let folder = scratch();
    let file = folder.path().join("data/ready.json");
    let running = telling(folder.path(), &file, &[]);
    running.process.wait_until("the node is ready", |_| file.exists());
}

#[test]
fn a_node_that_does_not_start_leaves_the_data_folder_as_it_was() {
    let folder = scratch();
    let start = || telling(folder.path(), &folder.path().join("ready.json"), &["--model=ltx-9-tiny"]).finish();
    let data = folder.path().join("data");
    for is_there in [false, true] {
        let (ended, said) = start();
        assert_eq!(ended.code, Some(BAD_INPUT), "{said:?}");
        assert_eq!(data.exists(), is_there, "{said:?}");
        fs::create_dir_all(&data).unwrap();
    }
}

#[test]
fn faults_need_testing_enabled() {
    let folder = scratch();
    let running = serve(folder.path(), &["--set=testing.fail_at_step=3"]);
    let (finished, said) = running.finish();
    assert_eq!(finished.code, Some(BAD_INPUT));
    let told = "the command line: testing.fail_at_step = 3: is a fault for tests of clients, which needs testing.enabled = true";
    assert!(said.iter().any(|line| line.contains(told)), "{said:?}");
    assert!(!folder.path().join("ready.json").exists());
}

#[test]
fn a_node_is_ended_at_a_step_and_goes_on_when_it_is_started_again() {
    let folder = scratch();
    let flags = ["--set=testing.enabled=true", "--set=testing.restart_at_step=3"];
    let mut running = serve(folder.path(), &flags);
    running.await_line("testing.enabled: this node makes faults");
    let told = ready(&running, folder.path());
    assert_eq!(told["testing"], true);
    let server = format!("--server={}", told["listen"].as_str().map(|address| format!("http://{address}")).unwrap());
    let picture = start_picture();
    let asked = ["submit", "--request-id=once", "--image", &picture, "--prompt", "A wave.", "--steps", "8"];
    let submit = |server: &str| run(ltxd(&[&asked[..], &[server]].concat()));
    // Its answer may be lost with the node: the same request after the restart has the same generation.
    submit(&server);
    assert_eq!(running.finish().0.code, None, "a signal ended it");
    fs::remove_file(folder.path().join("ready.json")).unwrap();

    let running = serve(folder.path(), &flags);
    let told = ready(&running, folder.path());
    let server = format!("--server=http://{}", told["listen"].as_str().unwrap());
    let submitted = submit(&server).with(DONE);
    let id = submitted.out.trim();
    run(ltxd(&["watch", id, &server])).with(DONE);
    let done = run(ltxd(&["get", id, "--json", &server])).with(DONE).json();
    assert_eq!(
        (&done["state"], &done["resumptions"], &done["mark"]["testing"]),
        (&"done".into(), &1.into(), &true.into())
    );
}

#[test]
fn a_node_for_tests_shows_its_faults() {
    let node = Node::start(&["testing.enabled=true", "testing.slow_steps_ms=1"]);
    let told = node.ask(&["node"]).remove(0);
    assert_eq!(told["testing"]["faults"][0], "slow-steps-ms=1");
    let spoken = node.run(&["node"], DONE).out;
    assert!(spoken.contains("makes faults on purpose; by its configuration: slow-steps-ms=1"), "{spoken}");
    assert_eq!(Node::start(&[]).ask(&["node"]).remove(0)["testing"], Value::Null);
}

#[test]
fn an_installed_binary_finds_its_models() {
    let prefix = scratch();
    let at = |path: &str| prefix.path().join(path);
    for folder in ["bin", "share/ltxd", "elsewhere"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    fs::copy(LTXD, at("bin/ltxd")).unwrap();
    std::os::unix::fs::symlink(models(), at("share/ltxd/models")).unwrap();
    let installed = |words: &[&str]| {
        let command = ltxd(words);
        let mut moved = std::process::Command::new(at("bin/ltxd"));
        moved.args(command.get_args()).current_dir(at("elsewhere"));
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => moved.env(name, value),
                None => moved.env_remove(name),
            };
        }
        run(moved).with(DONE)
    };
    let told = installed(&["models", "--json"]).json();
    assert!(told["folder"].as_str().unwrap().ends_with("share/ltxd/models"), "{}", told["folder"]);
    let checked = installed(&["config", "check", "--data-dir", "data", "--model", "ltx-2.3-tiny"]).out;
    assert!(checked.contains("the configuration is good: ltx-2.3-tiny"), "{checked}");
}
