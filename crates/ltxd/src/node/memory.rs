//! The memory that a node may take: what the engine plans by, what the jobs admit, and what stays between generations.
//!
//! Must not know what a generation needs.

use crate::{compute::gpu_free_bytes, memory};
use ltx_engine::MemoryBudget;
use ltx_jobs::memory::available_bytes;
use ltx_nn::Compute;

/// What the operator says of memory, in bytes; `None` for what he leaves to the node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Configured {
    /// The most that a generation may take.
    pub(super) generation: Option<u64>,
    /// Weights that stay between generations.
    pub(super) resident: Option<u64>,
}

/// How much of the memory goes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeMemory {
    /// What a generation is planned to take where it computes; `None` where nobody knows how much there is.
    pub(super) budget: Option<MemoryBudget>,
    /// Bytes that a request may need to be admitted: what is configured, else all that is free where it computes.
    pub(super) admitted_bytes: Option<u64>,
    /// Bytes of weights that stay between generations.
    pub(super) resident_bytes: u64,
    /// Bytes of the machine's memory that may be page-locked for weights on their way to a GPU.
    pub(super) host_bytes: u64,
}

impl NodeMemory {
    /// What is configured, or what follows from what is free now where it computes.
    pub(super) fn of(said: Configured, compute: &Compute) -> Self {
        match gpu_free_bytes(compute) {
            Some(free) => Self { host_bytes: memory::host_bytes(compute), ..Self::on_gpu(said, free) },
            None => Self::on_cpu(said, available_bytes()),
        }
    }

    /// A generation may take what the machine has, which is no promise. A quarter of it are weights that stay, so that requests
    /// have the rest.
    fn on_cpu(said: Configured, available: Option<u64>) -> Self {
        let budget = firm(said).or(available.map(|bytes| MemoryBudget { bytes, firm: false }));
        let quarter = || said.generation.or(available).map_or(0, |bytes| bytes / 4);
        let admitted_bytes = said.generation.or(available);
        Self { budget, admitted_bytes, resident_bytes: said.resident.unwrap_or_else(quarter), host_bytes: 0 }
    }

    /// A generation is planned to take nine tenths of what is free, because no system lends a GPU's memory; one that needs more
    /// is tried. Three quarters of all that is
    /// free are weights that stay: uploading them again costs more than a generation.
    fn on_gpu(said: Configured, free: u64) -> Self {
        let budget = firm(said).or(memory::most_of(Some(free)));
        let most = || said.generation.unwrap_or(free) / 4 * 3;
        let admitted_bytes = said.generation.or(Some(free));
        Self { budget, admitted_bytes, resident_bytes: said.resident.unwrap_or_else(most), host_bytes: 0 }
    }
}

/// A budget that is configured is firm: what it does not hold is refused.
fn firm(said: Configured) -> Option<MemoryBudget> {
    said.generation.map(|bytes| MemoryBudget { bytes, firm: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Configured = Configured { generation: None, resident: None };
    const SAID: Configured = Configured { generation: Some(400), resident: Some(30) };

    fn budget(memory: NodeMemory) -> Option<(u64, bool)> {
        memory.budget.map(|budget| (budget.bytes, budget.firm))
    }

    #[test]
    fn a_node_that_is_told_nothing_takes_what_is_there() {
        let (cpu, gpu) = (NodeMemory::on_cpu(SILENT, Some(1000)), NodeMemory::on_gpu(SILENT, 1000));
        assert_eq!((budget(cpu), cpu.resident_bytes), (Some((1000, false)), 250));
        assert_eq!((budget(gpu), gpu.resident_bytes), (Some((900, false)), 750));
        assert_eq!((cpu.admitted_bytes, gpu.admitted_bytes), (Some(1000), Some(1000)));
        let nobody_knows = NodeMemory::on_cpu(SILENT, None);
        assert_eq!((budget(nobody_knows), nobody_knows.resident_bytes), (None, 0));
    }

    #[test]
    fn what_is_configured_goes_over_what_is_there_and_is_firm() {
        for memory in [NodeMemory::on_cpu(SAID, Some(1000)), NodeMemory::on_gpu(SAID, 1000)] {
            assert_eq!((budget(memory), memory.resident_bytes), (Some((400, true)), 30));
            assert_eq!(memory.admitted_bytes, Some(400));
        }
        let only = Configured { resident: None, ..SAID };
        assert_eq!(NodeMemory::on_cpu(only, Some(1000)).resident_bytes, 100);
        assert_eq!(NodeMemory::on_gpu(only, 1000).resident_bytes, 300);
    }
}
