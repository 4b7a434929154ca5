//! The client commands against a node, as a person or a script uses them.
//!
//! Must not know what other clients than this binary are told; they have tests of their own.

mod deleting;
mod following;
mod images;
mod lists;
mod loras;
mod node;
mod verdicts;

/// A clip of a moment.
const SMALL: [&str; 8] = ["--prompt", "A heron.", "--width", "64", "--height", "64", "--frames", "9"];
