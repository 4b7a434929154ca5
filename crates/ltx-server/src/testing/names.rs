//! The names of the faults that a test may ask for, and what each one's value has to be.
//!
//! Must not know what becomes of a call by them.

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    FailAtStep,
    FailAs,
    SlowStepsMs,
    RestartAtStep,
    QueueFull,
    DiskFull,
    Refuse,
    UnavailableSeconds,
    CutWatchAfter,
    CutDownloadAfter,
}

impl Name {
    pub(super) const ALL: [Self; 10] = [
        Self::FailAtStep,
        Self::FailAs,
        Self::SlowStepsMs,
        Self::RestartAtStep,
        Self::QueueFull,
        Self::DiskFull,
        Self::Refuse,
        Self::UnavailableSeconds,
        Self::CutWatchAfter,
        Self::CutDownloadAfter,
    ];

    /// As a header has it; a key of the configuration has `_` for `-`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::FailAtStep => "fail-at-step",
            Self::FailAs => "fail-as",
            Self::SlowStepsMs => "slow-steps-ms",
            Self::RestartAtStep => "restart-at-step",
            Self::QueueFull => "queue-full",
            Self::DiskFull => "disk-full",
            Self::Refuse => "refuse",
            Self::UnavailableSeconds => "unavailable-seconds",
            Self::CutWatchAfter => "cut-watch-after",
            Self::CutDownloadAfter => "cut-download-after",
        }
    }

    /// What is wrong with a value that is none.
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::FailAtStep | Self::RestartAtStep => "is not a step, from 1; 0 is none",
            Self::FailAs => "is no code of a failure",
            Self::SlowStepsMs => "is not a number of milliseconds up to 86400000",
            Self::QueueFull | Self::DiskFull => "is neither true nor false",
            Self::Refuse => "is no reason of errors.proto",
            Self::UnavailableSeconds => "is not a number of seconds up to 86400",
            Self::CutWatchAfter => "is not a number of events",
            Self::CutDownloadAfter => "is not a number of bytes",
        }
    }

    /// The fault of that name, as a header or a key has it.
    pub(super) fn of(said: &str) -> Option<Self> {
        let said = said.replace('_', "-");
        Self::ALL.into_iter().find(|name| name.as_str() == said)
    }
}
