//! Attention in which a position of a clip sees those around it alone, as many frames, rows and columns as a kernel has. Frames are
//! answered one by one while those that the next ones see stay in a ring.
//! Source: Hassani et al., “Neighborhood Attention Transformer” (2023); rotation by absolute positions as in RoFormer (2021).
//!
//! Must not know what the positions show.

mod angles;
mod answer;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod prepare;
mod ring;
mod tile;

pub use ring::Ring;
pub use tile::MOST_COLUMNS;

use super::Level;
use crate::{KernelError, NeighbourhoodShape, Sides};
use angles::Angles;
use tile::{LANES, MOST_HEAD};

/// The name in errors.
const NAME: &str = "neighbourhood attention";
/// Added to a head's mean square before its root is taken.
const EPS: f32 = 1e-6;

/// Neighbourhood attention over a clip of one shape.
pub struct Neighbourhood {
    level: Level,
    shape: NeighbourhoodShape,
    /// Of frames, rows and columns.
    angles: [Angles; 3],
}

impl Neighbourhood {
    /// # Errors
    /// A kernel is even, empty, larger than the clip or wider than [`MOST_COLUMNS`]; a head does not split into pairs for all axes.
    pub fn new(level: Level, shape: NeighbourhoodShape) -> Result<Self, KernelError> {
        let NeighbourhoodShape { heads, head_dim, kernel, clip, .. } = shape;
        let odd = kernel.iter().zip(clip).all(|(kernel, length)| kernel % 2 == 1 && *kernel <= length);
        let fits = heads > 0 && head_dim > 0 && head_dim <= MOST_HEAD && odd && kernel[2] <= MOST_COLUMNS;
        KernelError::ensure(fits, NAME)?;
        let split = NeighbourhoodShape::split(head_dim);
        KernelError::ensure(split.is_some(), NAME)?;
        let split = split.unwrap_or_default();
        let beyond = shape.beyond();
        let angles = std::array::from_fn(|axis| {
            let beyond = if axis == 2 { beyond } else { 0 };
            Angles::new(clip[axis], beyond, split[axis])
        });
        Ok(Self { level, shape, angles })
    }

    /// What it was made for.
    pub fn shape(&self) -> &NeighbourhoodShape {
        &self.shape
    }

    /// The first frame that a frame sees; it sees as many as the kernel has.
    pub fn first_seen(&self, frame: usize) -> usize {
        window(frame, self.shape.kernel[0], self.shape.clip[0])
    }
}

impl NeighbourhoodShape {
    /// Values of a position: all heads.
    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Columns that are seen beyond either side.
    fn beyond(&self) -> usize {
        match self.sides {
            Sides::Shifted => 0,
            Sides::Repeated => self.kernel[2] / 2,
        }
    }

    /// Columns that are seen, those beyond the sides included.
    fn columns(&self) -> usize {
        self.clip[2] + 2 * self.beyond()
    }

    /// Columns of a row of keys or values in a ring: what is read in whole vectors ends within it.
    fn line(&self) -> usize {
        (self.columns() + LANES).next_multiple_of(LANES)
    }

    /// Values of a head's value, in whole vectors.
    fn depth(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// f32 values of a ring.
    pub fn ring_values(&self) -> usize {
        self.kernel[0] * self.clip[1] * self.heads * self.line() * (self.head_dim + self.depth())
    }

    /// Products and sums of a clip's attention.
    pub fn operations(&self) -> u64 {
        let count = |of: &[usize; 3]| of.iter().map(|length| *length as u64).product::<u64>();
        4 * self.width() as u64 * count(&self.kernel) * count(&self.clip)
    }
}

/// Where the window of a position begins: around it, but within the axis.
#[inline(always)]
fn window(at: usize, kernel: usize, length: usize) -> usize {
    at.saturating_sub(kernel / 2).min(length - kernel)
}

#[cfg(test)]
mod tests;
