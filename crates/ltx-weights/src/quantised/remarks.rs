//! What is said of a file's scales that were taken as their shape says, where nothing states it: once for every way, with the first
//! layer and how many there are.
//!
//! Must not know how scales are read.

use std::collections::BTreeMap;

/// A file's remarks: the first tensor of scales of each, its shape, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Remarks(BTreeMap<String, (String, usize)>);

impl Remarks {
    /// A format whose name and statement do not say what shares a scale.
    pub(super) fn by_shape(&mut self, format: &str, scales: (&str, &[usize])) {
        self.add(
            format!("{format} is stated, which has one scale for all values; others are taken as their shape says"),
            scales,
        );
    }

    /// A format of ComfyUI's whose scales are not in the order in which it writes them.
    pub(super) fn not_in_tiles(&mut self, format: &str, scales: (&str, &[usize])) {
        self.add(
            format!("{format} is stated, whose scales lie in tiles; these have no shape of tiles and are taken row after row"),
            scales,
        );
    }

    /// Scales whose shape allows two orders, in a file that does not state a format.
    pub(super) fn in_either_order(&mut self, format: &str, scales: (&str, &[usize])) {
        self.add(
            format!(
                "no format is stated, and scales of {format} have shapes that may be tiles or not; they are taken row after row"
            ),
            scales,
        );
    }

    fn add(&mut self, what: String, (key, shape): (&str, &[usize])) {
        let first = || (format!("{key} of shape {shape:?}"), 0);
        self.0.entry(what).or_insert_with(first).1 += 1;
    }

    /// All of them.
    pub(super) fn said(self) -> Vec<String> {
        self.0.into_iter().map(|(what, (first, count))| format!("{what}: {first} ({count} in all)")).collect()
    }
}
