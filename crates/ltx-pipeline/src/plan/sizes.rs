//! Bytes of weights in memory: of parts, and of the layers that parts are streamed in.
//!
//! Must not know requests.

use crate::opened::{LtxFile, TextFolder};
use candle_core::DType;
use ltx_model::{
    footprint::{Placement, Stack, streamed_bytes},
    part::Module,
    text_encoder::{Connector, FeatureProjection},
    transformer::Transformer,
};
use ltx_nn::Compute;
use ltx_types::Part;
use ltx_weights::{Footprint, LoadReport, Loras, Tally, TensorSet};
use std::collections::BTreeMap;

/// Sizes of one model's weights: of what stays, packed matrices, and LoRA pairs beside them, are as they are stored, all else
/// in the compute dtype. Matrices of layers that are used once keep 16-bit floats as well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sizes {
    parts: BTreeMap<Part, u64>,
    /// The transformer's blocks together.
    pub(crate) blocks: u64,
    /// The largest of them that stays, and that is streamed.
    pub(crate) block: u64,
    streamed_block: u64,
    /// While a layer that stays is loaded, one matrix lies there in its stored form as well.
    second_form: u64,
    /// The largest of the connector's, streamed.
    pub(crate) connector_block: u64,
    /// The largest layer of the language model; it is always streamed.
    pub(crate) gemma_layer: u64,
    /// On a GPU: what is no matrix in layers that are streamed; it stays there.
    pub(crate) small: u64,
    /// All layers of the language model.
    pub(crate) gemma: u64,
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
    pub(crate) fn of(
        reports: &[LoadReport],
        ltx: &LtxFile,
        text: &TextFolder,
        compute: &Compute,
        placement: Placement,
    ) -> Self {
        let (value, gpu) = (placement.value_bytes(), placement.is_gpu());
        let mut sizes = Self::default();
        for report in reports {
            for (part, used) in &report.used {
                let packed = report.packed.get(part).copied().unwrap_or_default();
                let beside = report.beside.get(part).copied().unwrap_or_default();
                // A GPU keeps nothing packed but fp8 matrices, and those of the parts that have any are counted below.
                let packed = if gpu { Tally::default() } else { packed };
                *sizes.parts.entry(*part).or_default() += in_memory(*used, packed, value) + beside.bytes;
            }
        }
        let widens = !gpu && compute.dtype == DType::F32;
        let rule = Rule { value, gpu, widens, tiles: widens && compute.kernels.level.has_tiles(), loras: &ltx.loras };
        let all = ltx.tensors.memory_bytes(&format!("{}.", Transformer::PREFIX), |tensor| {
            if tensor.key.starts_with(Connector::MARK) { 0 } else { rule.staying(tensor) }
        });
        sizes.parts.insert(Part::Transformer, all.0);
        let connector = ltx.tensors.memory_bytes(Connector::MARK, |tensor| rule.staying(tensor)).0;
        sizes.parts.insert(Part::TextConnector, connector);
        // The matrix between the language model and the connector is multiplied in its stored form.
        let projection = ltx.tensors.memory_bytes(FeatureProjection::MARK, |tensor| rule.passing(tensor)).0;
        sizes.parts.insert(Part::TextProjection, projection);

        let blocks = (&*ltx.tensors, ltx.architecture.transformer.stack());
        let held = layers(&blocks, |tensor| rule.staying(tensor));
        (sizes.blocks, sizes.block) = (held.sum, held.layer);
        sizes.streamed_block = layers(&blocks, |tensor| rule.passing(tensor)).layer;
        sizes.second_form = layers(&blocks, |tensor| rule.loading(tensor)).tensor;
        if compute.eight_bit {
            // The blocks alone; while a matrix is rounded, it lies there in its other form as well.
            let rounded = layers(&blocks, |tensor| match *tensor.shape {
                [outputs, inputs] if eight_bit(outputs, inputs) => values(tensor.shape) * EIGHT_BIT.0 / EIGHT_BIT.1,
                _ => rule.staying(tensor),
            });
            let transformer = sizes.parts.entry(Part::Transformer).or_default();
            *transformer = transformer.saturating_sub(sizes.blocks) + rounded.sum;
            (sizes.blocks, sizes.block, sizes.streamed_block) = (rounded.sum, rounded.layer, rounded.layer);
            sizes.second_form = layers(&blocks, |tensor| rule.passing(tensor)).tensor;
        }
        let connector = (&*ltx.tensors, ltx.architecture.text.connector.stack());
        sizes.connector_block = layers(&connector, |tensor| rule.passing(tensor)).layer;
        let gemma = (&*text.tensors, text.config.stack(text.prefix));
        let no_loras = Rule { loras: &Loras::default(), ..rule };
        let language = layers(&gemma, |tensor| no_loras.passing(tensor));
        (sizes.gemma, sizes.gemma_layer) = (language.sum, language.layer);
        if gpu {
            let small = |tensor: Footprint<'_>| if tensor.is_matrix() { 0 } else { values(tensor.shape) * value };
            sizes.small = [&blocks, &connector, &gemma].map(|stack| layers(stack, small).sum).iter().sum();
        }
        sizes
    }

    /// A part's weights, all of them. The language model never stays: it is read layer by layer in every pass.
    pub(crate) fn part(&self, part: Part) -> u64 {
        self.parts.get(&part).copied().unwrap_or(0)
    }

    /// The transformer with `held` of its `all` blocks in memory, and two of the others.
    pub(crate) fn transformer(&self, held: usize, all: usize) -> u64 {
        let streamed = streamed_bytes(self.streamed_block, all - held.min(all));
        let blocks = self.blocks * held as u64 / all.max(1) as u64 + streamed;
        self.part(Part::Transformer).saturating_sub(self.blocks) + blocks + if held > 0 { self.second_form } else { 0 }
    }
}

/// What a tensor takes.
#[derive(Clone, Copy)]
struct Rule<'a> {
    /// Bytes of a value in the compute dtype.
    value: u64,
    /// Whether it lies in a GPU's memory: packed matrices are fp8 there, or widened to the dtype.
    gpu: bool,
    /// Whether 16-bit floats would be widened.
    widens: bool,
    /// Whether bf16 stays what it is also where it would be widened.
    tiles: bool,
    loras: &'a Loras,
}

impl Rule<'_> {
    /// In a layer that stays.
    fn staying(self, tensor: Footprint<'_>) -> u64 {
        if self.gpu && tensor.packed && !tensor.fp8 {
            return values(tensor.shape) * self.value + self.loras.size_beside(tensor.key).bytes;
        }
        if tensor.packed {
            return tensor.stored + self.loras.size_beside(tensor.key).bytes;
        }
        let in_tiles = self.tiles && tensor.bf16 && self.is_plain_matrix(tensor);
        if in_tiles { tensor.stored } else { values(tensor.shape) * self.value }
    }

    /// In a layer that is used once.
    fn passing(self, tensor: Footprint<'_>) -> u64 {
        let wide = self.staying(tensor);
        if self.widens && self.is_plain_matrix(tensor) { wide.min(tensor.stored) } else { wide }
    }

    /// While it is loaded, beside its last form.
    fn loading(self, tensor: Footprint<'_>) -> u64 {
        match (tensor.packed, self.gpu) {
            (true, _) => 0,
            (false, false) => self.passing(tensor),
            // The sum with a LoRA, and what is added to, in f32; else what is converted there.
            (false, true) if self.loras.size_beside(tensor.key).tensors > 0 => values(tensor.shape) * 8,
            (false, true) if self.value == 4 || tensor.stored == values(tensor.shape) * self.value => 0,
            (false, true) => tensor.stored,
        }
    }

    /// Whether it is a matrix that no LoRA is added to.
    fn is_plain_matrix(self, tensor: Footprint<'_>) -> bool {
        tensor.shape.len() == 2 && self.loras.size_beside(tensor.key).tensors == 0
    }
}

/// Bytes of the layers of a stack.
fn layers((set, stack): &(&TensorSet, Stack), bytes: impl Fn(Footprint<'_>) -> u64 + Copy) -> Layers {
    let layer = |i: usize| set.memory_bytes(&format!("{}{i}.", stack.keys), bytes);
    (0..stack.count).map(layer).fold(Layers::default(), |all, (layer, tensor)| Layers {
        sum: all.sum + layer,
        layer: all.layer.max(layer),
        tensor: all.tensor.max(tensor),
    })
}

fn values(shape: &[usize]) -> u64 {
    shape.iter().product::<usize>() as u64
}

fn in_memory(used: Tally, packed: Tally, value: u64) -> u64 {
    (used.parameters - packed.parameters) * value + packed.bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_keeps_fp8_as_bytes_and_everything_else_in_the_dtype() {
        let loras = Loras::default();
        let rule = |value, gpu| Rule { value, gpu, widens: !gpu && value == 4, tiles: false, loras: &loras };
        let matrix = |stored, packed, fp8| Footprint {
            key: "layer.weight",
            shape: &[32, 64],
            stored,
            packed,
            bf16: !packed && stored == 4096,
            fp8,
        };
        let (bf16, f32s, blocks, fp8) = (
            matrix(4096, false, false),
            matrix(8192, false, false),
            matrix(2176, true, false),
            matrix(2048, true, true),
        );
        // In its last form, streamed, and beside it while it is loaded.
        for (tensor, value, expected) in [
            (bf16, 2, [4096, 4096, 0]),
            (bf16, 4, [8192, 8192, 0]),
            (f32s, 2, [4096, 4096, 8192]),
            (blocks, 2, [4096, 4096, 0]),
            (blocks, 4, [8192, 8192, 0]),
            (fp8, 2, [2048, 2048, 0]),
        ] {
            let rule = rule(value, true);
            assert_eq!(
                [rule.staying(tensor), rule.passing(tensor), rule.loading(tensor)],
                expected,
                "{tensor:?} {value}"
            );
        }
        // On the CPU blocks stay packed, and 16-bit floats of a streamed layer are as they are stored.
        let cpu = rule(4, false);
        assert_eq!(
            [cpu.staying(blocks), cpu.staying(bf16), cpu.passing(bf16), cpu.loading(bf16)],
            [2176, 8192, 4096, 4096]
        );
        assert!(bf16.is_matrix() && !Footprint { key: "layer.scale_shift_table", ..bf16 }.is_matrix());
    }
}
