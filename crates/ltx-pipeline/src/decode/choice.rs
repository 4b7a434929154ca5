//! Which tiles a device's memory allows: the whole clip in one piece if it can be, else as few as possible, as overlaps are
//! decoded twice.
//!
//! Must not know what a tile takes, or what there is.

use super::tiles::Cut;
use ltx_engine::{Axis, TileSizes};
use ltx_types::{LatentScale, LatentShape};

/// How small tiles may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Smallest {
    /// The official ones.
    Official,
    /// The smallest that the decoder can do with.
    Least,
}

/// Frames and pixels of the least tile.
const LEAST: (usize, usize) = (16, 64);
/// Pixels by which tiles below the official ones become smaller.
const SIDE_STEP: usize = 64;

/// The first tile sizes, from the whole clip down, that fit: first shorter in time, down to the official length, then smaller
/// in space, down to the official size, then, if that is allowed, the smaller ones by the work they make. Where none fits, the
/// smallest.
pub(crate) fn chosen(
    latent: LatentShape,
    scale: LatentScale,
    smallest: Smallest,
    fits: impl Fn(&TileSizes) -> bool,
) -> TileSizes {
    let official = TileSizes::default();
    if let Some(tiles) = down_to_official(latent, scale).find(&fits) {
        return tiles;
    }
    match smallest {
        Smallest::Official => official,
        Smallest::Least => {
            smaller(latent, scale).into_iter().find(&fits).unwrap_or_else(|| of(LEAST.0, LEAST.1, scale))
        }
    }
}

/// From one piece down to the official tiles.
fn down_to_official(latent: LatentShape, scale: LatentScale) -> impl Iterator<Item = TileSizes> {
    let official = TileSizes::default();
    let (frames, side) = (latent.frames * scale.time, latent.height.max(latent.width) * scale.height.max(scale.width));
    let whole = Axis { size: side, overlap: 0 };
    let all = TileSizes { frames: Axis { size: frames, overlap: 0 }, height: whole, width: whole };
    let below = |size: usize, least: usize, step: usize| {
        (1..).map(move |i| size.saturating_sub(i * step)).take_while(move |s| *s >= least)
    };
    let shorter = below(frames, official.frames.size, scale.time)
        .map(move |size| TileSizes { frames: Axis { size, ..official.frames }, ..all });
    let narrower = below(side, official.width.size, scale.width.max(scale.height)).map(move |size| {
        let axis = Axis { size, ..official.width };
        TileSizes { height: axis, width: axis, ..official }
    });
    std::iter::once(all).chain(shorter).chain(narrower).chain(std::iter::once(official))
}

/// Those below the official ones, the least work first, then the fewest tiles.
fn smaller(latent: LatentShape, scale: LatentScale) -> Vec<TileSizes> {
    let official = TileSizes::default();
    let frames = (LEAST.0..=official.frames.size).rev().step_by(scale.time);
    let sides = || (LEAST.1..=official.width.size).rev().step_by(SIDE_STEP);
    let mut all: Vec<_> = frames.flat_map(|frames| sides().map(move |side| of(frames, side, scale))).collect();
    all.sort_by_key(|tiles| {
        let lengths = tiles.lengths([latent.frames, latent.height, latent.width], scale);
        let product =
            |of: fn(&super::tiles::Lengths) -> usize| lengths.iter().map(|axis| of(axis) as u64).product::<u64>();
        (product(|axis| axis.sum), product(|axis| axis.count))
    });
    all
}

/// Tiles that overlap as the official ones do, or by half where they are smaller than that.
fn of(frames: usize, side: usize, scale: LatentScale) -> TileSizes {
    let official = TileSizes::default();
    let axis = |size: usize, overlap: usize, unit: usize| Axis { size, overlap: overlap.min(size / 2 / unit * unit) };
    TileSizes {
        frames: axis(frames, official.frames.overlap, scale.time),
        height: axis(side, official.height.overlap, scale.height),
        width: axis(side, official.width.overlap, scale.width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tiles::mask_sums;

    const SCALE: LatentScale = LatentScale::LTX;

    fn latent(frames: usize, height: usize, width: usize) -> LatentShape {
        LatentShape { frames, height, width }
    }

    /// Latent elements of the largest tile.
    fn volume(tiles: &TileSizes, of: LatentShape) -> usize {
        tiles.lengths([of.frames, of.height, of.width], SCALE).iter().map(|axis| axis.longest).product()
    }

    fn within(of: LatentShape, smallest: Smallest, room: usize) -> TileSizes {
        chosen(of, SCALE, smallest, |tiles| volume(tiles, of) <= room)
    }

    #[test]
    fn the_whole_clip_then_shorter_then_narrower_then_smaller() {
        let clip = latent(16, 16, 24);
        let lengths = |tiles: TileSizes| tiles.lengths([16, 16, 24], SCALE);
        let counts = |tiles: TileSizes| lengths(tiles).map(|axis| axis.count);
        assert_eq!(counts(within(clip, Smallest::Least, usize::MAX)), [1, 1, 1]);
        assert_eq!(counts(within(clip, Smallest::Least, 16 * 16 * 24)), [1, 1, 1]);
        // One element short of the whole: cut in time alone, and as long as can be.
        let cut = within(clip, Smallest::Least, 16 * 16 * 24 - 1);
        assert_eq!((counts(cut), lengths(cut)[0].longest), ([2, 1, 1], 15));
        // The official ones cut this clip in time alone; there is no narrower step before them.
        assert_eq!(within(clip, Smallest::Official, 0), TileSizes::default());
        let wide = latent(16, 48, 64);
        let narrow = within(wide, Smallest::Official, 10 * 40 * 40);
        assert_eq!((narrow.frames, narrow.width.size), (TileSizes::default().frames, 40 * 32));
        // Below them, what fits with the least work; nothing fits into nothing.
        let small = within(clip, Smallest::Least, 500);
        assert!(volume(&small, clip) <= 500 && small != of(LEAST.0, LEAST.1, SCALE), "{small:?}");
        assert_eq!(within(clip, Smallest::Least, 0), of(LEAST.0, LEAST.1, SCALE));
    }

    #[test]
    fn every_choice_covers_the_clip_and_is_the_same_again() {
        for clip in [latent(2, 2, 3), latent(16, 16, 24), latent(33, 34, 60), latent(9, 70, 8)] {
            let work = |tiles: &TileSizes| -> usize {
                tiles.lengths([clip.frames, clip.height, clip.width], SCALE).iter().map(|axis| axis.sum).product()
            };
            let whole = clip.tokens();
            for smallest in [Smallest::Official, Smallest::Least] {
                for room in [whole, whole / 2, whole / 5, whole / 20, whole / 100, 12, 0] {
                    let tiles = within(clip, smallest, room);
                    assert_eq!(tiles, within(clip, smallest, room));
                    assert!(work(&tiles) >= whole && (room < whole || work(&tiles) == whole), "{clip:?} {room}");
                    let spans = tiles.spans([clip.frames, clip.height, clip.width], SCALE);
                    assert!(
                        spans.iter().all(|axis| mask_sums(axis).iter().all(|sum| *sum > 0.0)),
                        "{clip:?} {tiles:?}"
                    );
                    let longest = spans.map(|axis| axis.iter().map(|span| span.latent.len()).max().unwrap_or(0));
                    assert_eq!(
                        longest.iter().product::<usize>(),
                        volume(&tiles, clip),
                        "lengths are those of the spans"
                    );
                    for axis in [tiles.frames, tiles.height, tiles.width] {
                        assert!(axis.overlap * 2 <= axis.size);
                    }
                }
            }
        }
    }
}
