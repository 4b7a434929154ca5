//! A packed matrix as the right one of a product: its panels are decoded when they are multiplied.
//!
//! Must not know how values are packed.

use super::gemm::{COLUMNS, DEPTH, OnDemand, Right, Strided};
use crate::packed::Packed;
use std::{cell::Cell, ops::Range};

thread_local! {
    /// Rows of the panel that this thread decodes.
    static ROWS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl Right for Packed {
    const READY: bool = false;

    fn panel<'a>(&'a self, panel: usize, k: Range<usize>, scratch: &'a mut [f32]) -> &'a [f32] {
        let [outputs, _] = self.shape();
        let columns = panel * COLUMNS..outputs.min((panel + 1) * COLUMNS);
        let mut rows = ROWS.take();
        rows.resize(DEPTH * COLUMNS, 0.0);
        for (row, out) in columns.clone().zip(rows.chunks_mut(k.len())) {
            self.decode_row(row, k.clone(), out);
        }
        let decoded = OnDemand { matrix: Strided::columns(&rows, k.len()), n: columns.len() };
        let size = decoded.panel(0, 0..k.len(), scratch).len();
        ROWS.set(rows);
        &scratch[..size]
    }
}

const _: () = assert!(DEPTH.is_multiple_of(256), "no block of ggml's may cross two ranges of k");
