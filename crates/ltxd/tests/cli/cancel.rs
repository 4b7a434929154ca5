//! Ctrl-C in every stage of a longer run: exit code 130, soon, and where the output should go nothing but what was there.
//!
//! Must not know how a stage is cancelled. A stage is told by the line that ends the one before it, by a bar that counts its
//! steps, or by what it has written.

use crate::support::{
    command::{CANCELLED, ltxd},
    files::{OLD, contents, paths_in, scratch},
    process::{Finished, Guarded, Running},
    request::{Request, good},
    terminal::Terminal,
};
use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};
use std::{fs, path::Path, process::Command, time::Duration};
use test_case::test_case;

/// Processor time from the signal to the end, at most: what other processes do does not count.
const SOON: Duration = Duration::from_secs(10);

/// A run of some seconds over an earlier clip.
struct Long {
    folder: tempfile::TempDir,
    command: Command,
}

fn longer() -> Request {
    good().with("width", 512).with("height", 384).with("frames", 121)
}

fn guided() -> Request {
    longer().with("schedule", "guided").with("steps", 30)
}

fn two_stages() -> Request {
    longer().with("stages", 2)
}

fn long(request: &Request) -> Long {
    let folder = scratch();
    fs::write(folder.path().join("clip.mp4"), OLD).unwrap();
    let out = folder.path().to_str().unwrap();
    let words: Vec<String> = request.words().iter().map(|word| word.replace("{out}", out)).collect();
    Long { command: ltxd(&words), folder }
}

/// Sends the signal; the processor time that was used until then.
fn stop(process: &Guarded, signal: Signal) -> Duration {
    // Before it handles signals there is nothing to cancel, and nothing was written.
    process.wait_until("it handled signals", |process| process.handles(signal));
    let cpu = process.cpu();
    process.signal(signal);
    cpu
}

fn assert_cancelled(folder: &Path, before: Duration, (finished, said): (Finished, Vec<String>)) {
    let all = said.join("\n");
    assert_eq!(finished.code, Some(CANCELLED), "{all}");
    let took = finished.cpu.saturating_sub(before);
    assert!(took < SOON, "took {took:?} of processor time to stop");
    assert!(!all.contains("panicked"), "{all}");
    assert!(said.last().is_some_and(|line| line.to_lowercase().contains("cancel")), "{all}");
    let left = contents(folder);
    assert_eq!(left.keys().collect::<Vec<_>>(), ["clip.mp4"]);
    assert_eq!(left["clip.mp4"].as_deref(), Some(OLD), "the earlier clip is gone");
}

#[test_case(longer(), "image_to_video: "; "as it begins")]
#[test_case(longer(), "text "; "encoding the images")]
#[test_case(two_stages(), "denoising "; "upsampling or refining")]
fn after_a_line(request: Request, line: &str) {
    let Long { folder, command } = long(&request);
    let mut running = Running::telling(command);
    running.await_line(line);
    let before = stop(&running.process, SIGINT);
    assert_cancelled(folder.path(), before, running.finish());
}

#[test_case(longer(), "denoising", SIGINT; "denoising")]
#[test_case(guided(), "denoising", SIGINT; "denoising with guidance")]
#[test_case(two_stages(), "refining", SIGINT; "refining")]
#[test_case(longer(), "denoising", SIGTERM; "denoising with sigterm")]
fn between_two_steps(request: Request, stage: &str, signal: Signal) {
    let Long { folder, command } = long(&request);
    let terminal = Terminal::start(command);
    terminal.await_shown(&format!(r"{stage} .* [1-9]\d*/\d+"));
    let before = stop(&terminal.process, signal);
    assert_cancelled(folder.path(), before, terminal.finish());
}

#[test]
fn while_decoded_frames_are_written() {
    let Long { folder, command } = long(&longer().with("frames-dir", "{out}/frames"));
    let running = Running::telling(command);
    running.process.wait_until("a frame was written", |_| {
        let hidden = paths_in(folder.path()).into_iter().filter(|path| path.is_dir());
        hidden.flat_map(|hidden| paths_in(&hidden)).next().is_some()
    });
    let before = stop(&running.process, SIGINT);
    assert_cancelled(folder.path(), before, running.finish());
}
