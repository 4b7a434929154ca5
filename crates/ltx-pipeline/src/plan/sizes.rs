//! Bytes of weights in memory: of parts, and of the layers that parts are streamed in.
//!
//! Must not know requests.

use crate::{
    inspect::{LtxFile, TextFolder},
    resident::Part,
};
use ltx_model::transformer::Transformer;
use ltx_nn::Compute;
use ltx_weights::{LoadReport, Tally, TensorSet};
use std::collections::BTreeMap;

/// Sizes of one model's weights, packed matrices, and LoRA pairs beside them, as they are stored, all else in the compute dtype.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sizes {
    parts: BTreeMap<&'static str, u64>,
    /// The transformer's blocks together.
    pub(crate) blocks: u64,
    /// The largest of them, and the largest tensor in it: while a layer is loaded, one tensor may lie there in two forms.
    pub(crate) block: u64,
    block_tensor: u64,
    /// The largest of the connector's.
    pub(crate) connector_block: u64,
    /// The largest layer of the language model.
    pub(crate) gemma_layer: u64,
}

/// Bytes of a value that is rounded to 8 bits, its share of the scales included: 17 / 16.
const EIGHT_BIT: (u64, u64) = (17, 16);

/// Whether a matrix is rounded where 8 bits are asked for: rows of whole groups, and outputs enough.
fn eight_bit(outputs: usize, inputs: usize) -> bool {
    inputs.is_multiple_of(128) && outputs >= 64
}

/// Layers of a stack: together, the largest, and the largest tensor.
#[derive(Default)]
struct Layers {
    sum: u64,
    layer: u64,
    tensor: u64,
}

impl Sizes {
    pub(crate) fn of(reports: &[LoadReport], ltx: &LtxFile, text: &TextFolder, compute: &Compute) -> Self {
        let value = compute.dtype.size_in_bytes() as u64;
        let mut sizes = Self::default();
        for report in reports {
            for (part, used) in &report.used {
                let packed = report.packed.get(part).copied().unwrap_or_default();
                let beside = report.beside.get(part).copied().unwrap_or_default();
                *sizes.parts.entry(part).or_default() += in_memory(*used, packed, value) + beside.bytes;
            }
        }
        let plain = |shape: &[usize], packed: Option<u64>| packed.unwrap_or(values(shape) * value);
        let prefix = Transformer::PREFIX;
        let blocks = (&*ltx.tensors, format!("{prefix}.transformer_blocks"), ltx.transformer.num_layers);
        let all = layers(&blocks, plain);
        (sizes.blocks, sizes.block, sizes.block_tensor) = (all.sum, all.layer, all.tensor);
        if compute.eight_bit {
            // The blocks alone; while a matrix is rounded, it lies there in its other form as well.
            let rounded = layers(&blocks, |shape, packed| match *shape {
                [outputs, inputs] if eight_bit(outputs, inputs) => values(shape) * EIGHT_BIT.0 / EIGHT_BIT.1,
                _ => plain(shape, packed),
            });
            let transformer = sizes.parts.entry("transformer").or_default();
            *transformer = transformer.saturating_sub(sizes.blocks) + rounded.sum;
            (sizes.blocks, sizes.block) = (rounded.sum, rounded.layer);
        }
        let connector = format!("{prefix}.video_embeddings_connector.transformer_1d_blocks");
        sizes.connector_block = layers(&(&ltx.tensors, connector, ltx.transformer.connector_num_layers), plain).layer;
        let gemma = format!("{}.layers", text.prefix);
        sizes.gemma_layer = layers(&(&text.tensors, gemma, text.config.num_hidden_layers), plain).layer;
        sizes
    }

    /// A part that may stay. Gemma is read layer by layer in every pass and never stays; of the text encoder it is the
    /// projection and the connector.
    pub(crate) fn part(&self, part: Part) -> u64 {
        let names: &[&str] = match part {
            Part::TextEncoder => &["text projection", "text connector"],
            Part::VideoEncoder => &["video VAE encoder"],
            Part::Transformer => &["transformer"],
            Part::Upsampler => &["latent upscaler"],
            Part::VideoDecoder => &["video VAE decoder"],
        };
        names.iter().map(|name| self.named(name)).sum()
    }

    /// The matrix between the language model and the connector.
    pub(crate) fn projection(&self) -> u64 {
        self.named("text projection")
    }

    /// The transformer with `held` of its `all` blocks in memory, and two of the others.
    pub(crate) fn transformer(&self, held: usize, all: usize) -> u64 {
        let blocks = self.blocks * held as u64 / all.max(1) as u64 + streamed(self.block, all - held.min(all));
        self.named("transformer").saturating_sub(self.blocks) + blocks + self.block_tensor
    }

    fn named(&self, part: &str) -> u64 {
        self.parts.get(part).copied().unwrap_or(0)
    }
}

/// Bytes of `count` layers at a prefix.
fn layers(
    (set, prefix, count): &(&TensorSet, String, usize),
    bytes: impl Fn(&[usize], Option<u64>) -> u64 + Copy,
) -> Layers {
    let layer = |i: usize| set.memory_bytes(&format!("{prefix}.{i}."), bytes);
    (0..*count).map(layer).fold(Layers::default(), |all, (layer, tensor)| Layers {
        sum: all.sum + layer,
        layer: all.layer.max(layer),
        tensor: all.tensor.max(tensor),
    })
}

fn values(shape: &[usize]) -> u64 {
    shape.iter().product::<usize>() as u64
}

/// Of layers that are streamed, the one in use and the next are in memory.
pub(crate) fn streamed(layer: u64, count: usize) -> u64 {
    layer * count.min(2) as u64
}

fn in_memory(used: Tally, packed: Tally, value: u64) -> u64 {
    (used.parameters - packed.parameters) * value + packed.bytes
}
