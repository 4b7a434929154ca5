//! One command on one kind of input, and the judgement of it.
//!
//! Must not know the kinds.

use crate::support::{
    command::{DONE, Ended, ltxd, run},
    files::{OLD, contents, scratch, text},
    request::Request,
    spoilt,
};
use regex::Regex;
use std::{fs, path::Path, process::Command};

/// A regular expression for the weight that is spoilt, and for its name where it has another.
pub(super) const KEY: &str = r"model\.diffusion_model\.transformer_blocks\.1\.attn1\.to_q\.weight";
pub(super) const RENAMED: &str = r"model\.diffusion_model\.transformer_blocks\.1\.attn1\.to_queries\.weight";
/// What a binary without CUDA says, and one with it on a machine without a driver.
pub(super) const NO_GPU: &str = r"device: (this ltxd was built without CUDA|no NVIDIA driver here).*ask for cpu\n$";

/// Runs a request and judges it.
pub(super) fn try_request(request: &Request, code: i32, says: &[&str]) {
    try_words(&request.words(), code, says);
}

/// Runs a command and judges it. Its words may have `{out}` and `{made}/NAME` in them.
pub(super) fn try_words(words: &[String], code: i32, says: &[&str]) {
    try_over(None, words, code, says);
}

/// Runs a command where the file `before` lies already, and judges it.
pub(super) fn try_over(before: Option<&str>, words: &[String], code: i32, says: &[&str]) {
    try_command(before, code, says, |folders| ltxd(&folders.filled_in(words)));
}

/// Runs what `command` says in folders of its own.
pub(super) fn try_command(before: Option<&str>, code: i32, says: &[&str], command: impl FnOnce(&Folders) -> Command) {
    let root = scratch();
    let folders = Folders { root: root.path() };
    for folder in [folders.out(), folders.made()] {
        fs::create_dir(folder).expect("a new folder");
    }
    if let Some(name) = before {
        fs::write(Path::new(&folders.out()).join(name), OLD).expect("room for a file");
    }
    let ended = run(command(&folders));
    judge(&ended, code, says);
    assert_left(&folders.out(), code);
}

/// Where a trial's outputs and spoilt files go.
pub(super) struct Folders<'a> {
    root: &'a Path,
}

impl Folders<'_> {
    pub(super) fn out(&self) -> String {
        text(&self.root.join("out"))
    }

    fn made(&self) -> String {
        text(&self.root.join("made"))
    }

    /// Words with the folders in them; the spoilt files that they name are made.
    pub(super) fn filled_in(&self, words: &[String]) -> Vec<String> {
        let named = Regex::new(r"\{made\}/([\w.-]+)").expect("a pattern");
        for name in words.iter().flat_map(|word| named.captures_iter(word)) {
            spoilt::make(Path::new(&self.made()), &name[1]);
        }
        words.iter().map(|word| word.replace("{out}", &self.out()).replace("{made}", &self.made())).collect()
    }
}

fn judge(ended: &Ended, code: i32, says: &[&str]) {
    let said = ended.said();
    assert_eq!(ended.code, Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for pattern in says {
        assert!(Regex::new(pattern).expect("a pattern").is_match(&said), "says nothing like {pattern:?}: {said}");
    }
}

/// A good request leaves the clip, everything else only what was there before.
fn assert_left(folder: &str, code: i32) {
    let left = contents(Path::new(folder));
    let names: Vec<_> = left.keys().collect();
    if code == DONE {
        assert_eq!(names, ["clip.mp4"]);
        assert_ne!(left["clip.mp4"].as_deref(), Some(OLD), "the earlier file is still there");
    } else {
        assert!(left.values().all(|file| file.as_deref() == Some(OLD)), "left behind: {names:?}");
    }
}
