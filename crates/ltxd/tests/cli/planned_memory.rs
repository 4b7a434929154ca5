//! What a plan says of memory: it grows with the clip and is told beside what was measured. And for the campaign, what a run takes at
//! its peak against it, of a command and of a node, whose process is another; ratios alone are judged, each run is a process of its
//! own. Resident memory is the machine's as well, so that belongs to one with nothing else to do:
//!
//!     cargo test --release -p ltxd --test cli planned_memory -- --ignored --test-threads=1
//!
//! `scripts/measure/check-plan` is its long form. Must not know what is counted.

use crate::support::{
    command::{DONE, ltxd, run},
    files::{repository, scratch},
    node::Node,
    request::{Request, good},
};
use serde_json::Value;

/// Width, height and frames.
const SIZES: [[usize; 3]; 3] = [[256, 256, 17], [384, 256, 33], [512, 384, 33]];

/// Measured over planned, at least. On the machine that the plan was fitted on it is 0.88 to 0.98; kernels of other processors take
/// other scratch memory.
const LEAST: f64 = 0.7;
/// At most: without the video encoder in the plan it was 1.14 and more.
const MOST: f64 = 1.1;

fn judge(what: &str, size: [usize; 3], planned: &Value, measured: &Value) {
    let [planned, measured] = [planned, measured].map(|bytes| bytes.as_f64().expect("bytes"));
    let ratio = measured / planned;
    println!("{what}, {size:?}: {:.1} MB planned, {:.1} MB measured, {ratio:.3}", planned / 1e6, measured / 1e6);
    assert!((LEAST..=MOST).contains(&ratio), "{what}, {size:?}: {planned} planned, {measured} measured, {ratio:.3}");
}

/// What `generate --json` says of a clip of this size.
fn generated(size: [usize; 3]) -> Value {
    generated_of(good(), size)
}

fn generated_of(request: Request, [width, height, frames]: [usize; 3]) -> Value {
    let folder = scratch();
    let request = request.with("width", width).with("height", height).with("frames", frames);
    let request = request.with("out", folder.path().join("clip.mp4").display());
    let mut words = request.words();
    words.push("--json".to_owned());
    run(ltxd(&words)).with(DONE).json()
}

#[test]
fn a_larger_clip_is_planned_to_take_more_and_what_it_took_is_told() {
    let told = SIZES.map(generated);
    let planned = told.each_ref().map(|summary| summary["planned_peak_bytes"].as_u64().expect("bytes"));
    assert!(planned.is_sorted_by(|less, more| less < more), "{planned:?}");
    for summary in &told {
        assert!(summary["peak_rss_bytes"].as_u64() > Some(0), "{summary}");
    }
}

#[test]
#[ignore = "resident memory against a plan: for a machine with nothing else to do; how, above"]
fn a_command_takes_what_it_plans() {
    for size in SIZES {
        let summary = generated(size);
        judge("generate", size, &summary["planned_peak_bytes"], &summary["peak_rss_bytes"]);
    }
}

/// LTX-2.5 with the decoder that draws frames.
#[test]
#[ignore = "resident memory against a plan: for a machine with nothing else to do; how, above"]
fn a_decoder_that_draws_frames_takes_what_is_planned() {
    let file = |name: &str| repository(&format!("models/tiny-2.5/{name}.safetensors")).display().to_string();
    let request = good().without("models-dir").with("model", file("ltx-2.5-tiny-transformer"));
    let request = request.with("component", file("ltx-2.5-tiny-video-vae"));
    let request = request.with("text-encoder", file("gemma4-tiny-with-proj")).with("schedule", "distilled");
    for size in SIZES {
        let summary = generated_of(request.clone(), size);
        judge("a drawn clip", size, &summary["planned_peak_bytes"], &summary["peak_rss_bytes"]);
    }
}

#[test]
#[ignore = "resident memory against a plan: for a machine with nothing else to do; how, above"]
fn a_node_takes_what_it_plans() {
    for size in SIZES {
        // A node for each: its peak is that of all it has done.
        let node = Node::start(&[]);
        let [width, height, frames] = size.map(|count| count.to_string());
        let shape = ["--width", &width, "--height", &height, "--frames", &frames];
        node.submit(&[&["--prompt", "A calm lake at sunrise.", "--wait"][..], &shape].concat());
        let listed = node.ask(&["list"]);
        let generation = &listed[0];
        let [planned, measured] = ["predicted", "measured"].map(|which| &generation[which]["peak_memory_bytes"]);
        judge("a node", size, planned, measured);
        node.stop();
    }
}
