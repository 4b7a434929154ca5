//! Where a clip's features lie: a latent that is smaller than what positions see is continued, and behind its last frame stand copies
//! that the first stages see in its place.
//!
//! Must not know tensors.

use super::config::{DiffusionConfig, RAISING, STRETCHES};
use ltx_types::LatentShape;

/// A latent as the decoder raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padded {
    /// Its shape, as large as positions see at least; without the copies behind its last frame.
    pub latent: LatentShape,
    /// Rows and columns of the latent that stand before the given ones. Frames are added behind alone.
    pub before: [usize; 2],
}

/// Raising stages whose results are features of the whole clip; the last one's are a tile's.
pub(super) const WHOLE: usize = RAISING - 1;

impl DiffusionConfig {
    /// The least latent, in frames, rows and columns: as many as every stage's positions see.
    pub(super) fn floor(&self) -> [usize; 3] {
        let stages = self.raising.iter().chain([&self.drawing]).enumerate();
        stages.fold([1; 3], |floor, (i, stage)| {
            let factors = self.factors(i);
            std::array::from_fn(|axis| floor[axis].max(stage.kernel[axis].div_ceil(factors[axis])))
        })
    }

    /// A latent as it is raised. What is added is split evenly, the larger half behind.
    pub fn padded(&self, latent: LatentShape) -> Padded {
        let [frames, height, width] = self.floor();
        let before = [(height, latent.height), (width, latent.width)];
        Padded {
            latent: LatentShape {
                frames: latent.frames.max(frames),
                height: latent.height.max(height),
                width: latent.width.max(width),
            },
            before: before.map(|(least, length)| least.saturating_sub(length) / 2),
        }
    }

    /// Copies behind the last latent frame.
    pub(super) fn ghosts(&self) -> usize {
        self.raising[0].kernel[0] / 2 * 2
    }

    /// Frames of cells that those copies become: raised with the tile that ends the clip, and not drawn.
    pub(super) fn copies(&self) -> usize {
        self.ghosts() * self.factors(WHOLE)[0]
    }

    /// Frames, rows and columns that a latent element becomes in front of stage `stage`.
    pub(super) fn factors(&self, stage: usize) -> [usize; 3] {
        self.strides[..stage].iter().fold([1; 3], |all, stride| std::array::from_fn(|axis| all[axis] * stride[axis]))
    }

    /// Frames, rows and columns in front of stage `stage` of so many latent ones. Where time is doubled, the first frame is dropped.
    pub(super) fn at(&self, stage: usize, latent: [usize; 3]) -> [usize; 3] {
        let [time, rows, columns] = self.factors(stage);
        [(latent[0] - 1) * time + 1, latent[1] * rows, latent[2] * columns]
    }

    /// Cells of a padded latent's features, `[frames, rows, columns]`, without those of the copies.
    pub fn cells(&self, latent: LatentShape) -> [usize; 3] {
        self.at(WHOLE, [latent.frames, latent.height, latent.width])
    }

    /// Frames and pixels per cell; the first cell of a clip has one frame less.
    pub fn cell(&self) -> [usize; 3] {
        let [time, rows, columns] = self.strides[WHOLE];
        [time, rows * self.patch_size, columns * self.patch_size]
    }

    /// The least tile, in cells.
    pub fn least_tile(&self) -> [usize; 3] {
        let (raising, drawing, stride) = (self.raising[WHOLE].kernel, self.drawing.kernel, self.strides[WHOLE]);
        std::array::from_fn(|axis| raising[axis].max(drawing[axis].div_ceil(stride[axis])))
    }

    /// Whether the last stage can go over so many columns in stretches, none narrower than what the next one sees of it.
    pub(super) fn stretches_over(&self, columns: usize) -> bool {
        let (each, beyond) = (columns.div_ceil(STRETCHES), self.drawing.kernel[2] / 2);
        each >= beyond && columns >= (STRETCHES - 1) * each + beyond
    }

    /// Frames and pixels by which the authors have tiles overlap: as far as the blocks of either of a tile's stages see.
    pub fn overlap(&self) -> [usize; 3] {
        let (raising, drawing, stride) = (&self.raising[WHOLE], &self.drawing, self.strides[WHOLE]);
        let seen: [usize; 3] = std::array::from_fn(|axis| {
            let drawn = (drawing.depth * (drawing.kernel[axis] / 2)).div_ceil(stride[axis]);
            drawn.max(raising.depth * (raising.kernel[axis] / 2))
        });
        let [time, height, _] = self.cell();
        let side = (seen[1].max(seen[2]) * height).next_multiple_of(32);
        [(seen[0] * time).next_multiple_of(8), side, side]
    }

    /// Cells of a tile's features that count behind its last stage, of so many with the copies' cells or without.
    pub(super) fn kept_cells(&self, cells: usize, is_last: bool) -> usize {
        if !is_last || self.ghosts() == 0 {
            return cells;
        }
        let [time, ..] = self.factors(WHOLE);
        let content = cells.saturating_sub(self.ghosts() * time).max(1);
        content.max(self.drawing.kernel[0].div_ceil(self.strides[WHOLE][0])).min(cells)
    }
}
