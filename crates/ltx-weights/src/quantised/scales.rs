//! Where the scales of a matrix's groups lie in the tensor of scales beside it.
//!
//! Must not know files, formats, or what a scale means.

use std::ops::Range;

/// Rows and columns of a tile of scales.
const TILE: [usize; 2] = [128, 4];
/// Rows of a tile that lie one behind the other; the four groups of as many are interleaved.
const STRIPE: usize = 32;
/// Sides of blocks that tools write, the usual one first.
const SQUARES: [usize; 6] = [128, 64, 32, 16, 256, 512];
/// The most values of a group in memory.
const MOST: usize = 256;

/// The order of scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Row after row, one for every so many rows and values of a row.
    Grid {
        /// Rows that share a scale.
        height: usize,
        /// Values of a row that do.
        width: usize,
        /// Scales in a row of them.
        columns: usize,
    },
    /// One for every row and group, in tiles of 128 rows by 4 groups, which lie row after row: the scale of row r and group g of a
    /// tile is number `(r % 32) · 16 + (r / 32) · 4 + g`. Rows and groups are filled up to whole tiles. Source: “1D Block Scaling
    /// Factors Layout” in cuBLAS' public manual.
    Tiles {
        /// Values of a row that share a scale.
        width: usize,
        /// Groups of a row, filled up to whole tiles.
        columns: usize,
    },
}

impl Order {
    /// The scales of a matrix `[rows, row]` by the shape of their tensor: one for all, one a row, or one a block of rows and values.
    /// `block` is the side of a block that is stated, if any. `None` if no such order fits.
    pub(crate) fn grid(shape: &[usize], [rows, row]: [usize; 2], block: Option<usize>) -> Option<Self> {
        let trimmed: Vec<usize> = match shape {
            [outer @ .., 1] if shape.len() > 2 => outer.to_vec(),
            _ => shape.to_vec(),
        };
        if shape.iter().product::<usize>() == 1 {
            return Some(Self::Grid { height: rows.max(1), width: row, columns: 1 });
        }
        match trimmed[..] {
            [count] | [count, 1] if count == rows => Some(Self::Grid { height: 1, width: row, columns: 1 }),
            // Every row has scales of its own.
            [down, across] if down == rows => {
                Some(Self::Grid { height: 1, width: side(row, across, block)?, columns: across })
            }
            [down, across] => {
                let fits = |side: &usize| rows.div_ceil(*side) == down && row.div_ceil(*side) == across;
                match block.filter(|side| *side > 0).into_iter().chain(SQUARES).find(fits) {
                    Some(square) => Some(Self::Grid { height: square, width: square, columns: across }),
                    None => {
                        let (height, width) = (side(rows, down, None)?, side(row, across, None)?);
                        Some(Self::Grid { height, width, columns: across })
                    }
                }
            }
            _ => None,
        }
    }

    /// One scale for every `width` values of a row, row after row, if that is the shape of their tensor.
    pub(crate) fn plain(shape: &[usize], [rows, row]: [usize; 2], width: usize) -> Option<Self> {
        (shape == [rows, row / width]).then_some(Self::Grid { height: 1, width, columns: row / width })
    }

    /// The same in tiles.
    pub(crate) fn tiles(shape: &[usize], [rows, row]: [usize; 2], width: usize) -> Option<Self> {
        let [down, columns] = [rows.next_multiple_of(TILE[0]), (row / width).next_multiple_of(TILE[1])];
        let fits = shape == [down, columns] || shape == [down.checked_mul(columns)?];
        fits.then_some(Self::Tiles { width, columns })
    }

    /// Values of a group in memory: as many as share a scale, but no more than products read at once.
    pub(crate) fn group(self, row: usize) -> u16 {
        let (Self::Grid { width, .. } | Self::Tiles { width, .. }) = self;
        // At most 256.
        greatest_divisor(greatest_divisor(width, MOST), row).max(1) as u16
    }

    /// Scales that the rows need: those of their tensor from the first to the last.
    pub(crate) fn needed(self, rows: Range<usize>) -> Range<usize> {
        if rows.is_empty() {
            return 0..0;
        }
        match self {
            Self::Grid { height, columns, .. } => {
                rows.start / height * columns..((rows.end - 1) / height + 1) * columns
            }
            Self::Tiles { columns, .. } => {
                rows.start / TILE[0] * TILE[0] * columns..rows.end.next_multiple_of(TILE[0]) * columns
            }
        }
    }

    /// The number of the scale of a value.
    pub(crate) fn place(self, row: usize, value: usize) -> usize {
        match self {
            Self::Grid { height, width, columns } => row / height * columns + value / width,
            Self::Tiles { width, columns } => {
                let group = value / width;
                let tile = row / TILE[0] * (columns / TILE[1]) + group / TILE[1];
                let within = row % STRIPE * 16 + row % TILE[0] / STRIPE * TILE[1] + group % TILE[1];
                tile * TILE[0] * TILE[1] + within
            }
        }
    }
}

/// The values of a side that share a scale, if there are so many scales: as many for each, or blocks of the stated or usual size, the
/// last one smaller.
fn side(values: usize, count: usize, block: Option<usize>) -> Option<usize> {
    let fits = |block: &usize| *block > 0 && values.div_ceil(*block) == count;
    let exact = (count > 0 && values.is_multiple_of(count)).then(|| values / count.max(1));
    block.filter(fits).or(exact).or(SQUARES.into_iter().find(fits))
}

fn greatest_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_say_what_shares_a_scale() {
        let grid = |height, width, columns| Some(Order::Grid { height, width, columns });
        for (shape, block, expected) in [
            (&[][..], None, grid(256, 512, 1)),
            (&[1], None, grid(256, 512, 1)),
            (&[1, 1], None, grid(256, 512, 1)),
            (&[256], None, grid(1, 512, 1)),
            (&[256, 1], None, grid(1, 512, 1)),
            (&[2, 4], None, grid(128, 128, 4)),
            (&[2, 4], Some(128), grid(128, 128, 4)),
            (&[256, 8], None, grid(1, 64, 8)),
            (&[256, 8, 1], None, grid(1, 64, 8)),
            (&[512], None, None),
            (&[3, 5], None, None),
            (&[0, 4], None, None),
            (&[4, 1], None, grid(64, 512, 1)),
        ] {
            assert_eq!(Order::grid(shape, [256, 512], block), expected, "{shape:?}");
        }
        // The last block may be a part of one.
        assert_eq!(Order::grid(&[3, 5], [300, 640], None), grid(128, 128, 5));
        assert_eq!(Order::grid(&[2, 2], [130, 144], None), grid(128, 128, 2));
        assert_eq!(Order::grid(&[3, 3], [130, 144], Some(48)), grid(48, 48, 3));
    }

    #[test]
    fn every_scale_of_a_tile_has_a_place_of_its_own_within_what_is_needed() {
        for (rows, groups) in [(128usize, 4usize), (130, 5), (300, 9)] {
            let tiles =
                Order::tiles(&[rows.next_multiple_of(128), groups.next_multiple_of(4)], [rows, groups * 16], 16);
            let tiles = tiles.unwrap();
            let mut places: Vec<usize> = (0..rows * groups).map(|i| tiles.place(i / groups, i % groups * 16)).collect();
            assert!(places.iter().all(|place| tiles.needed(0..rows).contains(place)));
            let last = tiles.needed(rows - 1..rows);
            assert!((0..groups).all(|group| last.contains(&tiles.place(rows - 1, group * 16))));
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), rows * groups);
        }
        let tiles = Order::Tiles { width: 16, columns: 8 };
        assert_eq!(
            [tiles.place(1, 0), tiles.place(32, 16), tiles.place(0, 64), tiles.place(128, 0)],
            [16, 5, 512, 1024]
        );
    }

    #[test]
    fn groups_divide_rows_and_what_products_read() {
        for (width, row, group) in [(4096, 4096, 256), (64, 64, 64), (128, 640, 128), (48, 48, 16), (6912, 6912, 256)] {
            assert_eq!(Order::Grid { height: 1, width, columns: 1 }.group(row), group, "{width}");
        }
    }
}
