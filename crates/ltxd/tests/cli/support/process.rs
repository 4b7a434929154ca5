//! A command while it runs: what it says line by line, signals to it, and what it took when it has ended.
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
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};
use wait4::Wait4;

/// Ticks of a second in `/proc/PID/stat`: the same on every Linux.
const TICKS: f64 = 100.0;

/// A child that does not outlive the test.
pub(crate) struct Guarded(Option<Child>);

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Nothing where a signal ended it.
    pub(crate) code: Option<i32>,
    /// Processor time, of all threads.
    pub(crate) cpu: Duration,
    /// Resident memory at its peak, in bytes. The system counts what the test process took when it started it as well: 0 where that
    /// may have been more.
    pub(crate) peak: u64,
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

    /// Processor time so far, of all threads.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: f64 = self.stat().iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Duration::from_secs_f64(ticks / TICKS)
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
        let began = Instant::now();
        while !self.has_ended() {
            assert!(began.elapsed() < HUNG, "it does not end");
            thread::sleep(Duration::from_millis(2));
        }
        let used = self.0.take().expect("it was not waited for yet").wait4().expect("it ended");
        let cpu = used.rusage.utime + used.rusage.stime;
        let peak = Some(used.rusage.maxrss).filter(|peak| Some(*peak) > ltx_jobs::memory::peak_bytes()).unwrap_or(0);
        Finished { code: used.status.code(), cpu, peak }
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
    pub(crate) fn finish(mut self) -> (Finished, Vec<String>) {
        while self.next_line().is_some() {}
        (self.process.finish(), self.said)
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
