//! The fake's log: which steps were begun and ended, in which order, over all lives of a node.
//!
//! Must not know who wrote it.

use std::{collections::HashSet, path::Path};

/// What a log tells about the steps of each seed.
#[derive(Debug, Clone, Default)]
pub struct StepLog {
    lines: Vec<(String, u64, String)>,
}

impl StepLog {
    /// Reads a log; one that is not there is empty.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let (what, seed) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            Some((what, seed, words.next().unwrap_or_default().to_owned()))
        };
        Self { lines: text.lines().filter_map(line).collect() }
    }

    /// Lines so far.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing was logged.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Seeds that were started after the first `skip` lines.
    pub fn started_after(&self, skip: usize) -> Vec<u64> {
        self.lines.iter().skip(skip).filter(|line| line.0 == "start").map(|line| line.1).collect()
    }

    /// Steps that were begun more often than once: how many times too often, all seeds together.
    pub fn repeated(&self) -> usize {
        let begun: Vec<_> = self.lines.iter().filter(|line| line.0 == "begin").map(|line| (line.1, &line.2)).collect();
        let different: HashSet<_> = begun.iter().collect();
        begun.len() - different.len()
    }

    /// Steps that were ended, and so saved, and begun again all the same. Always 0 when saving works.
    pub fn repeated_after_saving(&self) -> usize {
        let mut ended = HashSet::new();
        let mut wrong = 0;
        for (what, seed, step) in &self.lines {
            match what.as_str() {
                "end" => drop(ended.insert((seed, step))),
                "begin" if ended.contains(&(seed, step)) => wrong += 1,
                _ => {}
            }
        }
        wrong
    }
}
