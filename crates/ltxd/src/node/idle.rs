//! While nothing is generated, memory that earlier work has freed goes back to the system.
//!
//! Must not know what the work was.

use crate::allocator;
use ltx_jobs::Jobs;
use std::{io, thread, time::Duration};

/// How often it is looked whether the node is idle.
const EVERY: Duration = Duration::from_secs(3);

/// Looks for as long as the process lives. To be called before the work begins.
///
/// # Errors
/// No thread can be started.
pub(crate) fn give_back_memory(jobs: Jobs) -> io::Result<()> {
    allocator::keep_little();
    let look = move || loop {
        thread::sleep(EVERY);
        if jobs.status().is_ok_and(|status| status.running.is_none()) {
            allocator::release();
        }
    };
    thread::Builder::new().name("idle".into()).spawn(look).map(drop)
}
