//! A kernel's weights in the panels that the micro-kernel multiplies.
//!
//! Must not know activations.

use super::{super::gemm::COLUMNS, scratch::Scratch};
use crate::Conv3dConfig;
use rayon::prelude::*;
use std::sync::Arc;

/// Inputs packed side by side, so that a panel's part stays in the first cache.
const PIECE: usize = 16;

/// Weights `[panels, taps, inputs, COLUMNS]` and biases, outputs past the last 0. Outputs that unfold into space and time are
/// ordered (time, row, column, channel), so that a position's channels lie side by side.
#[derive(Debug)]
pub struct PackedConv {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 3],
    pub(super) unfold: [usize; 3],
    pub(super) scratch: Arc<Scratch>,
}

impl PackedConv {
    /// Packs `weight [outputs, inputs, kt, kh, kw]` and `bias [outputs]`; `None` if their lengths do not fit the sizes.
    pub fn new(weight: &[f32], bias: &[f32], config: &Conv3dConfig) -> Option<Self> {
        let Conv3dConfig { inputs, outputs, kernel, unfold, .. } = *config;
        let (taps, folded) = (kernel.iter().product::<usize>(), unfold.iter().product::<usize>());
        let fits = weight.len() == outputs * inputs * taps && bias.len() == outputs && taps > 0;
        if !fits || folded == 0 || outputs % folded != 0 {
            return None;
        }
        let source = |output: usize| output % (outputs / folded) * folded + output / (outputs / folded);
        let panels = outputs.div_ceil(COLUMNS);
        let mut packed = vec![0f32; panels * taps * inputs * COLUMNS];
        packed.par_chunks_mut((taps * inputs * COLUMNS).max(1)).enumerate().for_each(|(panel, out)| {
            for first in (0..inputs).step_by(PIECE) {
                for (lane, output) in (panel * COLUMNS..outputs.min((panel + 1) * COLUMNS)).enumerate() {
                    for input in first..inputs.min(first + PIECE) {
                        let values = &weight[(source(output) * inputs + input) * taps..][..taps];
                        for (tap, value) in values.iter().enumerate() {
                            out[(tap * inputs + input) * COLUMNS + lane] = *value;
                        }
                    }
                }
            }
        });
        let mut ordered = vec![0f32; panels * COLUMNS];
        ordered.iter_mut().zip(0..outputs).for_each(|(value, output)| *value = bias[source(output)]);
        Some(Self { weight: packed, bias: ordered, inputs, outputs, kernel, unfold, scratch: Scratch::shared() })
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    pub(super) fn panels(&self) -> usize {
        self.outputs.div_ceil(COLUMNS)
    }

    /// One panel's weights, `[taps, inputs, COLUMNS]`.
    pub(super) fn panel(&self, panel: usize) -> &[f32] {
        let size = self.taps() * self.inputs * COLUMNS;
        &self.weight[panel * size..][..size]
    }
}
