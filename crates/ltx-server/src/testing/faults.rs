//! Which faults there are, how they are written, and what becomes of a call or a generation by them.
//!
//! Must not know where they were asked for.

use super::{HEADER, names::Name};
use crate::grpc::{on_purpose, status::name as name_of};
use ltx_jobs::{FailureCode, RunFaults};
use ltx_policy::PolicyConfig;
use ltx_proto::v1::ErrorReason;
use ltx_types::FieldError;
use std::{num::NonZeroUsize, time::Duration};
use tonic::Status;

/// The longest step, and the longest wait for another try: a day.
const DAY: u64 = 86_400;
/// The most calls that a header may hold for.
const MOST_TIMES: u32 = 1_000_000;

/// Faults that a call meets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Faults {
    /// What a generation that the call makes meets when it runs.
    pub(crate) run: RunFaults,
    queue_full: bool,
    disk_full: bool,
    refuse: Option<ErrorReason>,
    unavailable: Option<Duration>,
    cut_watch_after: Option<u64>,
    cut_download_after: Option<u64>,
}

impl Faults {
    /// Of names and values.
    ///
    /// # Errors
    /// A name or a value that is none.
    #[cfg(test)]
    pub(super) fn of<const N: usize>(said: [(&str, &str); N]) -> Result<Self, String> {
        let mut faults = Self::default();
        said.into_iter().try_for_each(|(name, value)| faults.set(name, value))?;
        Ok(faults)
    }

    /// Sets the fault of a name.
    ///
    /// # Errors
    /// The rule that the name or the value breaks.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(name) = Name::of(name) else {
            let names = Name::ALL.map(Name::as_str).join(", ");
            return Err(format!("is no fault; there are: {names}, times, id, and none alone"));
        };
        let rule = || name.rule().to_owned();
        let whole = |most: u64| value.parse::<u64>().ok().filter(|number| *number <= most).ok_or_else(rule);
        let switch = || value.parse::<bool>().map_err(|_| rule());
        let step = || Ok::<_, String>(NonZeroUsize::new(whole(u64::from(u32::MAX))? as usize));
        let some = |number: u64| (number > 0).then_some(number);
        match name {
            Name::FailAtStep => self.run.fail_at_step = step()?,
            Name::FailAs => self.run.fail_as = failure_code(value).ok_or_else(|| with_codes(rule()))?,
            Name::SlowStepsMs => self.run.slow_steps = Duration::from_millis(whole(DAY * 1000)?),
            Name::RestartAtStep => self.run.restart_at_step = step()?,
            Name::QueueFull => self.queue_full = switch()?,
            Name::DiskFull => self.disk_full = switch()?,
            Name::Refuse => self.refuse = reason(value).ok_or_else(|| with_reasons(rule()))?,
            Name::UnavailableSeconds => {
                let seconds = value.parse::<f64>().ok().filter(|seconds| (0.0..=DAY as f64).contains(seconds));
                self.unavailable = seconds.map(Duration::from_secs_f64).ok_or_else(rule)?.into();
                self.unavailable = self.unavailable.filter(|after| !after.is_zero());
            }
            Name::CutWatchAfter => self.cut_watch_after = some(whole(u64::MAX)?),
            Name::CutDownloadAfter => self.cut_download_after = some(whole(u64::MAX)?),
        }
        Ok(())
    }

    /// Whether all that is said means something.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.run.fail_at_step.is_none() && self.run.fail_as != FailureCode::Engine {
            true => Err("says how fail_at_step fails, and there is none".to_owned()),
            false => Ok(()),
        }
    }

    /// As a header says them.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = self.run.words();
        words.extend(self.queue_full.then(|| "queue-full".to_owned()));
        words.extend(self.disk_full.then(|| "disk-full".to_owned()));
        words.extend(self.refuse.map(refuse_word));
        words.extend(self.unavailable.map(unavailable_word));
        words.extend(self.cut_watch_after.map(|events| format!("cut-watch-after={events}")));
        words.extend(self.cut_download_after.map(|bytes| format!("cut-download-after={bytes}")));
        words
    }

    /// Before anything else is looked at; `policy` knows the remedies of its reasons.
    ///
    /// # Errors
    /// The refusal that was asked for.
    pub(super) fn at_once(&self, policy: &PolicyConfig) -> Result<(), Status> {
        if let Some(reason) = self.refuse {
            return Err(on_purpose::refusal(reason, &refuse_word(reason), policy));
        }
        match self.unavailable {
            Some(after) => Err(on_purpose::status(ErrorReason::ShuttingDown, &unavailable_word(after), after)),
            None => Ok(()),
        }
    }

    /// Before a generation is made.
    ///
    /// # Errors
    /// The refusal that was asked for.
    pub(crate) fn at_create(&self, policy: &PolicyConfig) -> Result<(), Status> {
        self.at_once(policy)?;
        if self.queue_full {
            return Err(on_purpose::status(ErrorReason::QueueFull, "queue-full", on_purpose::SOON));
        }
        self.at_upload()
    }

    /// Before an upload is taken in.
    ///
    /// # Errors
    /// The refusal that was asked for.
    pub(crate) fn at_upload(&self) -> Result<(), Status> {
        if self.disk_full {
            Err(on_purpose::status(ErrorReason::StorageFull, "disk-full", on_purpose::SOON))
        } else {
            Ok(())
        }
    }

    /// After how many events a watch is cut, and how.
    pub(super) fn watch(&self) -> Option<(u64, Status)> {
        let after = self.cut_watch_after?;
        Some((
            after,
            on_purpose::status(ErrorReason::ShuttingDown, &format!("cut-watch-after={after}"), on_purpose::SOON),
        ))
    }

    /// After how many bytes a download is cut, and how.
    pub(super) fn download(&self) -> Option<(u64, Status)> {
        let after = self.cut_download_after?;
        Some((
            after,
            on_purpose::status(ErrorReason::ShuttingDown, &format!("cut-download-after={after}"), on_purpose::SOON),
        ))
    }
}

/// What a header asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// The configured faults, with those that the header names over them.
    pub(super) faults: Faults,
    /// Those that the header names: what hits at once is for whatever is called.
    pub(super) own: Faults,
    /// How many calls it is for; `None` for all.
    pub(super) times: Option<u32>,
}

impl Asked {
    /// Reads a list of `name=value`.
    ///
    /// # Errors
    /// What is no fault, with what there is.
    pub(super) fn of(header: &str, configured: &Faults) -> Result<Self, FieldError> {
        let wrong = |said: &str, rule: String| FieldError::new(HEADER, said, rule);
        let words: Vec<_> = header.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Err(wrong("\"\"", "names no fault; none alone switches the configured ones off".to_owned()));
        }
        if words == ["none"] {
            return Ok(Self { faults: Faults::default(), own: Faults::default(), times: None });
        }
        let (mut faults, mut own, mut times, mut seen) = (configured.clone(), Faults::default(), None, Vec::new());
        let mut set = |name: &str, value: &str| faults.set(name, value).and_then(|()| own.set(name, value));
        for word in words {
            let (name, value) =
                word.split_once('=').map_or((word, None), |(name, value)| (name.trim(), Some(value.trim())));
            let name = name.replace('_', "-");
            if seen.contains(&name) {
                return Err(wrong(word, "stands there twice".to_owned()));
            }
            match (name.as_str(), value) {
                ("times", Some(value)) => {
                    let count = value.parse::<u32>().ok().filter(|count| (1..=MOST_TIMES).contains(count));
                    times = Some(count.ok_or_else(|| wrong(word, format!("is not 1 to {MOST_TIMES} calls")))?);
                }
                ("id", Some(id)) => {
                    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                    if !(1..=100).contains(&id.len()) || !id.bytes().all(plain) {
                        return Err(wrong(word, "is not 1 to 100 letters, digits, - and _".to_owned()));
                    }
                }
                ("queue-full" | "disk-full", None) => set(&name, "true").map_err(|rule| wrong(word, rule))?,
                (_, value) => {
                    let known = Name::of(&name).is_some() || ["times", "id"].contains(&name.as_str());
                    match value {
                        None if known => return Err(wrong(word, "has no value: name=value".to_owned())),
                        value => set(&name, value.unwrap_or_default()).map_err(|rule| wrong(word, rule))?,
                    }
                }
            }
            seen.push(name);
        }
        faults.check().map_err(|rule| wrong("fail-as", rule))?;
        Ok(Self { faults, own, times })
    }
}

fn failure_code(name: &str) -> Option<FailureCode> {
    if name.is_empty() {
        return Some(FailureCode::Engine);
    }
    RunFaults::code(name)
}

/// The reason of that name; none of none.
#[allow(clippy::option_option, reason = "no reason is asked for, or a reason that is none")]
fn reason(name: &str) -> Option<Option<ErrorReason>> {
    if name.is_empty() {
        return Some(None);
    }
    reasons().find(|reason| name_of(*reason) == name).map(Some)
}

/// Every reason that an error may have.
fn reasons() -> impl Iterator<Item = ErrorReason> {
    (1..1000).filter_map(|number| ErrorReason::try_from(number).ok())
}

fn with_reasons(rule: String) -> String {
    format!("{rule}; there are: {}", reasons().map(name_of).collect::<Vec<_>>().join(", "))
}

fn with_codes(rule: String) -> String {
    format!("{rule}; there are: {}", RunFaults::codes().collect::<Vec<_>>().join(", "))
}

fn refuse_word(reason: ErrorReason) -> String {
    format!("refuse={}", name_of(reason))
}

fn unavailable_word(after: Duration) -> String {
    format!("unavailable-seconds={}", after.as_secs_f64())
}
