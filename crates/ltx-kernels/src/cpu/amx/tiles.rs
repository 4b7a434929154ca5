//! Weights in bf16, in the order in which tiles read them: laid out beforehand, or when they are multiplied.
//!
//! Must not know what is multiplied with them.

use super::{BLOCK, SIDE, STEP};
use crate::{
    KernelError, Packing,
    cpu::{
        gemm::{COLUMNS, Right, RightPanels, transpose_words},
        packed::PackedRows,
    },
};
use rayon::prelude::*;
use std::ops::Range;

/// Words (pairs of values) of [`BLOCK`] outputs in one step: two tiles, in each a line of [`SIDE`] outputs for every pair of `k`.
pub(super) const BLOCK_STEP: usize = 2 * SIDE * SIDE;

/// A matrix `[outputs, k]` of bf16.
pub(crate) trait HalfRight: Sync {
    /// Steps `steps` of [`STEP`] values of panel `panel`: in place, or written to `scratch`, which is at least as large. What is past
    /// the last output or value is 0.
    fn tiles<'a>(&'a self, panel: usize, steps: Range<usize>, scratch: &'a mut [u32]) -> &'a [u32];
}

/// A matrix of bf16, laid out beforehand.
pub struct Tiles16 {
    words: Vec<u32>,
    outputs: usize,
    inputs: usize,
}

impl Tiles16 {
    /// Lays a matrix out.
    ///
    /// # Errors
    /// It is not one of bf16.
    pub fn new(matrix: &PackedRows<'_>) -> Result<Self, KernelError> {
        KernelError::ensure(matrix.packing() == Packing::Bf16, "tiles")?;
        let [outputs, inputs] = matrix.shape();
        let steps = inputs.div_ceil(STEP);
        let mut words = vec![0u32; outputs.div_ceil(BLOCK) * steps * BLOCK_STEP];
        words.par_chunks_mut((steps * BLOCK_STEP).max(1)).enumerate().for_each(|(panel, out)| {
            matrix.tiles(panel, 0..steps, out);
        });
        Ok(Self { words, outputs, inputs })
    }

    /// `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.outputs, self.inputs]
    }

    /// The weights in f32, as [`crate::cpu::panels`] lays them out.
    pub fn panels(&self) -> Vec<f32> {
        RightPanels::made(self, (self.inputs, self.outputs)).into_data()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.words.len() * size_of::<u32>()
    }
}

impl HalfRight for Tiles16 {
    fn tiles<'a>(&'a self, panel: usize, steps: Range<usize>, _: &'a mut [u32]) -> &'a [u32] {
        let start = panel * self.inputs.div_ceil(STEP);
        &self.words[(start + steps.start) * BLOCK_STEP..(start + steps.end) * BLOCK_STEP]
    }
}

impl HalfRight for PackedRows<'_> {
    fn tiles<'a>(&'a self, panel: usize, steps: Range<usize>, scratch: &'a mut [u32]) -> &'a [u32] {
        let ([outputs, inputs], count) = (self.shape(), steps.len());
        for (step, out) in steps.zip(scratch.chunks_mut(BLOCK_STEP)) {
            let values = step * STEP..inputs.min((step + 1) * STEP);
            for (half, out) in out.chunks_mut(SIDE * SIDE).enumerate() {
                let mut lines = [[0u8; 2 * STEP]; SIDE];
                let first = panel * BLOCK + half * SIDE;
                for (row, line) in (first..outputs.min(first + SIDE)).zip(&mut lines) {
                    let bytes = self.row_bytes(row, values.clone());
                    match <&[u8; 2 * STEP]>::try_from(bytes) {
                        Ok(bytes) => *line = *bytes,
                        Err(_) => line[..bytes.len()].copy_from_slice(bytes),
                    }
                }
                transpose_words(self.level(), &lines, out);
            }
        }
        &scratch[..count * BLOCK_STEP]
    }
}

/// On a level without tiles the same weights are widened.
impl Right for Tiles16 {
    const READY: bool = false;

    fn panel<'a>(&'a self, panel: usize, k: Range<usize>, scratch: &'a mut [f32]) -> &'a [f32] {
        const { assert!(COLUMNS == BLOCK) };
        let tiles = self.tiles(panel, 0..self.inputs.div_ceil(STEP), &mut []);
        let (lines, _) = scratch.as_chunks_mut::<COLUMNS>();
        for (k, line) in k.clone().zip(lines) {
            let pair = &tiles[k / STEP * BLOCK_STEP + k % STEP / 2 * SIDE..];
            let value = |word: u32| f32::from_bits(if k % 2 == 0 { word << 16 } else { word & 0xffff_0000 });
            for (half, line) in line.chunks_mut(SIDE).enumerate() {
                line.iter_mut().zip(&pair[half * SIDE * SIDE..]).for_each(|(out, word)| *out = value(*word));
            }
        }
        &scratch[..k.len() * COLUMNS]
    }
}
