//! A packed matrix in reading order, and as the right one of a product: its panels are decoded when they are multiplied.
//!
//! Must not know where the bytes come from.

use super::{
    Level, decode,
    gemm::{COLUMNS, DEPTH, OnDemand, Right, RightPanels, Strided},
};
use crate::{KernelError, Packing};
use std::{cell::Cell, ops::Range};

thread_local! {
    /// Rows of the panel that this thread decodes.
    static ROWS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A packed matrix `[outputs, inputs]`, row after row, and the level that decodes it.
#[derive(Clone, Copy)]
pub struct PackedRows<'a> {
    bytes: &'a [u8],
    packing: Packing,
    shape: [usize; 2],
    level: Level,
}

impl<'a> PackedRows<'a> {
    /// The matrix that `bytes` hold.
    ///
    /// # Errors
    /// They do not hold rows of whole blocks of that shape, or groups that nothing decodes.
    pub fn new(level: Level, bytes: &'a [u8], packing: Packing, shape: [usize; 2]) -> Result<Self, KernelError> {
        let [outputs, inputs] = shape;
        let fits = packing.bytes(inputs).and_then(|row| row.checked_mul(outputs)) == Some(bytes.len());
        KernelError::ensure(fits && packing.is_sound(), "packed linear")?;
        Ok(Self { bytes, packing, shape, level })
    }

    /// `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// How values are packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// The level that decodes.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// The bytes of part of a row, which is whole blocks.
    pub(super) fn row_bytes(&self, row: usize, part: Range<usize>) -> &'a [u8] {
        let place = |value: usize| self.packing.bytes(row * self.shape[1] + value).unwrap_or(0);
        &self.bytes[place(part.start)..place(part.end)]
    }

    /// Decodes part of a row, which is whole blocks.
    pub fn decode_row(&self, row: usize, part: Range<usize>, out: &mut [f32]) {
        decode(self.level, self.packing, self.row_bytes(row, part), out);
    }

    /// The matrix in f32, as [`super::panels`] lays it out.
    pub fn panels(&self) -> Vec<f32> {
        let [outputs, inputs] = self.shape;
        RightPanels::made(self, (inputs, outputs)).into_data()
    }
}

impl Right for PackedRows<'_> {
    const READY: bool = false;

    fn panel<'a>(&'a self, panel: usize, k: Range<usize>, scratch: &'a mut [f32]) -> &'a [f32] {
        let [outputs, _] = self.shape;
        let columns = panel * COLUMNS..outputs.min((panel + 1) * COLUMNS);
        let mut rows = ROWS.take();
        rows.resize(DEPTH * COLUMNS, 0.0);
        for (row, out) in columns.clone().zip(rows.chunks_mut(k.len())) {
            self.decode_row(row, k.clone(), out);
        }
        let matrix = Strided::columns(&rows, k.len());
        let decoded = OnDemand { level: self.level, matrix, n: columns.len() };
        let size = decoded.panel(0, 0..k.len(), scratch).len();
        ROWS.set(rows);
        &scratch[..size]
    }
}

const _: () = assert!(DEPTH.is_multiple_of(256), "no block of ggml's may cross two ranges of k");
