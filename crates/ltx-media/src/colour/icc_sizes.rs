//! How large the curves and tables of an ICC profile say they are, held against the bytes of their tags.
//!
//! Must not know what the values mean. It is asked before the libraries are: they take memory for what a profile states, and
//! half a gigabyte can be stated in twenty bytes.

use super::{ColourFault, icc::HEADER, icc_tags::TAGS};

/// The most channels that a table has.
const CHANNELS: usize = 16;
/// The most elements of a tag, and the most segments of a curve among them. They may lie over each other: without a bound a small
/// profile is long work.
const ELEMENTS: usize = 64;
const SEGMENTS: usize = 256;

/// # Errors
/// `Damaged`: a curve or a table that a conversion may read has more values than its tag has room for.
pub(super) fn check_sizes(profile: &[u8]) -> Result<(), ColourFault> {
    let tags = word(profile, HEADER).ok_or(ColourFault::Damaged)?.min(TAGS);
    for at in (0..tags).map(|tag| HEADER + 4 + 12 * tag) {
        let (Some(name), Some(start), Some(length)) =
            (profile.get(at..at + 4), word(profile, at + 4), word(profile, at + 8))
        else {
            return Err(ColourFault::Damaged);
        };
        // One that leaves the profile is not there, for either library.
        let Some(until) = start.checked_add(length).and_then(|end| profile.get(..end)) else { continue };
        if is_read(name) && start > 0 && length > 0 {
            fits(until, start).ok_or(ColourFault::Damaged)?;
        }
    }
    Ok(())
}

/// Whether the tag is one of those that colours are converted by.
fn is_read(name: &[u8]) -> bool {
    matches!(name, b"rTRC" | b"gTRC" | b"bTRC" | b"kTRC")
        || matches!(name, [b'A' | b'D', b'2', b'B', b'0'..=b'3'] | [b'B', b'2', b'A' | b'D', b'0'..=b'3'])
}

/// `None` where the tag at `start` states more than there is until its end, which is that of `bytes`. So do all others here.
/// What is of no known type holds nothing: whoever reads it refuses it.
fn fits(bytes: &[u8], start: usize) -> Option<()> {
    match bytes.get(start..start + 4)? {
        b"curv" | b"para" => curve(bytes, start).map(drop),
        b"mft1" => lut(bytes, start, 48, [256, 256], 1),
        b"mft2" => lut(bytes, start, 52, [half(bytes, start + 48)?, half(bytes, start + 50)?], 2),
        kind @ (b"mAB " | b"mBA ") => stages(bytes, start, kind == b"mAB "),
        b"mpet" => elements(bytes, start),
        _ => Some(()),
    }
}

/// A curve; the position behind it.
fn curve(bytes: &[u8], at: usize) -> Option<usize> {
    let values = match bytes.get(at..at + 4)? {
        b"curv" => word(bytes, at + 8)?.checked_mul(2)?,
        b"para" => *[4, 12, 16, 20, 28].get(half(bytes, at + 8)?)?,
        _ => return None,
    };
    end(bytes, at + 12, values)
}

/// The tables of a `lut8Type` or `lut16Type`, which begin after `head` bytes: of every channel that goes in, of the grid, and of
/// every channel that comes out.
fn lut(bytes: &[u8], at: usize, head: usize, [entries_in, entries_out]: [usize; 2], width: usize) -> Option<()> {
    let [inputs, outputs] = [byte(bytes, at + 8)?, byte(bytes, at + 9)?];
    let grid = vec![byte(bytes, at + 10)?; inputs];
    let values = nodes(&grid)?.checked_mul(outputs)?.checked_add(inputs * entries_in + outputs * entries_out)?;
    end(bytes, at + head, values.checked_mul(width)?).map(drop)
}

/// The curves and the grid of a `lutAToBType`, or of the other direction.
fn stages(bytes: &[u8], at: usize, to_pcs: bool) -> Option<()> {
    let [inputs, outputs] = [byte(bytes, at + 8)?, byte(bytes, at + 9)?];
    let (near_pcs, far) = if to_pcs { (outputs, inputs) } else { (inputs, outputs) };
    for (offset, count) in [(12, near_pcs), (20, near_pcs), (28, far)] {
        let offset = word(bytes, at + offset)?;
        let (mut next, curves) = (at.checked_add(offset)?, if offset == 0 { 0 } else { count });
        for _ in 0..curves {
            next = curve(bytes, next)?.next_multiple_of(4);
        }
    }
    match word(bytes, at + 24)? {
        0 => Some(()),
        offset => {
            let at = at.checked_add(offset)?;
            let grid = axes(bytes, at, inputs)?;
            let values = nodes(&grid)?.checked_mul(outputs)?.checked_mul(byte(bytes, at + 16)?)?;
            end(bytes, at + 20, values).map(drop)
        }
    }
}

/// The elements of a `multiProcessElementsType`.
fn elements(bytes: &[u8], at: usize) -> Option<()> {
    let count = word(bytes, at + 12).filter(|count| *count <= ELEMENTS)?;
    end(bytes, at + 16, count.checked_mul(8)?)?;
    (0..count).try_for_each(|element| element_at(bytes, at.checked_add(word(bytes, at + 16 + 8 * element)?)?))
}

fn element_at(bytes: &[u8], at: usize) -> Option<()> {
    let kind = bytes.get(at..at.checked_add(4)?)?;
    if !matches!(kind, b"cvst" | b"clut" | b"matf") {
        return Some(());
    }
    let [inputs, outputs] = [half(bytes, at + 8)?, half(bytes, at + 10)?];
    if inputs.max(outputs) > CHANNELS {
        return None;
    }
    match kind {
        b"clut" => {
            let values = nodes(&axes(bytes, at + 12, inputs)?)?.checked_mul(outputs)?;
            end(bytes, at + 28, values.checked_mul(4)?).map(drop)
        }
        b"matf" => end(bytes, at + 12, 4 * (inputs + 1) * outputs).map(drop),
        _ => {
            end(bytes, at + 12, 8 * inputs)?;
            (0..inputs).try_for_each(|curve| segments(bytes, at.checked_add(word(bytes, at + 12 + 8 * curve)?)?))
        }
    }
}

/// The segments of a curve among the elements.
fn segments(bytes: &[u8], at: usize) -> Option<()> {
    if bytes.get(at..at.checked_add(4)?)? != b"curf" {
        return Some(());
    }
    let count = half(bytes, at + 8).filter(|count| *count <= SEGMENTS)?;
    let mut next = end(bytes, at + 12, 4 * count.checked_sub(1)?)?;
    for _ in 0..count {
        let values = match bytes.get(next..next + 4)? {
            b"parf" => *[4, 5, 5].get(half(bytes, next + 8)?)?,
            b"samf" => word(bytes, next + 8)?,
            _ => return None,
        };
        next = end(bytes, next + 12, values.checked_mul(4)?)?;
    }
    Some(())
}

/// The points of each axis of a grid, which sixteen bytes state.
fn axes(bytes: &[u8], at: usize, inputs: usize) -> Option<Vec<usize>> {
    let stated = bytes.get(at..at + CHANNELS)?;
    Some(stated.get(..inputs)?.iter().map(|&points| usize::from(points)).collect())
}

/// Nodes of a grid.
fn nodes(axes: &[usize]) -> Option<usize> {
    axes.iter().try_fold(1_usize, |nodes, points| nodes.checked_mul(*points))
}

/// The position behind so many bytes, all of which are there.
fn end(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    at.checked_add(length).filter(|end| *end <= bytes.len())
}

fn byte(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at).copied().map(usize::from)
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A profile of one tag.
    fn profile(name: &[u8; 4], tag: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        for number in [1_u32, u32::from_be_bytes(*name), HEADER as u32 + 16, tag.len() as u32] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(tag);
        bytes
    }

    /// A type's name and four bytes, then words.
    fn tag(kind: &[u8; 4], words: &[u32], rest: usize) -> Vec<u8> {
        let words = words.iter().flat_map(|word| word.to_be_bytes());
        kind.iter().copied().chain([0; 4]).chain(words).chain(vec![0; rest]).collect()
    }

    #[test]
    fn tables_are_as_long_as_their_tags_at_most() {
        // Three channels in, three out, two points an axis.
        let counts = 0x0303_0200;
        let lut16 = [&[counts][..], &[0; 9], &[0x0002_0002]].concat();
        let offsets = |at: u32| [0x0303_0000, 0, 0, 0, at, 0];
        let grid = |precision: u32| [&offsets(32)[..], &[0x0202_0200, 0, 0, 0, precision << 24]].concat();
        let element = |kind: &[u8; 4], head: &[u32]| {
            let table = [0x0003_0003, 1, 24, 0, u32::from_be_bytes(*kind), 0];
            [&table[..], head].concat()
        };
        let [curve, samples] = [b"curf", b"samf"].map(|kind| u32::from_be_bytes(*kind));
        let sampled = [0x0001_0001, 20, 0, curve, 0, 0x0001_0000, samples, 0, 7];
        for (kind, words, values) in [
            (b"curv", vec![5], 10),
            (b"para", vec![0x0003_0000], 20),
            (b"mft1", [&[counts][..], &[0; 9]].concat(), 256 * 6 + 24),
            (b"mft2", lut16, 2 * (6 + 6 + 24)),
            (b"mAB ", grid(1), 24),
            (b"mBA ", grid(2), 48),
            (b"mpet", element(b"clut", &[0x0003_0003, 0x0202_0200, 0, 0, 0]), 96),
            (b"mpet", element(b"matf", &[0x0003_0003]), 48),
            (b"mpet", element(b"cvst", &sampled), 28),
        ] {
            let check = |rest| check_sizes(&profile(b"A2B0", &tag(kind, &words, rest)));
            let name = kind.escape_ascii();
            assert_eq!(check(values), Ok(()), "{name}");
            assert_eq!(check(values - 1), Err(ColourFault::Damaged), "{name}");
        }
        // What no conversion reads may be anything.
        assert_eq!(check_sizes(&profile(b"desc", &tag(b"curv", &[u32::MAX], 0))), Ok(()));
        assert_eq!(check_sizes(&profile(b"rTRC", &tag(b"curv", &[u32::MAX], 0))), Err(ColourFault::Damaged));
        let huge = tag(b"mft1", &[0x0f0f_ff00], 2000);
        assert_eq!(check_sizes(&profile(b"B2A1", &huge)), Err(ColourFault::Damaged));
        let outside = [&profile(b"A2B0", &[])[..HEADER + 12], &u32::MAX.to_be_bytes()].concat();
        assert_eq!(check_sizes(&outside), Ok(()), "a tag that is not there");
        assert_eq!(check_sizes(&[0; HEADER]), Err(ColourFault::Damaged));
    }
}
