//! Ctrl-C in every stage of a long run: exit code 130, within a few steps of a thousand, and where the output should go nothing but
//! what was there.
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
use nix::sys::signal::Signal::{self, SIGCONT, SIGINT, SIGTERM};
use regex::Regex;
use std::{fs, path::Path, process::Command};
use test_case::test_case;

/// Steps of the stage that is stopped: it would take minutes.
const STEPS: usize = 1000;
/// Steps that a bar may count behind those that it showed when the signal was sent: the one that is under way, and on a machine for
/// which a step is a moment those since the bar was drawn last.
const BEHIND: usize = 200;

/// A run of minutes over an earlier clip.
struct Long {
    folder: tempfile::TempDir,
    command: Command,
}

fn large() -> Request {
    good().with("width", 512).with("height", 384).with("frames", 121)
}

fn longer() -> Request {
    large().with("sigmas", falling_from(1.0))
}

fn guided() -> Request {
    large().with("schedule", "guided").with("steps", STEPS)
}

fn two_stages() -> Request {
    large().with("stages", 2).with("refine-sigmas", falling_from(0.9))
}

/// A schedule of so many steps.
fn falling_from(first: f64) -> String {
    let sigma = |left: usize| format!("{}", first * left as f64 / STEPS as f64);
    (0..=STEPS).rev().map(sigma).collect::<Vec<_>>().join(",")
}

fn long(request: &Request) -> Long {
    let folder = scratch();
    fs::write(folder.path().join("clip.mp4"), OLD).unwrap();
    let out = folder.path().to_str().unwrap();
    let words: Vec<String> = request.words().iter().map(|word| word.replace("{out}", out)).collect();
    Long { command: ltxd(&words), folder }
}

/// Before it handles signals there is nothing to cancel, and nothing was written.
fn await_handler(process: &Guarded, signal: Signal) {
    process.wait_until("it handled signals", |process| process.handles(signal));
}

fn stop(process: &Guarded, signal: Signal) {
    await_handler(process, signal);
    process.signal(signal);
}

fn assert_cancelled(folder: &Path, finished: &Finished, said: &[String]) {
    let all = said.join("\n");
    assert_eq!(finished.code, Some(CANCELLED), "{all}");
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
    // Not the line of that name in the plan's table.
    while !running.await_line(line).contains(" of ") {}
    stop(&running.process, SIGINT);
    let (finished, said) = running.finish();
    assert_cancelled(folder.path(), &finished, &said);
}

#[test_case(longer(), "denoising", SIGINT; "denoising")]
#[test_case(guided(), "denoising", SIGINT; "denoising with guidance")]
#[test_case(two_stages(), "refining", SIGINT; "refining")]
#[test_case(longer(), "denoising", SIGTERM; "denoising with sigterm")]
fn between_two_steps(request: Request, stage: &str, signal: Signal) {
    let Long { folder, command } = long(&request);
    let terminal = Terminal::start(command);
    let bar = format!(r"{stage} .* ([1-9]\d*)/{STEPS}\b");
    terminal.await_shown(&bar);
    await_handler(&terminal.process, signal);
    let before = last_step(&bar, &terminal.halt());
    terminal.process.signal(signal);
    terminal.process.signal(SIGCONT);
    let (finished, said) = terminal.finish();
    assert_cancelled(folder.path(), &finished, &said);
    let last = last_step(&bar, &said);
    assert!(last <= before + BEHIND && last < STEPS, "{before} steps when it was told to stop, {last} at the end");
}

/// The last step that a bar has shown.
fn last_step(bar: &str, shown: &[String]) -> usize {
    let bar = Regex::new(bar).expect("a pattern");
    let steps = shown.iter().filter_map(|part| bar.captures(part)?.get(1)?.as_str().parse().ok());
    steps.max().expect("it has shown a step")
}

#[test]
fn while_decoded_frames_are_written() {
    // Twice the frames of the others: it is far from its end when the first is there.
    let Long { folder, command } = long(&large().with("frames", 241).with("frames-dir", "{out}/frames"));
    let running = Running::telling(command);
    running.process.wait_until("a frame was written", |_| {
        let hidden = paths_in(folder.path()).into_iter().filter(|path| path.is_dir());
        hidden.flat_map(|hidden| paths_in(&hidden)).next().is_some()
    });
    stop(&running.process, SIGINT);
    let (finished, said) = running.finish();
    assert_cancelled(folder.path(), &finished, &said);
}
