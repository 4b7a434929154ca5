//! What shares a scale, as the name of a format says it, held against the scales that a layer has.
//!
//! Must not know where scales lie.

use super::Order;

/// The side of a block where nothing states it.
const USUAL_BLOCK: usize = 128;

/// What shares a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    /// All values.
    Tensor,
    /// All values, or those of a row: files of ComfyUI's `int8_tensorwise` have either.
    TensorOrRow,
    /// The values of a row.
    Row,
    /// Some values of a row.
    BlockOfRow,
    /// The values of a square of rows and columns.
    Square,
}

impl Spread {
    /// What the name of a format says; `None` of one that leaves it to the shape of the scales.
    pub(super) fn named(format: &str) -> Option<Self> {
        match format.rsplit_once('_')?.1 {
            "tensorwise" if format.starts_with("int8") => Some(Self::TensorOrRow),
            "tensorwise" => Some(Self::Tensor),
            "rowwise" => Some(Self::Row),
            "blockwise" => Some(Self::Square),
            "block3d" => Some(Self::BlockOfRow),
            _ => None,
        }
    }

    /// Whether the scales of a matrix `[rows, row]` are so. `block` is the side of a block that is stated, if any.
    pub(super) fn fits(self, order: Order, [rows, row]: [usize; 2], block: Option<usize>) -> bool {
        let Order::Grid { height, width, .. } = order else { return false };
        let (is_one_row, is_whole_row) = (height == 1 || rows == 1, width >= row);
        let is_one = height >= rows && is_whole_row;
        match self {
            Self::Tensor => is_one,
            Self::TensorOrRow => is_one || (is_one_row && is_whole_row),
            Self::Row => is_one_row && is_whole_row,
            Self::BlockOfRow => is_one_row,
            Self::Square => height == width || (is_one && rows.max(row) <= block.unwrap_or(USUAL_BLOCK)),
        }
    }

    /// How many scales there are of it.
    pub(super) fn said(self) -> &'static str {
        match self {
            Self::Tensor => "one for all values",
            Self::TensorOrRow => "one for all values, or one for every row",
            Self::Row => "one for every row",
            Self::BlockOfRow => "one for every block of a row",
            Self::Square => "one for every square block",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_shares_a_scale() {
        for (format, spread) in [
            ("float8_e4m3fn", None),
            ("float8_e5m2", None),
            ("float8_e4m3fn_tensorwise", Some(Spread::Tensor)),
            ("float8_e4m3fn_rowwise", Some(Spread::Row)),
            ("float8_e4m3fn_blockwise", Some(Spread::Square)),
            ("float8_e4m3fn_block3d", Some(Spread::BlockOfRow)),
            ("int8_tensorwise", Some(Spread::TensorOrRow)),
            ("int8_rowwise", Some(Spread::Row)),
            ("int8_blockwise", Some(Spread::Square)),
        ] {
            assert_eq!(Spread::named(format), spread, "{format}");
        }
    }

    #[test]
    fn scales_are_so_or_they_are_not() {
        use Spread::{BlockOfRow, Row, Square, Tensor, TensorOrRow};
        let all = [Tensor, TensorOrRow, Row, BlockOfRow, Square];
        let fitting = |scales: &[usize], matrix: [usize; 2], block| {
            let order = Order::grid(scales, matrix, block).unwrap();
            all.into_iter().filter(|spread| spread.fits(order, matrix, block)).collect::<Vec<_>>()
        };
        assert_eq!(fitting(&[], [256, 512], None), [Tensor, TensorOrRow]);
        assert_eq!(fitting(&[256, 1], [256, 512], None), [TensorOrRow, Row, BlockOfRow]);
        assert_eq!(fitting(&[256, 8, 1], [256, 512], None), [BlockOfRow]);
        assert_eq!(fitting(&[2, 4], [256, 512], None), [Square]);
        assert_eq!(fitting(&[4, 1], [256, 512], None), [] as [Spread; 0]);
        // A matrix that is one block, and one of a single row.
        assert_eq!(fitting(&[1, 1], [100, 128], None), [Tensor, TensorOrRow, Square]);
        assert_eq!(fitting(&[], [100, 256], Some(256)), [Tensor, TensorOrRow, Square]);
        assert_eq!(fitting(&[1], [1, 256], None), [Tensor, TensorOrRow, Row, BlockOfRow]);
    }
}
