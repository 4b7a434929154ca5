//! What is wrong on this machine for a node of a configuration: every check's findings, each with its remedy.
//!
//! Must not know how findings are shown. Nothing is changed; what a check cannot see, it does not claim.

mod clock;
mod data;
mod files;
mod gpu;
mod machine;
mod models;
mod network;
mod tls;

use crate::config::{ConfigError, NodeConfig, Sources};
use data::Folder;
use ltx_nn::Level;
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// As it should be.
    Fine,
    /// A node runs, but not as well, or as safely, as it could.
    Warning,
    /// A node does not start, or every request fails.
    Error,
}

/// What a check found.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, in a word.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is so.
    pub(crate) what: String,
    /// What to do about it; nothing where all is fine.
    pub(crate) remedy: Option<String>,
}

/// The findings of one check.
struct Findings<'a> {
    check: &'static str,
    all: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    fn fine(&mut self, what: impl Into<String>) {
        self.add(Severity::Fine, what.into(), None);
    }

    fn warn(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, what.into(), Some(remedy.into()));
    }

    fn error(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, what.into(), Some(remedy.into()));
    }

    fn add(&mut self, severity: Severity, what: String, remedy: Option<String>) {
        // A file's syntax error has lines of its own.
        let what = what.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim_end().to_owned();
        self.all.push(Finding { check: self.check, severity, what, remedy });
    }
}

/// What of this machine a device is opened by.
struct Here {
    level: Level,
    folder: Folder,
}

/// Looks at everything. A configuration that cannot be read leaves the checks that need none.
pub(crate) fn examine(sources: &Sources, level: Level) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut check = |check: &'static str, look: &mut dyn FnMut(&mut Findings<'_>)| {
        look(&mut Findings { check, all: &mut all });
    };
    check("processor", &mut |findings| machine::processor(findings, level));
    check("clock", &mut clock::look);
    let config = sources.load_for_doctor();
    check("configuration", &mut |findings| configuration(findings, &config));
    let Ok((config, data_said)) = config else { return all };
    let folder = Folder::of(&config, data_said);
    let mut compute = None;
    check("gpu", &mut |findings| compute = gpu::look(findings, &config, &Here { level, folder }));
    check("listen", &mut |findings| network::look(findings, &config, folder));
    check("tls", &mut |findings| tls::look(findings, &config));
    check("tokens", &mut |findings| files::tokens(findings, &config));
    check("data folder", &mut |findings| data::folder(findings, &config, folder));
    check("disk", &mut |findings| data::disk(findings, &config, folder));
    check("memory", &mut |findings| machine::memory(findings, &config));
    // What cannot compute opens no model either; that is said once.
    check("models", &mut |findings| models::look(findings, &config, compute.as_ref()));
    all
}

fn configuration(findings: &mut Findings<'_>, config: &Result<(NodeConfig, bool), ConfigError>) {
    match config {
        Ok((config, _)) => match crate::node::log::filter(&config.log) {
            Ok(_) if config.server.testing.enabled => {
                findings.warn(
                    "testing.enabled: the node makes faults when it is asked to",
                    "leave it out but in tests of clients",
                );
            }
            Ok(_) => findings.fine("every key is one, and the values hold together"),
            Err(error) => findings.error(error.to_string(), "correct log.level; `ltxd config print` shows every key"),
        },
        Err(error) => {
            let told = ltx_types::sentence(error);
            findings
                .error(told, "correct it where the message says; `ltxd config print` shows every key with its value");
        }
    }
}
