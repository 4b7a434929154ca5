//! A disk that fills while the output is written: a message, nothing left, and an old clip as it was.
//!
//! Must not know how outputs are written; `ltx-media`, tests/disk_full.rs, fills one under each kind of output.

use super::trial::try_command;
use crate::support::{
    command::{FAILED, run, under},
    request::{Request, good},
};
use std::{
    io::{Write, stderr},
    process::Command,
};
use test_case::test_case;

const NOT_WRITTEN: &str = r"clip\.mp4.*cannot be written";

/// A limit on the size of files: writes past 4 KiB fail.
const SMALL_FILES: &str = r#"trap '' XFSZ; ulimit -f 4; exec "$@""#;

/// A disk of 16 KiB in a mount namespace of its own, gone when the command ends. `$1` is where, the rest runs. What is left on
/// it is listed after the run, because nobody sees it later.
const SMALL_DISK: &str = r#"
mount -t tmpfs -o size=16k tmpfs "$1" || exit 99
at=$1; shift
"$@"; code=$?
echo "left on the disk: [$(ls -A "$at")]"
exit $code
"#;

fn bash(script: &str) -> Vec<String> {
    ["bash", "-c", script, "bash"].map(str::to_owned).to_vec()
}

#[test_case(good(), None, NOT_WRITTEN; "where nothing is")]
#[test_case(good(), Some("clip.mp4"), NOT_WRITTEN; "over an old clip")]
#[test_case(good().with("frames-dir", "{out}/frames"), None, "cannot be written"; "with frames as png")]
fn a_limit_on_the_size_of_files(request: Request, before: Option<&str>, says: &str) {
    try_command(before, FAILED, &[says], |at| under(&bash(SMALL_FILES), &at.filled_in(&request.words())));
}

/// Mounting takes root, or user namespaces. A machine that permits neither says so, and the limit above stands in.
#[test]
fn a_full_disk() {
    let Some(unshare) = may_mount() else {
        // Past the harness' capture: nobody shall believe that this was tested.
        let told =
            "NOT RUN: no space left on a full tmpfs: this machine permits no mount; the limit on file size stands in\n";
        stderr().write_all(told.as_bytes()).unwrap();
        return;
    };
    let says = [NOT_WRITTEN, "No space left", r"left on the disk: \[\]"];
    try_command(None, FAILED, &says, |at| {
        let mounted = [unshare, bash(SMALL_DISK), vec![at.out()]].concat();
        under(&mounted, &at.filled_in(&good().words()))
    });
}

/// The words that run a command in a mount namespace of its own, or nothing where this machine permits none.
fn may_mount() -> Option<Vec<String>> {
    let folder = crate::support::files::scratch();
    [&["unshare", "-m"][..], &["unshare", "-rm"]].into_iter().find_map(|unshare| {
        let mut command = Command::new(unshare[0]);
        command.args(&unshare[1..]).args(bash(SMALL_DISK)).arg(folder.path()).arg("true");
        (run(command).code == Some(0)).then(|| unshare.iter().copied().map(str::to_owned).collect())
    })
}
