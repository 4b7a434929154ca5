//! The clock, against what is certain to be past.
//!
//! Must not know other machines: a clock that is wrong by less is not seen.

use super::Findings;
use ltx_types::UnixMillis;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No machine that runs this version can have a clock before it: 2026-01-01.
const PAST: Duration = Duration::from_secs(1_767_225_600);

pub(super) fn look(findings: &mut Findings<'_>) {
    let remedy =
        "set the clock, and have it kept by NTP (timedatectl set-ntp true): certificates and retention go by it";
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(now) if now >= PAST => findings.fine(UnixMillis(now.as_millis() as i64).to_string()),
        Ok(now) => findings.error(format!("it says {}, which is past", UnixMillis(now.as_millis() as i64)), remedy),
        Err(_) => findings.error("it says a time before 1970", remedy),
    }
}
