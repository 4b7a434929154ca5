//! While nothing is generated, memory that earlier work has freed goes back to the system.
//!
//! Must not know what the work was.

#![allow(unsafe_code)]

use ltx_jobs::Jobs;
use std::{io, thread, time::Duration};

/// How often it is looked whether the node is idle.
const EVERY: Duration = Duration::from_secs(3);

/// Blocks below this come from the allocator's heaps, larger ones from the system, to which they go back when they are freed.
/// It is what glibc arrives at by itself once a block of that size was freed.
const LARGE: i32 = 32 << 20;
/// What a heap may keep at its end. glibc would come to keep twice [`LARGE`], on each of its heaps.
const KEPT: i32 = 1 << 20;

/// Looks for as long as the process lives. To be called before the work begins.
///
/// # Errors
/// No thread can be started.
pub(crate) fn give_back_memory(jobs: Jobs) -> io::Result<()> {
    keep_little();
    let look = move || loop {
        thread::sleep(EVERY);
        if jobs.status().is_ok_and(|status| status.running.is_none()) {
            release();
        }
    };
    thread::Builder::new().name("idle".into()).spawn(look).map(drop)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    pub(super) const TRIM_THRESHOLD: i32 = -1;
    pub(super) const MMAP_THRESHOLD: i32 = -3;

    unsafe extern "C" {
        pub(super) fn malloc_trim(pad: usize) -> i32;
        pub(super) fn mallopt(parameter: i32, value: i32) -> i32;
    }
}

/// Tells the allocator how little to keep. Other allocators than glibc's are left alone.
fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the declaration and the parameters' numbers are glibc's (malloc.h). It takes the allocator's own lock, touches no
    // block that is in use, and says only whether it knew the parameter.
    unsafe {
        glibc::mallopt(glibc::MMAP_THRESHOLD, LARGE);
        glibc::mallopt(glibc::TRIM_THRESHOLD, KEPT);
    }
}

/// Gives free pages between blocks that are in use back.
fn release() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the declaration is glibc's (malloc.h). It may be called from any thread at any time and touches no block that is in
    // use; its result only says whether anything was given back.
    unsafe {
        glibc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_in_use_stays_as_it_is() {
        let kept: Vec<Vec<u8>> = (0..1000).map(|i| vec![i as u8; 5000]).collect();
        drop((0..1000).map(|_| vec![1; 5000]).collect::<Vec<Vec<u8>>>());
        super::keep_little();
        super::release();
        assert!(kept.iter().enumerate().all(|(i, block)| block.iter().all(|&byte| byte == i as u8)));
    }
}
