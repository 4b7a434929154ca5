//! The processor and the memory.
//!
//! Must not know models; what they need is theirs to say.

use super::Findings;
use crate::{config::NodeConfig, human::human};
use ltx_jobs::memory::{available_bytes, total_bytes};
use ltx_nn::Level;

/// Less than this cannot hold the small model and a node.
const LEAST: u64 = 512 << 20;

/// The instructions that kernels use.
pub(super) fn processor(findings: &mut Findings<'_>, level: Level) {
    let (used, widest) = (level.name(), Level::widest().name());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    if widest == Level::PORTABLE.name() {
        let what = "the processor has no AVX2 with FMA and F16C: the kernels are the portable ones, many times slower";
        findings.warn(
            what,
            "use a machine with AVX2, or let the virtual machine pass it through (a CPU model such as host)",
        );
    } else if used == widest {
        findings.fine(format!("{threads} threads with {used}"));
    } else {
        let what = format!("{used} is asked for, and the processor has {widest}");
        findings.warn(what, "leave --cpu-level and LTXD_CPU_LEVEL out");
    }
}

/// What is free, against what is configured.
pub(super) fn memory(findings: &mut Findings<'_>, config: &NodeConfig) {
    let (Some(total), Some(available)) = (total_bytes(), available_bytes()) else {
        findings.warn("the system does not say how much memory there is", "set limits.memory_bytes");
        return;
    };
    let of = format!("{} of {} are available", human(available), human(total));
    match config.jobs.limits.memory_bytes {
        Some(said) if said > total => {
            let what = format!("limits.memory_bytes = {said} is {}, more than the machine has: {of}", human(said));
            findings.error(what, format!("set it to {available} or less, or to 0"));
        }
        Some(said) if said > available => {
            let what = format!("limits.memory_bytes = {said} is {}, and only {of}", human(said));
            findings.warn(what, "end what else takes memory, or set it lower");
        }
        _ if available < LEAST => {
            findings.error(format!("only {of}"), "end what else takes memory, or give the machine more");
        }
        _ => findings.fine(of),
    }
}
