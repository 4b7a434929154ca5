//! Rotation of every head: of its halves against each other, or of neighbours.
//!
//! Must not know how the angles were made.

use super::{Level, level::widest};
use crate::KernelError;
use rayon::prelude::*;

/// Cosines and sines of a sequence, `[tokens, heads or 1, head_dim / 2]` each.
#[derive(Clone, Copy)]
pub struct RopeAngles<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines, in the same order.
    pub sin: &'a [f32],
    /// Tokens of the sequence.
    pub tokens: usize,
    /// 1 where all heads share the angles, else all heads.
    pub heads: usize,
}

/// Which values of a head rotate against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairs {
    /// The first half against the second (“split”).
    Halves,
    /// Each even value against the next (“interleaved”).
    Neighbours,
}

/// Rotates `heads` heads of every token by their angles.
#[derive(Clone, Copy)]
pub struct Rope<'a> {
    /// The instructions to use.
    pub level: Level,
    /// Heads of the sequence.
    pub heads: usize,
    /// Which values of a head rotate against each other.
    pub pairs: RopePairs,
    /// What they are rotated by.
    pub angles: RopeAngles<'a>,
}

impl Rope<'_> {
    /// Writes `x [B, T, heads · head_dim]`, rotated.
    ///
    /// # Errors
    /// The sizes do not fit the angles.
    pub fn compute(&self, x: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
        let RopeAngles { cos, sin, tokens, heads: table_heads } = self.angles;
        let row = cos.len().checked_div(tokens).unwrap_or(0);
        let half = row.checked_div(table_heads).unwrap_or(0);
        let inner = 2 * half * self.heads;
        let fits = cos.len() == sin.len()
            && cos.len() == tokens * table_heads * half
            && (table_heads == 1 || table_heads == self.heads)
            && inner > 0
            && x.len().is_multiple_of(tokens * inner)
            && x.len() == out.len();
        KernelError::ensure(fits, "rope")?;
        out.par_chunks_mut(inner).zip(x.par_chunks(inner)).enumerate().for_each(|(i, (out, x))| {
            let token = i % tokens;
            let (cos, sin) = (&cos[token * row..(token + 1) * row], &sin[token * row..(token + 1) * row]);
            widest(
                self.level,
                #[inline(always)]
                || {
                    for (head, (out, x)) in out.chunks_mut(2 * half).zip(x.chunks(2 * half)).enumerate() {
                        let start = if table_heads == 1 { 0 } else { head * half };
                        let (cos, sin) = (&cos[start..][..half], &sin[start..][..half]);
                        match self.pairs {
                            RopePairs::Halves => rotate(out, x, cos, sin),
                            RopePairs::Neighbours => rotate_neighbours(out, x, cos, sin),
                        }
                    }
                },
            );
        });
        Ok(())
    }
}

/// One head, whose halves are as long as `cos` and `sin`.
#[inline(always)]
fn rotate(out: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32]) {
    let (first_out, second_out) = out.split_at_mut(cos.len());
    let (first, second) = x.split_at(cos.len());
    let outputs = first_out.iter_mut().zip(second_out);
    let inputs = first.iter().zip(second).zip(cos.iter().zip(sin));
    for ((first_out, second_out), ((first, second), (cos, sin))) in outputs.zip(inputs) {
        *first_out = first * cos - second * sin;
        *second_out = second * cos + first * sin;
    }
}

/// One head of pairs that lie side by side, as many as `cos` and `sin` hold.
#[inline(always)]
fn rotate_neighbours(out: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32]) {
    let (out, x) = (out.as_chunks_mut::<2>().0, x.as_chunks::<2>().0);
    for (([first_out, second_out], [first, second]), (cos, sin)) in out.iter_mut().zip(x).zip(cos.iter().zip(sin)) {
        *first_out = first * cos - second * sin;
        *second_out = second * cos + first * sin;
    }
}
