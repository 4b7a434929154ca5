//! How much memory this process holds, and held at most.
//!
//! Must not know what for. One generation runs at a time, so the peak between two resets is its own (what the rest of the
//! node holds included).

use std::fs;

/// Forgets the peak so far. Where the system does not allow it, the peak stays that of the whole process.
pub(crate) fn reset_peak() {
    // "5" resets the high water mark: proc(5), /proc/pid/clear_refs.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most resident bytes since the last reset; `None` where the system does not tell.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
