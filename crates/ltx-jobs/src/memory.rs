//! Memory of this process and of the machine, as Linux tells it; `None` where the system does not.
//!
//! Must not know what it is used for. One generation runs at a time, so the peak between two resets is its own (what the rest of
//! the node holds included).

use std::fs;

/// Forgets the peak so far. Where the system does not allow it, the peak stays that of the whole process.
pub(crate) fn reset_peak() {
    // "5" resets the high water mark: proc(5), /proc/pid/clear_refs.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most resident bytes since the last reset, or since the start.
pub fn peak_bytes() -> Option<u64> {
    bytes("/proc/self/status", "VmHWM:")
}

/// Resident bytes of this process.
pub fn resident_bytes() -> Option<u64> {
    bytes("/proc/self/status", "VmRSS:")
}

/// Bytes of the machine's memory.
pub fn total_bytes() -> Option<u64> {
    bytes("/proc/meminfo", "MemTotal:")
}

/// Bytes that can be had without swapping.
pub fn available_bytes() -> Option<u64> {
    bytes("/proc/meminfo", "MemAvailable:")
}

/// A `name: number kB` line of a file of the proc file system.
fn bytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        let (peak, resident) = (peak_bytes().unwrap(), resident_bytes().unwrap());
        assert!(peak > 1 << 20 && resident > 1 << 20);
        assert!(total_bytes().unwrap() > available_bytes().unwrap());
    }
}
