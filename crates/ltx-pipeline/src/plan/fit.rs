//! What a budget makes of a request: which parts stay between generations, and how many of the transformer's blocks stay
//! between steps.
//!
//! Must not know how much a stage needs.

use super::{BlocksNeed, MemoryPlan, PlanShape};
use crate::{Engine, PipelineError, Result, resident::Part};
use ltx_types::Generation;

/// How a generation is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    /// Parts that stay in memory once they were loaded.
    pub(crate) kept: Vec<Part>,
    /// Transformer blocks that stay while it samples; the others are streamed.
    pub(crate) held: usize,
    /// Whether there is room for a preview between two steps.
    pub(crate) previews: bool,
}

impl Fit {
    pub(crate) fn stays(&self, part: Part) -> bool {
        self.kept.contains(&part)
    }
}

impl Engine {
    /// How to run a request.
    ///
    /// # Errors
    /// A firm budget does not hold the least that is possible.
    pub(crate) fn fit(&self, request: &Generation) -> Result<Fit> {
        let (fit, plan) = self.fitted(&self.shape_of(request));
        match plan.budget {
            Some(budget) if budget.firm && !plan.fits() => {
                let largest = plan.stages.iter().max_by_key(|need| need.bytes());
                let stage = largest.map_or("", |need| need.stage.label());
                Err(PipelineError::TooLittleMemory { budget: budget.bytes, least: plan.peak(), stage })
            }
            _ => Ok(fit),
        }
    }

    /// The most comfortable way that the budget allows: parts stay; no part stays, but the whole transformer is in memory
    /// while it samples; as many of its blocks as possible; the same without previews. Else the least that is possible.
    pub(super) fn fitted(&self, shape: &PlanShape) -> (Fit, MemoryPlan) {
        let all = self.ltx.transformer.num_layers;
        let plan = |fit: Fit| {
            let plan = MemoryPlan {
                stages: self.needs(shape, &fit),
                process: self.process_bytes(shape),
                blocks: BlocksNeed { held: fit.held, all, bytes: self.sizes.block },
                budget: self.options.memory,
            };
            (fit, plan)
        };
        let previews = self.options.previews;
        let whole = plan(Fit { kept: self.kept_parts(), held: all, previews });
        if whole.1.fits() {
            return whole;
        }
        let alone = |held, previews| plan(Fit { kept: Vec::new(), held, previews });
        for previews in [previews, false] {
            let most = (0..=all).rev().map(|held| alone(held, previews)).find(|(_, plan)| plan.fits());
            if let Some(most) = most {
                return most;
            }
        }
        alone(0, false)
    }
}
