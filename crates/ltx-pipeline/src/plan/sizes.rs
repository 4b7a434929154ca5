//! Bytes of weights in memory: of parts, and of the layers that parts are streamed in.
//!
//! Must not know requests.

use crate::opened::{LtxFile, TextFiles};
use candle_core::DType;
use ltx_model::{
    footprint::{Placement, Stack, streamed_bytes},
    part::Module,
    text_encoder::{Connector, FeatureProjection},
    transformer::{HeldBlocks, Transformer},
    video_vae::VideoDecoder,
};
use ltx_nn::{
    Compute, EightBitProducts,
    matrix::{Arithmetic, Description, Form, StoredKind, Use, form},
};
use ltx_types::{Part, SamplingStage};
use ltx_weights::{Footprint, LoadReport, Loras, Tally, TensorSet, Wear};
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
    /// The transformer's blocks in no more bits than they are stored in.
    compact: Compact,
    /// What is multiplied in 8 bits.
    pub(crate) eight_bit: EightBit,
    /// The largest of the connector's, streamed.
    pub(crate) connector_block: u64,
    /// The largest layer of the language model; it is always streamed.
    pub(crate) gemma_layer: u64,
    /// On a GPU: what is no matrix in layers that are streamed; it stays there.
    pub(crate) small: u64,
    /// All layers of the language model.
    pub(crate) gemma: u64,
}

/// Blocks that stay where memory is short.
#[derive(Debug, Clone, Copy, Default)]
struct Compact {
    sum: u64,
    block: u64,
    second_form: u64,
}

/// The sizes in each stage.
#[derive(Debug, Clone, Default)]
pub(crate) struct StageSizes {
    /// Of each the larger, for what is there in either stage.
    pub(crate) larger: Sizes,
    pub(crate) first: Sizes,
    pub(crate) second: Sizes,
}

/// Whether large matrices are multiplied in 8 bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EightBit {
    /// Of the transformer's blocks.
    pub(crate) blocks: bool,
    /// Of the language model's layers.
    pub(crate) language: bool,
}

/// Layers of a stack: together, the largest, and the largest tensor.
#[derive(Default)]
struct Layers {
    sum: u64,
    layer: u64,
    tensor: u64,
}

impl Sizes {
    /// The sizes that the weights have in a stage.
    pub(crate) fn of(
        reports: &[LoadReport],
        ltx: &LtxFile,
        text: &TextFiles,
        (compute, placement): (&Compute, Placement),
        (stage, wear): (SamplingStage, &Wear),
    ) -> Self {
        let gpu = placement.is_gpu();
        let text_dtype = text.compute_dtype(placement.dtype);
        let mut sizes = Self::default();
        for report in reports {
            for (part, used) in &report.used {
                let packed = report.packed.get(part).copied().unwrap_or_default();
                let beside = report.beside.get(part).copied().unwrap_or_default();
                // A GPU keeps nothing packed but fp8 matrices, and those of the parts that have any are counted below.
                let packed = if gpu { Tally::default() } else { packed };
                let dtype = if *part == Part::LanguageModel { text_dtype } else { placement.dtype };
                let value = dtype.size_in_bytes() as u64;
                *sizes.parts.entry(*part).or_default() += in_memory(*used, packed, value) + beside.bytes;
            }
        }
        let arithmetic = Arithmetic { on_gpu: gpu, ..Arithmetic::of(compute) };
        let blocks_rule = Rule { arithmetic, loras: &ltx.loras, stage, wear };
        // Everything but the blocks is exact.
        let rule = Rule { arithmetic: Arithmetic { eight_bit: EightBitProducts::Never, ..arithmetic }, ..blocks_rule };
        let all = ltx.tensors.memory_bytes(&format!("{}.", Transformer::PREFIX), |tensor| {
            if tensor.key.starts_with(Connector::MARK) { 0 } else { rule.staying(tensor) }
        });
        sizes.parts.insert(Part::Transformer, all.0);
        let connector = ltx.tensors.memory_bytes(Connector::MARK, |tensor| rule.staying(tensor)).0;
        sizes.parts.insert(Part::TextConnector, connector);
        // The matrix between the language model and the connector is multiplied in its stored form.
        let projection = ltx.tensors.memory_bytes(FeatureProjection::MARK, |tensor| rule.streamed(tensor)).0;
        sizes.parts.insert(Part::TextProjection, projection);
        if ltx.architecture.vae.diffusion().is_some() {
            let drawing = rule.of_drawing();
            let decoder = ltx.tensors.memory_bytes(VideoDecoder::MARK, |tensor| drawing.staying(tensor)).0;
            sizes.parts.insert(Part::VideoDecoder, decoder);
        }

        let blocks = (&*ltx.tensors, ltx.architecture.transformer.stack());
        let held = layers(&blocks, |tensor| blocks_rule.staying(tensor));
        (sizes.blocks, sizes.block) = (held.sum, held.layer);
        let exact = layers(&blocks, |tensor| rule.staying(tensor)).sum;
        let transformer = sizes.parts.entry(Part::Transformer).or_default();
        *transformer = transformer.saturating_sub(exact) + sizes.blocks;
        sizes.streamed_block = layers(&blocks, |tensor| blocks_rule.streamed(tensor)).layer;
        sizes.second_form = layers(&blocks, |tensor| blocks_rule.loading(tensor, Use::Stays)).tensor;
        let compact = layers(&blocks, |tensor| blocks_rule.bytes(tensor, Use::Compact));
        let second_form = layers(&blocks, |tensor| blocks_rule.loading(tensor, Use::Compact)).tensor;
        sizes.compact = Compact { sum: compact.sum, block: compact.layer, second_form };
        let connector = ltx.architecture.text.as_ref().map(|text| (&*ltx.tensors, text.connector.stack()));
        let of_connector = |bytes: &dyn Fn(Footprint<'_>) -> u64| {
            connector.as_ref().map_or_else(Layers::default, |connector| layers(connector, bytes))
        };
        sizes.connector_block = of_connector(&|tensor| rule.streamed(tensor)).layer;
        let gemma = (&**text.tensors(), text.stack());
        let eight_bit = compute.exact_unless_packed().eight_bit;
        let of_text = Arithmetic { dtype: text_dtype, eight_bit, ..rule.arithmetic };
        let no_loras = Rule { loras: &Loras::default(), arithmetic: of_text, ..rule };
        let language = layers(&gemma, |tensor| no_loras.streamed(tensor));
        (sizes.gemma, sizes.gemma_layer) = (language.sum, language.layer);
        let any = |tensors: &TensorSet, keys: &str, rule: Rule<'_>| {
            let form = |tensor: Footprint<'_>| rule.form(rule.matrix(tensor), Use::Streamed);
            tensors.footprints(keys).any(|tensor| form(tensor).is_eight_bit())
        };
        sizes.eight_bit = EightBit {
            blocks: any(&ltx.tensors, Transformer::MARK, blocks_rule),
            language: any(text.tensors(), &text.stack().keys, no_loras),
        };
        if gpu {
            let small_in = |arithmetic: Arithmetic| {
                move |tensor: Footprint<'_>| {
                    if tensor.is_matrix() { 0 } else { arithmetic.floats().bytes(values(tensor.shape)) }
                }
            };
            let small = small_in(arithmetic);
            sizes.small = layers(&blocks, small).sum + of_connector(&small).sum + layers(&gemma, small_in(of_text)).sum;
        }
        sizes
    }

    /// Of each the larger, for what is there in either stage.
    pub(crate) fn larger(mut self, other: &Self) -> Self {
        for (part, bytes) in &other.parts {
            let here = self.parts.entry(*part).or_default();
            *here = (*here).max(*bytes);
        }
        Self {
            parts: self.parts,
            blocks: self.blocks.max(other.blocks),
            block: self.block.max(other.block),
            streamed_block: self.streamed_block.max(other.streamed_block),
            second_form: self.second_form.max(other.second_form),
            compact: Compact {
                sum: self.compact.sum.max(other.compact.sum),
                block: self.compact.block.max(other.compact.block),
                second_form: self.compact.second_form.max(other.compact.second_form),
            },
            eight_bit: EightBit {
                blocks: self.eight_bit.blocks || other.eight_bit.blocks,
                language: self.eight_bit.language || other.eight_bit.language,
            },
            connector_block: self.connector_block.max(other.connector_block),
            gemma_layer: self.gemma_layer.max(other.gemma_layer),
            small: self.small.max(other.small),
            gemma: self.gemma.max(other.gemma),
        }
    }

    /// A part's weights, all of them. The language model never stays: it is read layer by layer in every pass.
    pub(crate) fn part(&self, part: Part) -> u64 {
        self.parts.get(&part).copied().unwrap_or(0)
    }

    /// The transformer with some of its `all` blocks in memory, and two of the others.
    pub(crate) fn transformer(&self, HeldBlocks { count, usage }: HeldBlocks, all: usize) -> u64 {
        let (sum, second_form) = match usage {
            Use::Compact => (self.compact.sum, self.compact.second_form),
            Use::Stays | Use::Once | Use::Streamed => (self.blocks, self.second_form),
        };
        let streamed = streamed_bytes(self.streamed_block, all - count.min(all));
        let blocks = sum * count as u64 / all.max(1) as u64 + streamed;
        self.part(Part::Transformer).saturating_sub(self.blocks) + blocks + if count > 0 { second_form } else { 0 }
    }

    /// Bytes of the largest block that stays.
    pub(crate) fn held_block(&self, usage: Use) -> u64 {
        if usage == Use::Compact { self.compact.block } else { self.block }
    }

    /// Whether blocks may stay in fewer bytes than those that are multiplied fastest.
    pub(crate) fn have_a_compact_form(&self) -> bool {
        self.compact.sum < self.blocks
    }
}

/// What a tensor takes, in the form that it is loaded in.
#[derive(Clone, Copy)]
pub(crate) struct Rule<'a> {
    pub(crate) arithmetic: Arithmetic,
    pub(crate) loras: &'a Loras,
    pub(crate) stage: SamplingStage,
    pub(crate) wear: &'a Wear,
}

impl Rule<'_> {
    /// The rule of a decoder that draws pixels: it computes in f32, whatever the dtype.
    pub(crate) fn of_drawing(self) -> Self {
        Self { arithmetic: Arithmetic { dtype: DType::F32, ..self.arithmetic }, ..self }
    }

    /// Bytes of a tensor in a layer that stays.
    fn staying(self, tensor: Footprint<'_>) -> u64 {
        self.bytes(tensor, Use::Stays)
    }

    /// Bytes of a tensor in a layer that is used once.
    fn streamed(self, tensor: Footprint<'_>) -> u64 {
        self.bytes(tensor, Use::Streamed)
    }

    fn bytes(self, tensor: Footprint<'_>, usage: Use) -> u64 {
        let matrix = self.matrix(tensor);
        let has_pairs = matrix.is_some_and(|matrix| matrix.has_pairs);
        let pairs = if has_pairs { self.loras.size_beside_in(tensor.key, self.stage, self.wear).bytes } else { 0 };
        self.form(matrix, usage).bytes(values(tensor.shape)) + pairs
    }

    /// Bytes that lie beside a tensor that stays while it is loaded.
    fn loading(self, tensor: Footprint<'_>, usage: Use) -> u64 {
        let (on_gpu, count) = (self.arithmetic.on_gpu, values(tensor.shape));
        match self.matrix(tensor) {
            // The sum with a LoRA, and what is added to, in f32.
            Some(matrix) if on_gpu && self.is_adapted(tensor) && !matrix.has_pairs => 2 * matrix.kind.bytes(count),
            Some(matrix) => self.form(Some(matrix), usage).bytes_while_loading(matrix.kind, count),
            None => match self.form(None, usage).bytes(count) {
                bytes if !on_gpu => bytes,
                bytes if self.arithmetic.dtype == DType::F32 || tensor.stored == bytes => 0,
                _ => tensor.stored,
            },
        }
    }

    /// The matrix that a tensor is multiplied as, its form, and the values of pairs beside it; nothing for one that is none.
    pub(crate) fn product(self, tensor: Footprint<'_>, usage: Use) -> Option<(Description, Form, u64)> {
        let matrix = self.matrix(tensor).filter(|_| tensor.is_matrix())?;
        let pairs = self.loras.size_beside_in(tensor.key, self.stage, self.wear).parameters;
        Some((matrix, self.form(Some(matrix), usage), if matrix.has_pairs { pairs } else { 0 }))
    }

    /// The form of a matrix, or of a tensor that is none.
    fn form(self, matrix: Option<Description>, usage: Use) -> Form {
        matrix.map_or_else(|| self.arithmetic.floats(), |matrix| form(&matrix, &self.arithmetic, usage))
    }

    /// A tensor as a matrix; what LoRA pairs are merged into is a sum in f32.
    fn matrix(self, tensor: Footprint<'_>) -> Option<Description> {
        let (kind, &[outputs, inputs]) = (tensor.matrix?, tensor.shape) else { return None };
        let shape = [outputs, inputs];
        Some(match self.is_adapted(tensor) {
            true if kind.merges_pairs() => {
                Description { kind: StoredKind::Floats(DType::F32), shape, has_pairs: false }
            }
            has_pairs => Description { kind, shape, has_pairs },
        })
    }

    /// Whether LoRA pairs count for a tensor.
    fn is_adapted(self, tensor: Footprint<'_>) -> bool {
        self.loras.size_beside_in(tensor.key, self.stage, self.wear).tensors > 0
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

/// Values of a tensor.
fn values(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn in_memory(used: Tally, packed: Tally, value: u64) -> u64 {
    (used.parameters - packed.parameters) * value + packed.bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_nn::{Block, Packing};

    #[test]
    fn a_gpu_keeps_fp8_as_bytes_and_everything_else_in_the_dtype() {
        let (loras, wear) = (Loras::default(), Wear::default());
        let rule = |dtype, on_gpu| Rule {
            arithmetic: Arithmetic { on_gpu, dtype, eight_bit: EightBitProducts::Never, tiles: false },
            loras: &loras,
            stage: SamplingStage::First,
            wear: &wear,
        };
        let tensor = |stored, kind| Footprint { key: "layer.weight", shape: &[32, 64], stored, matrix: kind };
        let matrix = |stored, packing| tensor(stored, Some(StoredKind::Packed(packing)));
        let (bf16, f32s, blocks, fp8) = (
            matrix(4096, Packing::Bf16),
            tensor(8192, Some(StoredKind::Floats(DType::F32))),
            matrix(2176, Packing::Blocks(Block::Q8_0)),
            matrix(2048, Packing::Fp8 { scale: 1.0 }),
        );
        // In its last form, streamed, and beside it while it is loaded.
        let found =
            |rule: Rule<'_>, tensor| [rule.staying(tensor), rule.streamed(tensor), rule.loading(tensor, Use::Stays)];
        for (tensor, dtype, expected) in [
            (bf16, DType::BF16, [4096, 4096, 0]),
            (bf16, DType::F32, [8192, 8192, 0]),
            (f32s, DType::BF16, [4096, 4096, 8192]),
            (blocks, DType::BF16, [4096, 4096, 0]),
            (blocks, DType::F32, [8192, 8192, 0]),
            (fp8, DType::BF16, [2048, 2048, 0]),
        ] {
            assert_eq!(found(rule(dtype, true), tensor), expected, "{tensor:?} {dtype:?}");
        }
        // On the CPU blocks stay packed, and 16-bit floats of a streamed layer are as they are stored.
        let cpu = rule(DType::F32, false);
        assert_eq!((found(cpu, blocks), found(cpu, bf16)), ([2176, 2176, 0], [8192, 4096, 4096]));
        assert!(bf16.is_matrix() && !Footprint { key: "layer.scale_shift_table", ..bf16 }.is_matrix());
    }

    #[test]
    fn what_is_no_matrix_is_in_the_dtype_and_converted_beside_it_on_a_gpu() {
        let (loras, wear) = (Loras::default(), Wear::default());
        let norm = Footprint { key: "layer.norm", shape: &[64], stored: 256, matrix: None };
        for (dtype, on_gpu, expected) in
            [(DType::F32, false, [256, 256]), (DType::F32, true, [256, 0]), (DType::BF16, true, [128, 256])]
        {
            let arithmetic = Arithmetic { on_gpu, dtype, eight_bit: EightBitProducts::Always, tiles: false };
            let rule = Rule { arithmetic, loras: &loras, stage: SamplingStage::First, wear: &wear };
            assert_eq!([rule.staying(norm), rule.loading(norm, Use::Stays)], expected, "{dtype:?} {on_gpu}");
        }
    }
}
