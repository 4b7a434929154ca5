//! Progress of a pull: a bar for the file and one in all, or a line a file where there is no terminal.
//!
//! Must not know where bytes come from.

use crate::{human::human, progress::style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use ltx_hub::{News, Watch};
use std::{
    io::{IsTerminal, stderr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The bars of a pull, on standard error.
pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    said: Said,
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Lines,
    Bars,
}

/// One file's.
pub(super) struct FileBar(Arc<Shown>);

struct Shown {
    name: String,
    all: MultiProgress,
    bar: ProgressBar,
    total: ProgressBar,
    said: Said,
    checking: AtomicBool,
}

const FETCHING: &str = "{msg} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
const CHECKING: &str = "{msg} {bar:24} {bytes}/{total_bytes}  checking";

impl Bars {
    /// Bars, or nothing at all when `quiet`.
    pub(super) fn new(quiet: bool) -> Self {
        let said = match (quiet, stderr().is_terminal()) {
            (true, _) => Said::Nothing,
            (false, false) => Said::Lines,
            (false, true) => Said::Bars,
        };
        let target = if said == Said::Bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { all: MultiProgress::with_draw_target(target), total: ProgressBar::hidden(), said }
    }

    /// Shows the bar of all files.
    pub(super) fn begin(&self, bytes: u64) {
        self.all.add(self.total.clone());
        self.total.set_style(style(FETCHING));
        self.total.set_message("in all");
        self.total.set_length(bytes);
    }

    /// The bar of a file that is begun.
    pub(super) fn file(&self, name: &str, bytes: u64) -> FileBar {
        let bar = self.all.insert(0, ProgressBar::new(bytes));
        bar.set_style(style(FETCHING));
        let short = name.rsplit('/').next().unwrap_or(name);
        bar.set_message(short.to_owned());
        if self.said == Said::Lines {
            eprintln!("{name}: {}", human(bytes));
        }
        let (all, total, said) = (self.all.clone(), self.total.clone(), self.said);
        FileBar(Arc::new(Shown { name: name.to_owned(), all, bar, total, said, checking: AtomicBool::new(false) }))
    }

    /// For a question to the hub: says when it is asked again.
    pub(super) fn asking(&self, name: &str) -> impl Watch + use<> {
        let (all, bar, total) = (self.all.clone(), ProgressBar::hidden(), ProgressBar::hidden());
        Shown { name: name.to_owned(), all, bar, total, said: self.said, checking: AtomicBool::new(false) }
    }

    /// Says a line beside the bars.
    pub(super) fn say(&self, line: &str) {
        say(&self.all, line);
    }

    /// Removes the bars.
    pub(super) fn clear(&self) {
        self.total.finish_and_clear();
        let _ = self.all.clear();
    }
}

/// What goes wrong is said in every case: `--json` leaves standard error free.
fn say(all: &MultiProgress, line: &str) {
    all.suspend(|| eprintln!("{line}"));
}

impl FileBar {
    pub(super) fn as_watch(&self) -> Arc<dyn Watch> {
        Arc::clone(&self.0) as _
    }

    /// The file is whole.
    pub(super) fn done(&self) {
        self.gone();
        if self.0.said != Said::Nothing {
            say(&self.0.all, &format!("{}: whole", self.0.name));
        }
    }

    /// There is nothing more to show.
    pub(super) fn gone(&self) {
        self.0.bar.finish_and_clear();
        self.0.all.remove(&self.0.bar);
    }
}

impl Watch for Shown {
    fn tell(&self, news: News<'_>) {
        match news {
            News::Waiting => say(&self.all, &format!("{}: another process fetches it; waiting", self.name)),
            // What was here before is no part of what is to come in all.
            News::Resumed(bytes) => {
                self.bar.set_position(bytes);
                self.bar.reset_eta();
            }
            News::Came(bytes) => {
                self.bar.inc(bytes);
                self.total.inc(bytes);
            }
            News::Lost(bytes) => {
                self.bar.set_position(0);
                self.total.inc_length(bytes);
            }
            News::Again { why, wait } => {
                let line = format!("{}: {}; again in {:.1} s", self.name, ltx_types::sentence(why), wait.as_secs_f64());
                say(&self.all, &line);
            }
            News::Checked(bytes) => {
                if !self.checking.swap(true, Ordering::Relaxed) {
                    self.bar.set_position(0);
                    self.bar.set_style(style(CHECKING));
                }
                self.bar.inc(bytes);
            }
        }
    }
}
