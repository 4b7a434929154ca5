//! Progress in the terminal: a bar with stage, step and time left, or one line per stage where there is no terminal.
//!
//! Must not know what is generated.

use crate::{allocator, client::words};
use indicatif::{ProgressBar, ProgressStyle};
use ltx_jobs::memory;
use ltx_types::{Progress, ProgressSink, Stage};
use parking_lot::Mutex;
use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

/// A bar on standard error.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// Of a stage that runs; what waits has no bar.
    style: ProgressStyle,
    terminal: bool,
    /// Whether reports come when things happen; of another machine, what is past may come all at once.
    timed: bool,
    shown: Mutex<Option<(Progress, Instant)>>,
}

impl Bar {
    /// A bar, or nothing at all when `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let style = style("{msg:<11} {bar:32} {pos}/{len}  {elapsed} gone, {eta} left");
        bar.set_style(style.clone());
        Self { bar, style, terminal: quiet || stderr().is_terminal(), timed: true, shown: Mutex::new(None) }
    }

    /// A bar for work on another machine, which says itself how long it takes: see [`Bar::report_from_afar`].
    pub(crate) fn from_afar(quiet: bool) -> Self {
        let style = style("{msg:<11} {bar:32} {pos}/{len}  {elapsed} gone{prefix}");
        let bar = Self { timed: false, style, ..Self::new(quiet) };
        bar.bar.set_style(self::style("{msg}"));
        if !quiet && bar.terminal {
            // News come seldom and at once; what is shown must not lag behind the last of them.
            bar.bar.enable_steady_tick(Duration::from_millis(200));
        }
        bar
    }

    /// A report with the seconds that are left for all stages, where they are known.
    pub(crate) fn report_from_afar(&self, progress: Progress, seconds_left: Option<f64>) {
        let left = seconds_left.map(|left| format!(", {} left in all", words::seconds(left)));
        self.bar.set_prefix(left.unwrap_or_default());
        self.report(progress);
    }

    /// Work that has not begun.
    pub(crate) fn waiting(&self, before: u32, seconds_left: Option<f64>) {
        let left = seconds_left.map(|left| format!(", {} until it begins", words::seconds(left))).unwrap_or_default();
        *self.shown.lock() = None;
        self.bar.set_style(style("{msg}"));
        self.bar.set_message(format!("queued, {before} before it{left}"));
        if !self.terminal {
            eprintln!("queued      {before} before it{left}");
        }
    }

    /// Prints beside the bar.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl ProgressSink for Bar {
    fn report(&self, progress: Progress) {
        let mut shown = self.shown.lock();
        let began = match *shown {
            Some((last, began)) if last.stage == progress.stage => began,
            _ => {
                self.bar.set_message(progress.stage.label());
                self.bar.set_length(progress.total as u64);
                self.bar.set_style(self.style.clone());
                self.bar.reset();
                Instant::now()
            }
        };
        *shown = Some((progress, began));
        self.bar.set_message(progress.stage.label());
        self.bar.set_length(progress.total as u64);
        self.bar.set_position(progress.done as u64);
        if !self.terminal && progress.done == progress.total {
            let took = if self.timed { format!(" in {:.1?}", began.elapsed()) } else { String::new() };
            eprintln!("{:<11} {} of {}{took}", progress.stage.label(), progress.done, progress.total);
        }
    }
}

/// Passes reports on, and notes the peak of resident memory by stage. A stage ends with its last report, so the weights that are
/// loaded after it count towards the next one.
pub(crate) struct StagePeaks<'a> {
    inner: &'a dyn ProgressSink,
    peaks: Mutex<Vec<StagePeak>>,
}

struct StagePeak {
    stage: Stage,
    bytes: u64,
    ended: bool,
}

impl<'a> StagePeaks<'a> {
    pub(crate) fn new(inner: &'a dyn ProgressSink) -> Self {
        Self { inner, peaks: Mutex::default() }
    }

    /// Bytes by stage, in the order they ran; nothing where the system does not tell.
    pub(crate) fn take(self) -> Vec<(Stage, u64)> {
        let mut peaks = self.peaks.into_inner();
        // What is written at the end is part of the last stage.
        if let Some(last) = peaks.last_mut() {
            last.end();
        }
        peaks.into_iter().map(|peak| (peak.stage, peak.bytes)).collect()
    }
}

impl StagePeak {
    /// Notes the peak since the stage before ended.
    fn end(&mut self) {
        self.bytes = self.bytes.max(memory::peak_bytes().unwrap_or(0));
        self.ended = true;
    }
}

/// From here on, memory counts towards the next stage.
fn begin_anew() {
    allocator::release();
    memory::reset_peak();
}

impl ProgressSink for StagePeaks<'_> {
    fn report(&self, progress: Progress) {
        let mut peaks = self.peaks.lock();
        match peaks.last_mut() {
            Some(last) if last.stage == progress.stage => {}
            last => {
                if let Some(last) = last.filter(|last| !last.ended) {
                    last.end();
                    begin_anew();
                }
                peaks.push(StagePeak { stage: progress.stage, bytes: 0, ended: false });
            }
        }
        if progress.done == progress.total
            && let Some(last) = peaks.last_mut()
        {
            last.end();
            begin_anew();
        }
        self.inner.report(progress);
    }
}
