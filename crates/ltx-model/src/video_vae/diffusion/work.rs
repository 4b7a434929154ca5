//! What decoding has to do, counted along [`super::DiffusionDecoder`].
//!
//! Must not know forms of matrices, or how tiles are cut.

use super::{
    config::{DiffusionConfig, RAISING, Stage},
    geometry::WHOLE,
};
use ltx_nn::Sides;
use ltx_types::{LatentShape, Unit, Work};
use std::ops::Range;

/// Times that a position's values are read or written by a block's operators beside products and attention.
const MOVES: u64 = 24;

/// What is decoded: a clip, in tiles of so many cells.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The clip's latent.
    pub latent: LatentShape,
    /// Frames, rows and columns of every tile, in the order of time.
    pub tiles: Vec<[usize; 3]>,
    /// How many of them, the last ones, end the clip.
    pub ending: usize,
}

impl DiffusionConfig {
    /// Rows that a matrix is multiplied with, by its key behind the decoder's prefix.
    pub fn rows_of(&self, key: &str, decoded: &Decoded) -> u64 {
        let mut parts = key.split('.');
        let number =
            |part: Option<&str>| part.and_then(|part| part.parse::<usize>().ok()).unwrap_or(0).min(RAISING - 1);
        match parts.next() {
            Some("conv_in") => positions(self.raised(0, decoded.latent)),
            Some("det_stages") => self.rows_of_stage(number(parts.next()), decoded),
            Some("upsamples") => match number(parts.next()) {
                WHOLE => self.drawing.depth as u64 * decoded.tiles.iter().map(|tile| positions(*tile)).sum::<u64>(),
                stage => self.rows_of_stage(stage, decoded),
            },
            Some("diff_blocks" | "conv_in_x_t" | "conv_out") => self.rows_of_stage(RAISING, decoded),
            _ => 1,
        }
    }

    /// All of it but products.
    pub fn work(&self, decoded: &Decoded) -> Work {
        let mut work = Work::default();
        for (i, stage) in self.raising[..WHOLE].iter().enumerate() {
            add(&mut work, stage, self.raised(i, decoded.latent), Sides::Shifted);
        }
        for (tile, guided) in decoded.tiles.iter().zip(self.guided(decoded)) {
            add(&mut work, &self.raising[WHOLE], guided, Sides::Shifted);
            add(&mut work, &self.drawing, self.drawn(*tile), Sides::Repeated);
        }
        work
    }

    /// Frames that blocks go through until the features of a padded latent are there.
    pub fn steps_of_features(&self, padded: LatentShape) -> usize {
        let stages = self.raising[..WHOLE].iter().enumerate();
        stages.map(|(i, stage)| stage.depth * self.raised(i, padded)[0]).sum()
    }

    /// The same of a tile of these frames of cells, of `all` that the clip has.
    pub fn steps_of_tile(&self, cells: Range<usize>, all: usize) -> usize {
        let (is_first, is_last) = (cells.start == 0, cells.end == all);
        let guided = cells.len() + if is_last { self.copies() } else { 0 };
        let kept = self.kept_cells(guided, is_last);
        let drawn = kept * self.strides[WHOLE][0] - usize::from(is_first);
        self.raising[WHOLE].depth * guided + self.drawing.depth * (kept + drawn)
    }

    /// The clip in front of a stage, the copies behind it included.
    fn raised(&self, stage: usize, latent: LatentShape) -> [usize; 3] {
        let padded = self.padded(latent).latent;
        self.at(stage, [padded.frames + self.ghosts(), padded.height, padded.width])
    }

    /// Every tile with the copies' cells, where it ends the clip.
    fn guided<'a>(&'a self, decoded: &'a Decoded) -> impl Iterator<Item = [usize; 3]> + 'a {
        let inner = decoded.tiles.len().saturating_sub(decoded.ending);
        let of = move |(i, [frames, rows, columns]): (usize, &[usize; 3])| {
            [frames + if i < inner { 0 } else { self.copies() }, *rows, *columns]
        };
        decoded.tiles.iter().enumerate().map(of)
    }

    fn drawn(&self, tile: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| tile[axis] * self.strides[WHOLE][axis])
    }

    fn rows_of_stage(&self, stage: usize, decoded: &Decoded) -> u64 {
        match stage {
            RAISING => decoded.tiles.iter().map(|tile| positions(self.drawn(*tile))).sum(),
            WHOLE => self.guided(decoded).map(positions).sum(),
            stage => positions(self.raised(stage, decoded.latent)),
        }
    }
}

/// A stage's blocks over a clip.
fn add(work: &mut Work, stage: &Stage, clip: [usize; 3], sides: Sides) {
    let (shape, times) = (stage.attention(clip, sides), stage.depth as u64);
    let operations = shape.operations();
    work.add(Unit::Attention, times * operations);
    work.add(Unit::Score, times * operations / (4 * shape.head_dim.max(1)) as u64);
    work.add(Unit::Value, times * MOVES * positions(clip) * stage.channels as u64);
    work.add(Unit::Call, times * clip[0] as u64);
}

fn positions(clip: [usize; 3]) -> u64 {
    clip.iter().map(|length| *length as u64).product()
}
