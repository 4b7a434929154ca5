//! Attention of the positions of a clip to those around them, frame by frame: a frame is answered as soon as the last one it sees was
//! put, and no more frames are held than one sees.
//! Source: Hassani et al., “Neighborhood Attention Transformer” (2023).
//!
//! Must not know how queries, keys and values were projected. On the CPU alone.

use crate::{
    KernelChoice, NeighbourhoodShape, Result,
    kernels::{with_values, written},
    profile,
};
use candle_core::Tensor;
use ltx_kernels::cpu::{Neighbourhood, Ring};
use std::collections::VecDeque;

/// The name in profiles.
const NAME: &str = "neighbourhood attention";

/// A clip on its way through an attention.
pub struct NeighbourhoodAttention<'a> {
    attention: Neighbourhood,
    ring: Ring,
    /// Multiply normalised queries and keys, `[head_dim]`, f32.
    norms: [&'a Tensor; 2],
    /// Queries of the frames that were put and not answered.
    queries: VecDeque<Tensor>,
    put: usize,
    answered: usize,
}

impl<'a> NeighbourhoodAttention<'a> {
    /// # Errors
    /// The shape's sizes do not fit each other.
    pub fn new(shape: NeighbourhoodShape, norms: [&'a Tensor; 2], kernels: KernelChoice) -> Result<Self> {
        let attention = Neighbourhood::new(kernels.level, shape)?;
        let ring = attention.ring();
        Ok(Self { attention, ring, norms, queries: VecDeque::new(), put: 0, answered: 0 })
    }

    /// The frame that is to be put before the next can be answered; `None` if it can.
    pub fn wanted(&self) -> Option<usize> {
        let shape = self.attention.shape();
        let last = self.attention.first_seen(self.answered.min(shape.clip[0] - 1)) + shape.kernel[0];
        (self.put < last).then_some(self.put)
    }

    /// Puts the next frame.
    ///
    /// # Shapes
    /// `qkv [rows · columns, 3 · heads · head_dim]`, f32, contiguous: queries, keys and values side by side.
    ///
    /// # Errors
    /// The sizes do not fit the shape.
    pub fn put(&mut self, qkv: &Tensor) -> Result<()> {
        let NeighbourhoodShape { heads, head_dim, .. } = *self.attention.shape();
        let width = heads * head_dim;
        let (attention, ring, frame) = (&self.attention, &mut self.ring, self.put);
        profile::timed(
            NAME,
            || 0,
            || {
                with_values([qkv, self.norms[1]], |[qkv, norm]| {
                    Ok::<_, crate::NnError>(attention.put(ring, frame, (qkv, 3 * width, [width, 2 * width]), norm)?)
                })
            },
        )?;
        self.queries.push_back(qkv.narrow(1, 0, width)?.contiguous()?);
        self.put += 1;
        Ok(())
    }

    /// The answers to the next frame, which [`Self::wanted`] no other for.
    ///
    /// # Shapes
    /// `[rows · columns, heads · head_dim]`, f32.
    ///
    /// # Errors
    /// All frames are answered, or one that it sees was not put.
    pub fn answer(&mut self) -> Result<Tensor> {
        let queries = if self.wanted().is_none() { self.queries.pop_front() } else { None };
        let queries = queries.ok_or_else(|| candle_core::Error::msg("neighbourhood attention: a frame is missing"))?;
        let (shape, frame) = (self.attention.shape(), self.answered);
        self.answered += 1;
        let operations = || shape.operations() as usize / shape.clip[0];
        profile::timed(NAME, operations, || {
            with_values([&queries, self.norms[0]], |[q, norm]| {
                written(queries.shape().clone(), |out| Ok(self.attention.answer(&self.ring, frame, (q, norm), out)?))
            })
        })
    }
}

/// Bytes that a clip's attention holds beside its input and output: the ring, and the queries that wait.
pub fn neighbourhood_bytes(shape: &NeighbourhoodShape) -> u64 {
    let waiting = (shape.kernel[0] / 2 + 1) * shape.clip[1] * shape.clip[2] * shape.heads * shape.head_dim;
    4 * (shape.ring_values() + waiting) as u64
}
