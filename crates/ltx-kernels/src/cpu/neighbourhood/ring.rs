//! Keys and values of the frames that are seen together; a frame takes the place of one that nobody sees any more.
//!
//! Must not know queries.

use super::{NAME, Neighbourhood, tile::MOST_HEAD};
use crate::{KernelError, cpu::level::widest};
use rayon::prelude::*;

/// As many frames as the kernel has.
pub struct Ring {
    /// `[frames, rows, heads, head_dim, line]`: the columns of a key's value lie side by side.
    pub(super) keys: Vec<f32>,
    /// `[frames, rows, heads, line, depth]`.
    pub(super) values: Vec<f32>,
}

impl Neighbourhood {
    /// An empty ring.
    pub fn ring(&self) -> Ring {
        let (keys, values) = self.row_lengths();
        let rows = self.shape.kernel[0] * self.shape.clip[1];
        Ring { keys: vec![0.0; rows * keys], values: vec![0.0; rows * values] }
    }

    /// Values of a row of keys, and of values.
    pub(super) fn row_lengths(&self) -> (usize, usize) {
        let (heads, line) = (self.shape.heads, self.shape.line());
        (heads * self.shape.head_dim * line, heads * line * self.shape.depth())
    }

    /// Puts a frame into the ring. `x` holds rows of `row` values, one a position, with all heads' keys `key` values behind the
    /// row's beginning and their values at `value`; `norm [head_dim]` multiplies normalised keys.
    ///
    /// # Errors
    /// The sizes do not fit each other.
    pub fn put(
        &self,
        ring: &mut Ring,
        frame: usize,
        (x, row, [key, value]): (&[f32], usize, [usize; 2]),
        norm: &[f32],
    ) -> Result<(), KernelError> {
        let [frames, rows, columns] = self.shape.clip;
        let (width, head_dim) = (self.shape.width(), self.shape.head_dim);
        let fits = frame < frames
            && x.len() == rows * columns * row
            && key.max(value) + width <= row
            && norm.len() == head_dim
            && self.holds(ring);
        KernelError::ensure(fits, NAME)?;
        let (of_keys, of_values) = self.row_lengths();
        let slot = frame % self.shape.kernel[0];
        let keys = &mut ring.keys[slot * rows * of_keys..][..rows * of_keys];
        let values = &mut ring.values[slot * rows * of_values..][..rows * of_values];
        let lines = keys.par_chunks_mut(of_keys).zip(values.par_chunks_mut(of_values)).zip(x.par_chunks(columns * row));
        lines.enumerate().for_each(|(at, ((keys, values), x))| {
            widest(
                self.level,
                #[inline(always)]
                || {
                    let (line, depth, beyond) = (self.shape.line(), self.shape.depth(), self.shape.beyond());
                    let mut prepared = [0f32; MOST_HEAD];
                    let prepared = &mut prepared[..head_dim];
                    for place in 0..self.shape.columns() {
                        let column = place.saturating_sub(beyond).min(columns - 1);
                        let x = &x[column * row..][..row];
                        for head in 0..self.shape.heads {
                            let source = &x[key + head * head_dim..][..head_dim];
                            self.prepare(source, (norm, 1.0), [frame, at, place], prepared);
                            let target = keys[head * head_dim * line..][..head_dim * line].chunks_mut(line);
                            target.zip(&*prepared).for_each(|(target, value)| target[place] = *value);
                            let target = &mut values[(head * line + place) * depth..][..head_dim];
                            target.copy_from_slice(&x[value + head * head_dim..][..head_dim]);
                        }
                    }
                },
            );
        });
        Ok(())
    }

    /// Whether a ring is of this shape.
    pub(super) fn holds(&self, ring: &Ring) -> bool {
        let (keys, values) = self.row_lengths();
        let rows = self.shape.kernel[0] * self.shape.clip[1];
        ring.keys.len() == rows * keys && ring.values.len() == rows * values
    }
}
