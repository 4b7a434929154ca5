//! Memory in words: a budget from a flag, a plan as a table.
//!
//! Must not know how a plan is made.

use crate::{compute::gpu_free_bytes, human::human};
use bytesize::ByteSize;
use ltx_engine::{MemoryBudget, MemoryPlan, StageNeed, TileSizes};
use ltx_jobs::memory::available_bytes;
use ltx_nn::Compute;
use serde_json::{Value, json};

/// The budget of a command that runs one generation.
#[derive(clap::Args)]
pub(crate) struct MemoryFlag {
    /// The most memory to take, such as 12GiB; of the GPU's, where one computes. Weights that do not fit are streamed from the
    /// files; what does not fit even then is refused. Without it: nine tenths of what is available, and nothing is refused.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,
}

impl MemoryFlag {
    /// What was said, or most of what is available where it computes.
    pub(crate) fn budget(&self, compute: &Compute) -> Option<MemoryBudget> {
        self.said().or_else(|| most_of(available(compute)))
    }

    /// What was said, nothing else.
    pub(crate) fn said(&self) -> Option<MemoryBudget> {
        self.memory.map(|bytes| MemoryBudget { bytes, firm: true })
    }
}

/// What is available where it computes.
fn available(compute: &Compute) -> Option<u64> {
    if compute.device.is_cpu() { available_bytes() } else { gpu_free_bytes(compute) }
}

/// Nine tenths, which is no promise.
pub(crate) fn most_of(available: Option<u64>) -> Option<MemoryBudget> {
    available.map(|bytes| MemoryBudget { bytes: bytes / 10 * 9, firm: false })
}

/// What may be page-locked of the machine's memory for weights that stream to a GPU: half of what is available.
pub(crate) fn host_bytes(compute: &Compute) -> u64 {
    if compute.device.is_cpu() { 0 } else { available_bytes().unwrap_or(0) / 2 }
}

/// `12GiB`, `500 MB`, or bytes.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let bytes = text.trim().parse::<ByteSize>().map_err(|_| "not a size, such as 12GiB, 500MB or 8000000000")?;
    Some(bytes.as_u64()).filter(|bytes| *bytes > 0).ok_or_else(|| "not above 0".to_owned())
}

/// Stage by stage, then what becomes of the transformer, then the peak.
pub(crate) fn table(plan: &MemoryPlan) -> String {
    let row = |name: &str, columns: [String; 4]| {
        let [weights, resident, activations, all] = columns;
        format!("{name:<12}{weights:>10}{resident:>12}{activations:>14}{all:>10}\n")
    };
    let mut text = row("stage", ["weights", "kept beside", "activations", "in all"].map(str::to_owned));
    for need in &plan.stages {
        let StageNeed { stage, weights, resident, activations } = *need;
        text += &row(stage.label(), [weights, resident, activations, need.bytes() + plan.process].map(human));
    }
    let itself = if plan.gpu { "the GPU's libraries" } else { "the process itself" };
    text += &format!("each with {} for {itself}\n{}\n", human(plan.process), blocks(plan));
    if plan.gpu {
        text += &format!("{}; all of it is the GPU's memory\n", decoding(plan));
    }
    text += &match plan.budget {
        None => format!("peak {}", human(plan.peak())),
        Some(budget) if plan.fits() => format!("peak {} of {}", human(plan.peak()), human(budget.bytes)),
        Some(budget) => format!(
            "peak {}, which is the least; it does not fit into {} ({} bytes would do)",
            human(plan.peak()),
            human(budget.bytes),
            plan.peak()
        ),
    };
    text
}

/// What becomes of the transformer's blocks.
pub(crate) fn blocks(plan: &MemoryPlan) -> String {
    let (held, all) = (plan.blocks.held, plan.blocks.all);
    let form = if plan.blocks.compact { " in 16 bits" } else { "" };
    let products = if plan.blocks.eight_bit { "; their products are in 8 bits" } else { "" };
    if held == all {
        return format!("all {all} transformer blocks stay in memory{form} while it samples{products}");
    }
    let bytes = human(plan.blocks.bytes);
    format!(
        "{held} of {all} transformer blocks stay in memory{form} while it samples; {} of {bytes} are streamed{products}",
        all - held
    )
}

/// How the decoder goes through the clip.
fn decoding(plan: &MemoryPlan) -> String {
    let TileSizes { frames, height, width } = plan.decoding.tiles;
    match plan.decoding.count {
        1 => "the clip is decoded in one piece".to_owned(),
        count => format!(
            "the clip is decoded in {count} tiles of at most {} frames and {}x{} pixels",
            frames.size, width.size, height.size
        ),
    }
}

pub(crate) fn as_json(plan: &MemoryPlan) -> Value {
    json!({
        "device": if plan.gpu { "gpu" } else { "cpu" },
        "decoding": plan.decoding,
        "stages": plan.stages,
        "process": plan.process,
        "blocks": plan.blocks,
        "budget": plan.budget,
        "fits": plan.fits(),
        "peak": plan.peak(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("12GiB", 12 << 30), ("500 MB", 500_000_000), ("1048576", 1 << 20), ("0.5gib", 1 << 29)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "twelve", "-1GiB", "12 parsecs"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
