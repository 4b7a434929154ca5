//! A command while it runs: what it says line by line, signals to it, and the memory that it took.
//!
//! Must not know the commands. Waits for lines and states, never for a time.

use super::command::HUNG;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// A child that does not outlive the test.
pub(crate) struct Guarded(Option<Child>);

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Nothing where a signal ended it.
    pub(crate) code: Option<i32>,
    /// Bytes of resident memory at its peak, as it was last looked at, every few milliseconds; nothing where it never was. (What the
    /// system tells of one that has ended counts what the test process took when it started it as well.)
    pub(crate) peak: Option<u64>,
}

impl Guarded {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))))
    }

    fn child(&self) -> &Child {
        self.0.as_ref().expect("it was not waited for yet")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child().id() as i32), signal)
            .expect("it has not been waited for, so its number is its own");
    }

    /// A file of it in `/proc`; empty when it has ended.
    pub(crate) fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child().id())).unwrap_or_default()
    }

    /// Fields of `/proc/PID/stat` from the third (the state) on.
    fn stat(&self) -> Vec<String> {
        let stat = self.proc("stat");
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        fields.split_whitespace().map(str::to_owned).collect()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.stat().first().map(String::as_str), None | Some("Z" | "X"))
    }

    /// Bytes of resident memory at its peak since it was started; nothing when it has ended.
    pub(crate) fn peak(&self) -> Option<u64> {
        let status = self.proc("status");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"))?;
        Some(1024 * kib.trim().parse::<u64>().ok()?)
    }

    /// Bytes that its threads have read from files, those of this name aside.
    pub(crate) fn read_bytes(&self, aside: &str) -> u64 {
        let read = |task: &Path| {
            let io = fs::read_to_string(task.join("io")).ok()?;
            io.lines().find_map(|line| line.strip_prefix("rchar: "))?.trim().parse::<u64>().ok()
        };
        let other = self
            .threads()
            .into_iter()
            .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() != aside));
        other.filter_map(|task| read(&task)).sum()
    }

    /// Whether none of its threads runs: it got SIGSTOP.
    pub(crate) fn stands_still(&self) -> bool {
        self.threads().iter().all(|task| {
            let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with(['T', 'Z', 'X']))
        })
    }

    /// The folders of its threads in `/proc`.
    fn threads(&self) -> Vec<PathBuf> {
        super::files::paths_in(Path::new(&format!("/proc/{}/task", self.child().id())))
    }

    /// Whether it handles a signal itself by now.
    pub(crate) fn handles(&self, signal: Signal) -> bool {
        let status = self.proc("status");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        mask & (1 << (signal as i32 - 1)) != 0
    }

    /// Looks again and again until `holds`; fails when the command ends before.
    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(!self.has_ended(), "it ended before {what}");
            assert!(began.elapsed() < HUNG, "it hangs before {what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        let (began, mut peak) = (Instant::now(), None);
        while !self.has_ended() {
            assert!(began.elapsed() < HUNG, "it does not end");
            peak = peak.max(self.peak());
            thread::sleep(Duration::from_millis(2));
        }
        let status = self.0.take().expect("it was not waited for yet").wait().expect("it ended");
        Finished { code: status.code(), peak }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A command whose lines are read as they come.
pub(crate) struct Running {
    pub(crate) process: Guarded,
    lines: Receiver<String>,
    /// Every line so far.
    pub(crate) said: Vec<String>,
}

impl Running {
    /// Starts a command and reads what it says on standard error.
    pub(crate) fn telling(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Guarded::start(&mut command);
        let stream = process.0.as_mut().and_then(|child| child.stderr.take()).expect("a pipe");
        Self { process, lines: lines_of(stream), said: Vec::new() }
    }

    /// Starts a command and reads what it prints on standard output.
    pub(crate) fn printing(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Guarded::start(&mut command);
        let stream = process.0.as_mut().and_then(|child| child.stdout.take()).expect("a pipe");
        Self { process, lines: lines_of(stream), said: Vec::new() }
    }

    /// The next line that has `needle` in it; fails when there is none.
    pub(crate) fn await_line(&mut self, needle: &str) -> String {
        while let Some(line) = self.next_line() {
            if line.contains(needle) {
                return line;
            }
        }
        panic!("it ended before it said {needle:?}; it said:\n{}", self.said.join("\n"));
    }

    fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(HUNG) {
            Ok(line) => {
                self.said.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it hangs; it said:\n{}", self.said.join("\n")),
        }
    }

    /// Reads on to its end; what it came to, and every line it said.
    pub(crate) fn finish(self) -> (Finished, Vec<String>) {
        let Self { process, lines, mut said } = self;
        let finished = process.finish();
        while let Ok(line) = lines.recv_timeout(HUNG) {
            said.push(line);
        }
        (finished, said)
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            // Nobody may be left to hear it; the pipe has to be emptied all the same.
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    receiver
}
