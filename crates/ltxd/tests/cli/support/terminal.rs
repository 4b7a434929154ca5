//! A command on a pseudo-terminal of 100 columns, and what it showed there.
//!
//! Must not know what a bar looks like.

use super::{
    command::HUNG,
    process::{Finished, Guarded},
};
use nix::{
    fcntl::OFlag,
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
    sys::signal::Signal::SIGSTOP,
};
use regex::Regex;
use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    process::Command,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
};

/// Columns of the terminal.
pub(crate) const COLUMNS: usize = 100;

/// Typed to see it echoed: nothing that a command shows.
const TYPED: &str = "@@@";

/// A command on a terminal of its own.
pub(crate) struct Terminal {
    pub(crate) process: Guarded,
    screen: Arc<Screen>,
    reader: JoinHandle<()>,
    keyboard: File,
}

#[derive(Default)]
struct Screen {
    shown: Mutex<Shown>,
    grew: Condvar,
}

#[derive(Default)]
struct Shown {
    bytes: Vec<u8>,
    ended: bool,
}

impl Terminal {
    /// Starts a command with its input, output and errors on a terminal.
    pub(crate) fn start(mut command: Command) -> Self {
        // Close-on-exec, so that no other test's child holds this terminal open.
        let ours = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a pseudo-terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("its other side");
        let name = ptsname_r(&ours).expect("its name");
        let no_control = OFlag::O_NOCTTY.bits();
        let theirs =
            || File::options().read(true).write(true).custom_flags(no_control).open(&name).expect("its other side");
        let sized = Command::new("stty").args(["cols", &COLUMNS.to_string(), "rows", "30"]).stdin(theirs()).status();
        assert!(sized.expect("stty").success(), "the terminal gets no size");
        command.env("TERM", "xterm").stdin(theirs()).stdout(theirs()).stderr(theirs());
        let keyboard = File::from(ours.as_fd().try_clone_to_owned().expect("a second handle"));
        let process = Guarded::start(&mut command);
        let screen = Arc::new(Screen::default());
        let reader = thread::spawn({
            let screen = Arc::clone(&screen);
            move || screen.fill_from(ours)
        });
        Self { process, screen, reader, keyboard }
    }

    /// Waits until it has shown something that matches; fails when it ends before.
    pub(crate) fn await_shown(&self, pattern: &str) {
        let wanted = Regex::new(pattern).expect("a pattern");
        let mut shown = self.screen.shown.lock().unwrap();
        while !parts(&shown.bytes).iter().any(|part| wanted.is_match(part)) {
            assert!(
                !shown.ended,
                "it ended before it showed {pattern:?}; it showed:\n{}",
                parts(&shown.bytes).join("\n")
            );
            let (next, waited) = self.screen.grew.wait_timeout(shown, HUNG).unwrap();
            assert!(!waited.timed_out(), "it hangs; it showed:\n{}", parts(&next.bytes).join("\n"));
            shown = next;
        }
    }

    /// Makes it stand still (SIGCONT ends that); everything it has shown by then.
    pub(crate) fn halt(&self) -> Vec<String> {
        self.process.signal(SIGSTOP);
        self.process.wait_until("it stood still", Guarded::stands_still);
        // The terminal echoes what is typed behind everything that was written to it.
        (&self.keyboard).write_all(TYPED.as_bytes()).expect("the terminal is there");
        self.await_shown(TYPED);
        parts(&self.screen.shown.lock().unwrap().bytes)
    }

    /// Waits for its end; what it came to, and everything it showed, line by line and draft by draft.
    pub(crate) fn finish(self) -> (Finished, Vec<String>) {
        let finished = self.process.finish();
        self.reader.join().expect("the terminal was read to its end");
        let shown = self.screen.shown.lock().unwrap();
        (finished, parts(&shown.bytes))
    }
}

impl Screen {
    /// Until nobody holds the other side; then reading is an error.
    fn fill_from(&self, mut terminal: impl Read) {
        let mut buffer = [0; 4096];
        loop {
            let read = terminal.read(&mut buffer).unwrap_or(0);
            let mut shown = self.shown.lock().unwrap();
            shown.bytes.extend_from_slice(&buffer[..read]);
            shown.ended = read == 0;
            self.grew.notify_all();
            if read == 0 {
                return;
            }
        }
    }
}

/// What stands between line ends, carriage returns and escape sequences.
fn parts(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let between = Regex::new(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]").expect("a pattern");
    between.split(&text).filter(|part| !part.trim().is_empty()).map(str::to_owned).collect()
}
