//! Values and the scales of their groups, read from two tensors of a file and laid together, some rows at a time.
//!
//! Must not know which formats there are.

use super::Beside;
use crate::weight_file::{Entry, StoredType, WeightFile};
use ltx_nn::{Element, GroupScale, Groups, NnError, Packing};
use rayon::prelude::*;
use std::{io, ops::Range};

/// Rows that are laid together at a time: those of a row of tiles.
const ROWS: usize = 128;

/// Some rows of a matrix as they are packed in memory. Beside them memory holds the stored bytes of at most 128 rows, which the
/// calling thread reads and all threads lay together.
///
/// # Errors
/// The file has become shorter, or a scale is not finite.
pub(crate) fn assemble(
    file: &WeightFile,
    (key, entry): (&str, &Entry),
    beside: &Beside,
    rows: Range<usize>,
) -> ltx_nn::Result<Vec<u8>> {
    let StoredType::Packed(Packing::Groups(groups)) = entry.stored else {
        return Err(NnError::unsupported("a matrix with scales beside it", entry.stored.name(), "groups"));
    };
    let row = entry.shape.last().copied().unwrap_or(0);
    let stored_row = if groups.element == Element::E2m1 { row / 2 } else { row };
    let mut packed = vec![0u8; rows.len() * (row / usize::from(groups.size).max(1)) * groups.bytes()];
    let packed_row = (packed.len() / rows.len().max(1)).max(1);
    let (mut values, mut scales) = (Vec::<u8>::new(), Vec::<u8>::new());
    let mut start = rows.start;
    while start < rows.end {
        let some = start..rows.end.min((start / ROWS + 1) * ROWS);
        let needed = beside.order.needed(some.clone());
        values.resize(some.len() * stored_row, 0);
        scales.resize(needed.len() * beside.kind.size(), 0);
        file.read((key, entry), some.start * stored_row, &mut values)?;
        file.read_at((&beside.key, beside.range.start + needed.start * beside.kind.size()), &mut scales)?;
        let part = Part { groups, beside, scales: &scales, first: needed.start };
        let out = packed[(start - rows.start) * packed_row..].par_chunks_exact_mut(packed_row);
        let each = out.zip(values.par_chunks_exact(stored_row.max(1))).enumerate();
        let bad = each.filter_map(|(number, (out, values))| part.lay_together(some.start + number, values, out).err());
        if let Some(scale) = bad.find_first(|_| true) {
            return Err(NnError::Unreadable {
                file: file.path.clone(),
                key: beside.key.clone(),
                source: io::Error::new(io::ErrorKind::InvalidData, format!("a scale is {scale}, expected finite ones")),
            });
        }
        start = some.end;
    }
    Ok(packed)
}

/// Some scales of a tensor of them.
struct Part<'a> {
    groups: Groups,
    beside: &'a Beside,
    scales: &'a [u8],
    /// The number of the first.
    first: usize,
}

impl Part<'_> {
    /// Lays a row together; what a scale is that is not finite.
    fn lay_together(&self, row: usize, values: &[u8], out: &mut [u8]) -> Result<(), f32> {
        let (element, size) = (self.groups.element, usize::from(self.groups.size));
        let stored = if element == Element::E2m1 { size / 2 } else { size };
        let groups = values.chunks_exact(stored).zip(out.chunks_exact_mut(self.groups.bytes()));
        for (group, (values, out)) in groups.enumerate() {
            let (place, scale) = out.split_at_mut(stored);
            if element == Element::E2m1 {
                in_halves(values, self.beside.upper_first, place);
            } else {
                place.copy_from_slice(values);
            }
            self.scale(self.beside.order.place(row, group * size), scale)?;
        }
        Ok(())
    }

    /// Writes a scale as it is kept.
    fn scale(&self, number: usize, out: &mut [u8]) -> Result<(), f32> {
        let size = self.beside.kind.size();
        let bytes = self.scales.get((number - self.first) * size..).and_then(|rest| rest.get(..size));
        let Some(bytes) = bytes else { return Err(f32::NAN) };
        if let Some(value) = self.beside.kind.float_of(bytes) {
            out.copy_from_slice(&value.to_le_bytes());
            return if value.is_finite() { Ok(()) } else { Err(value) };
        }
        out.copy_from_slice(bytes);
        let is_none =
            |byte: &u8| if self.groups.scale == GroupScale::E8m0 { *byte == 255 } else { byte & 0x7f == 0x7f };
        if bytes.iter().any(is_none) { Err(f32::NAN) } else { Ok(()) }
    }
}

/// Pairs of 4-bit values with the first half of them in the lower bits, whose pairs are neighbours in the file.
fn in_halves(pairs: &[u8], upper_first: bool, out: &mut [u8]) {
    let value = |number: usize| {
        let pair = pairs[number / 2];
        if number.is_multiple_of(2) == upper_first { pair >> 4 } else { pair & 15 }
    };
    let half = out.len();
    out.iter_mut().enumerate().for_each(|(i, out)| *out = value(i) | value(i + half) << 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_halves_in_either_order() {
        let mut out = [0; 2];
        in_halves(&[0x12, 0x34], true, &mut out);
        assert_eq!(out, [0x31, 0x42]);
        in_halves(&[0x12, 0x34], false, &mut out);
        assert_eq!(out, [0x42, 0x31]);
    }
}
