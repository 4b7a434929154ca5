//! Has the crate compiled again when the page's bundle changes, files that are added or removed included.
//!
//! Must not know what is in it.

fn main() {
    println!("cargo::rerun-if-changed=../../web/dist");
}
