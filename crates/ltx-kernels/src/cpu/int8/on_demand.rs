//! A packed matrix as the right one of an 8-bit product: groups of a panel are decoded and rounded when they are multiplied, to the
//! same integers and scales as in [`Weights8`](super::Weights8).
//!
//! Must not know how values are packed.

use super::{
    DEPTH, EightBit, GROUP,
    quantize::{Panel8, Right},
};
use crate::{
    KernelError,
    cpu::{gemm::COLUMNS, level::widest, packed::PackedRows},
};
use std::ops::Range;

/// A packed matrix of which whole groups can be rounded.
#[derive(Clone, Copy)]
pub(super) struct RoundedRows<'a>(PackedRows<'a>);

impl<'a> RoundedRows<'a> {
    /// The matrix.
    ///
    /// # Errors
    /// A row is not whole groups.
    pub(super) fn new(rows: PackedRows<'a>) -> Result<Self, KernelError> {
        let [_, inputs] = rows.shape();
        KernelError::ensure(inputs.is_multiple_of(GROUP), "packed linear in 8 bits")?;
        Ok(Self(rows))
    }
}

impl EightBit for RoundedRows<'_> {
    const READY: bool = false;

    fn shape(&self) -> [usize; 2] {
        self.0.shape()
    }

    fn part<'a>(&'a self, panel: usize, groups: Range<usize>, scratch: &'a mut Panel8) -> Right<'a> {
        let [outputs, _] = self.0.shape();
        let columns = COLUMNS.min(outputs - panel * COLUMNS);
        widest(
            self.0.level(),
            #[inline(always)]
            || {
                let k = groups.start * GROUP..groups.end * GROUP;
                scratch.made((groups.len(), columns), |column, wide| {
                    self.0.decode_row(panel * COLUMNS + column, k.clone(), wide);
                })
            },
        )
    }
}

const _: () = assert!((DEPTH * GROUP).is_multiple_of(256), "no block of ggml's may cross two parts of k");
