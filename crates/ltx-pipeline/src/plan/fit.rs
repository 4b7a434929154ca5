//! What a budget makes of a request: which parts stay between generations, and how many of the transformer's blocks stay
//! between steps.
//!
//! Must not know how much a stage needs.

use super::{PlanShape, Sizes};
use crate::{
    Engine, PipelineError, Result,
    decode::{Smallest, chosen, tile_lengths, tiles_for},
};
use ltx_engine::{BlocksNeed, DecodingNeed, MemoryPlan, TileSizes};
use ltx_model::transformer::HeldBlocks;
use ltx_nn::matrix::Use;
use ltx_types::{Generation, Part};
use ltx_weights::Wear;

/// How a generation is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    /// Parts that stay in memory once they were loaded.
    pub(crate) kept: Vec<Part>,
    /// Transformer blocks that stay while it samples; the others are streamed.
    pub(crate) held: HeldBlocks,
    /// Whether there is room for a preview between two steps.
    pub(crate) previews: bool,
    /// Tiles of the decoder.
    pub(crate) tiles: TileSizes,
    /// How strongly each LoRA file counts.
    pub(crate) wear: Wear,
}

impl Fit {
    pub(crate) fn stays(&self, part: Part) -> bool {
        self.kept.contains(&part)
    }
}

impl Engine {
    /// How to run a request; `encodes` says whether its text encoder has anything to do.
    ///
    /// # Errors
    /// A firm budget does not hold the least that is possible.
    pub(crate) fn fit(&self, request: &Generation, encodes: bool) -> Result<Fit> {
        self.ltx.loras.wear(&request.loras)?;
        let (fit, plan) = self.fitted(&PlanShape { encodes, ..PlanShape::of(request, self.prompts()) });
        match plan.budget {
            Some(budget) if budget.firm && !plan.fits() => {
                let largest = plan.stages.iter().max_by_key(|need| need.bytes());
                let stage = largest.map_or("", |need| need.stage.label());
                let (gpu, budget, least) = (plan.gpu, budget.bytes, plan.peak());
                Err(PipelineError::TooLittleMemory { gpu, budget, least, stage })
            }
            _ => Ok(fit),
        }
    }

    /// The most comfortable way that the budget allows: parts stay; no part stays, but the whole transformer is in memory while
    /// it samples; the same in no more bits than it is stored in; as many of its blocks as possible; the same without previews. Else the least that is possible. Parts do not
    /// stay at the price of tiles below the official ones.
    pub(crate) fn fitted(&self, shape: &PlanShape) -> (Fit, MemoryPlan) {
        let all = self.architecture().transformer.num_layers;
        let vae = &self.architecture().vae;
        let latent = self.latent_of(shape.pixels, shape);
        let sizes = &*self.sizes_with(&shape.loras);
        let wear = self.ltx.loras.wear(&shape.loras).or_else(|_| self.ltx.loras.wear(&[])).unwrap_or_default();
        let plan = |fit: Fit| {
            let lengths = tile_lengths(vae, &fit.tiles, latent);
            let plan = MemoryPlan {
                gpu: self.placement.is_gpu(),
                stages: self.needs(shape, &fit, sizes),
                process: self.process_bytes(),
                blocks: BlocksNeed {
                    held: fit.held.count,
                    all,
                    bytes: sizes.larger.held_block(fit.held.usage),
                    compact: fit.held.usage == Use::Compact && sizes.larger.have_a_compact_form(),
                    eight_bit: sizes.larger.eight_bit.blocks,
                },
                decoding: DecodingNeed { count: lengths.iter().map(Vec::len).product(), tiles: fit.tiles },
                budget: self.options.memory,
            };
            (fit, plan)
        };
        let (previews, kept) = (self.options.previews, self.kept_parts(&sizes.larger));
        let tiles = self.tiles((shape, &sizes.larger), &kept, Smallest::Official);
        let blocks = |count, usage| HeldBlocks { count, usage };
        let whole = plan(Fit { kept, held: blocks(all, Use::Stays), previews, tiles, wear: wear.clone() });
        if whole.1.fits() {
            return whole;
        }
        let tiles = self.tiles((shape, &sizes.larger), &[], Smallest::Least);
        let alone = |held, previews| plan(Fit { kept: Vec::new(), held, previews, tiles, wear: wear.clone() });
        for previews in [previews, false] {
            // What is read in every pass costs more than what is widened in every product.
            let compact = (0..=all).rev().map(|count| blocks(count, Use::Compact));
            let fastest = std::iter::once(blocks(all, Use::Stays));
            let most = fastest.chain(compact).map(|held| alone(held, previews)).find(|(_, plan)| plan.fits());
            if let Some(most) = most {
                return most;
            }
        }
        alone(blocks(0, Use::Compact), false)
    }

    /// The decoder's tiles: those that were asked for; else the official ones, and on a GPU as large ones as its budget holds
    /// beside what stays there. Of a decoder that draws pixels they share no less than it needs.
    fn tiles(&self, (shape, sizes): (&PlanShape, &Sizes), kept: &[Part], smallest: Smallest) -> TileSizes {
        if let Some(diffusion) = self.architecture().vae.diffusion() {
            return tiles_for(diffusion, self.options.tiles);
        }
        let official = TileSizes::default();
        let (Some(budget), true) = (self.options.memory, self.placement.is_gpu()) else {
            return self.options.tiles.unwrap_or(official);
        };
        if let Some(tiles) = self.options.tiles {
            return tiles;
        }
        let beside = kept.iter().filter(|part| **part != Part::VideoDecoder).map(|part| sizes.part(*part));
        let weights = sizes.part(Part::VideoDecoder) + beside.sum::<u64>();
        let room = budget.bytes.saturating_sub(self.process_bytes() + weights);
        let (latent, scale) = (self.latent_of(shape.pixels, shape), self.architecture().vae.scale());
        chosen(latent, scale, smallest, |tiles| self.decoding_bytes(shape, tiles) <= room)
    }
}
