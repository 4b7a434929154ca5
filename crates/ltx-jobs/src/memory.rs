//! Memory of this process and of the machine, as Linux tells it; `None` where the system does not.
//!
//! Must not know what it is used for. One generation runs at a time, so the peak between two resets is its own (what the rest of
//! the node holds included).

use procfs::{
    Current, Meminfo,
    process::{ClearRefs, Process, Status},
};

/// Forgets the peak so far. Where the system does not allow it, the peak stays that of the whole process.
pub fn reset_peak() {
    let _ = Process::myself().and_then(|process| process.clear_refs(ClearRefs::PeakRSS));
}

/// The most resident bytes since the last reset, or since the start.
pub fn peak_bytes() -> Option<u64> {
    status()?.vmhwm.map(of_kibibytes)
}

/// Resident bytes of this process.
pub fn resident_bytes() -> Option<u64> {
    status()?.vmrss.map(of_kibibytes)
}

/// Bytes of the machine's memory.
pub fn total_bytes() -> Option<u64> {
    Some(Meminfo::current().ok()?.mem_total)
}

/// Bytes that can be had without swapping.
pub fn available_bytes() -> Option<u64> {
    Meminfo::current().ok()?.mem_available
}

fn status() -> Option<Status> {
    Process::myself().and_then(|process| process.status()).ok()
}

fn of_kibibytes(kibibytes: u64) -> u64 {
    kibibytes * 1024
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
