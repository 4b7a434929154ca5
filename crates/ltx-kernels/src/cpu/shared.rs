//! A matrix whose parts several threads write at the same time.
//!
//! Must not know what is written.
#![allow(unsafe_code)]

use std::marker::PhantomData;

/// A matrix inside a slice that stays mutably borrowed; columns are contiguous.
pub(super) struct Shared<'a> {
    first: *mut f32,
    len: usize,
    row_stride: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: elements are reached through `Shared::row` alone, whose callers promise to take disjoint ones.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(data: &'a mut [f32], row_stride: usize) -> Self {
        Self { first: data.as_mut_ptr(), len: data.len(), row_stride, matrix: PhantomData }
    }

    /// `count` elements of a row, from a column on.
    ///
    /// # Safety
    /// As long as the result lives, nobody else has any of these elements.
    ///
    /// # Panics
    /// They lie outside the matrix.
    #[expect(clippy::mut_from_ref, reason = "callers promise that elements are disjoint")]
    pub(super) unsafe fn row(&self, row: usize, column: usize, count: usize) -> &mut [f32] {
        let start = row * self.row_stride + column;
        assert!(start + count <= self.len, "shared matrix: a row reaches past its end");
        // SAFETY: inside the slice, which is borrowed for as long as `self`; the caller promises that nobody else has them.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(start), count) }
    }
}
