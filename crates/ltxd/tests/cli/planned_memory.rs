//! What a plan says of memory against what a run takes at its peak: of a command and of a node, whose process is another. Ratios
//! alone are judged; each run is a process of its own.
//!
//! Must not know what is counted.

use crate::support::{
    command::{DONE, ltxd, run},
    files::scratch,
    node::Node,
    request::good,
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

#[test]
fn a_command_takes_what_it_plans() {
    let folder = scratch();
    for size @ [width, height, frames] in SIZES {
        let request = good().with("width", width).with("height", height).with("frames", frames);
        let request = request.with("out", folder.path().join("clip.mp4").display());
        let mut words = request.words();
        words.push("--json".to_owned());
        let summary = run(ltxd(&words)).with(DONE).json();
        judge("generate", size, &summary["planned_peak_bytes"], &summary["peak_rss_bytes"]);
    }
}

#[test]
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
