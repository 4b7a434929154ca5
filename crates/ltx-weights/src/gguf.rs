//! The header of a GGUF file (versions 2 and 3, little-endian), every number in it checked against the file's own size before
//! it is used. Source: the format's public description, `docs/gguf.md` of ggml.
//!
//! Must not know what its tensors mean.

mod values;

pub(crate) use values::Array;

use crate::{
    Result, WeightsError,
    ggml_types::{GgmlType, type_of, unread_name},
    weight_file::{Entry, Header},
};
use std::{fmt::Display, ops::Range, path::Path};
use values::{Value, read_value};

/// The first bytes of every such file.
pub(crate) const MAGIC: &[u8] = b"GGUF";
/// Where the data of tensors may begin, when the file does not say.
pub(crate) const ALIGNMENT: usize = 32;
/// The most dimensions a tensor has here; ggml's own limit.
pub(crate) const DIMENSIONS: usize = 4;
/// Before a tensor's key: its shape, where it is not the one that the header can say.
pub(crate) const SHAPE_OF: &str = "comfy.gguf.orig_shape.";
/// The least bytes of a metadata entry (length, type, one byte) and of a tensor's description.
const LEAST: (usize, usize) = (13, 24);
/// What is to be taken in place of a type that is not read.
const INSTEAD: &str =
    "a type of ggml that is read, such as Q8_0, Q6_K, Q4_K_M or an IQ type: take the file in one of them";

/// What is wrong with a GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufFault {
    /// The first four bytes.
    Magic,
    /// The version.
    Version,
    /// More entries or tensors than the file has bytes for.
    Count,
    /// The file ends before what it describes.
    Truncated,
    /// Text that is not UTF-8, or longer than the file.
    Text,
    /// A metadata value of an unknown type, or of another than its key asks for.
    Value,
    /// A key or tensor that comes twice.
    Duplicate,
    /// Dimensions: too many, none of their values, or not whole blocks.
    Shape,
    /// A tensor type that no ggml has.
    Type,
    /// The alignment, or an offset that is not aligned.
    Alignment,
    /// Two tensors that share bytes.
    Overlap,
}

/// A position in the bytes of a file.
struct Cursor<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn fault(
        &self,
        fault: GgufFault,
        place: impl Display,
        found: impl Display,
        expected: impl Display,
    ) -> WeightsError {
        let (place, found, expected) = (place.to_string(), found.to_string(), expected.to_string());
        WeightsError::Gguf { file: self.file.to_owned(), fault, place, found, expected }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `length` bytes.
    fn take(&mut self, length: u64, place: &str) -> Result<Range<usize>> {
        let left = self.left();
        let length = usize::try_from(length).ok().filter(|length| *length <= left);
        let Some(length) = length else {
            return Err(self.fault(GgufFault::Truncated, place, format!("{left} bytes left"), "more"));
        };
        self.at += length;
        Ok(self.at - length..self.at)
    }

    fn array<const N: usize>(&mut self, place: &str) -> Result<[u8; N]> {
        let range = self.take(N as u64, place)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[range]);
        Ok(array)
    }

    fn u32(&mut self, place: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(place)?))
    }

    fn u64(&mut self, place: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(place)?))
    }

    /// A count of things that have at least `least` bytes each.
    fn count(&mut self, least: usize, place: &str) -> Result<u64> {
        let count = self.u64(place)?;
        let most = (self.left() / least) as u64;
        if count <= most {
            return Ok(count);
        }
        Err(self.fault(GgufFault::Count, place, count, format!("at most {most}, which is what the file has bytes for")))
    }

    fn text_range(&mut self, place: &str) -> Result<Range<usize>> {
        let length = self.u64(place)?;
        self.take(length, place)
    }

    fn text(&mut self, place: &str) -> Result<(&'a str, Range<usize>)> {
        let range = self.text_range(place)?;
        match std::str::from_utf8(&self.bytes[range.clone()]) {
            Ok(text) => Ok((text, range)),
            Err(_) => Err(self.fault(GgufFault::Text, place, "bytes that are not UTF-8", "text")),
        }
    }
}

/// Reads the header; no tensor is touched.
pub(crate) fn read(file: &Path, bytes: &[u8]) -> Result<Header> {
    let mut cursor = Cursor { file, bytes, at: 0 };
    if !bytes.starts_with(MAGIC) {
        let found = String::from_utf8_lossy(&bytes[..bytes.len().min(4)]).escape_debug().to_string();
        return Err(cursor.fault(GgufFault::Magic, "the first four bytes", found, "GGUF"));
    }
    cursor.at = MAGIC.len();
    let version = cursor.u32("the version")?;
    if !(2..=3).contains(&version) {
        return Err(cursor.fault(GgufFault::Version, "the version", version, "2 or 3"));
    }
    let tensors = cursor.count(LEAST.1, "the number of tensors")?;
    let entries = cursor.count(LEAST.0, "the number of metadata entries")?;
    let mut header = Header { format: "GGUF", ..Header::default() };
    for _ in 0..entries {
        let (key, _) = cursor.text("a metadata key")?;
        let kind = cursor.u32(key)?;
        let known =
            header.texts.contains_key(key) || header.values.contains_key(key) || header.arrays.contains_key(key);
        match read_value(&mut cursor, kind, key)? {
            _ if known => return Err(cursor.fault(GgufFault::Duplicate, key, "this key twice", "once")),
            Value::Text(range) => drop(header.texts.insert(key.to_owned(), range)),
            Value::Number(number) => drop(header.values.insert(key.to_owned(), number)),
            Value::Array(array) => drop(header.arrays.insert(key.to_owned(), array)),
        }
    }
    let alignment = alignment(&cursor, &header)?;
    let mut described = Vec::new();
    for _ in 0..tensors {
        described.push(describe(&mut cursor, alignment)?);
    }
    let data = cursor.at.next_multiple_of(alignment);
    header.length = data.min(bytes.len());
    place_all(&cursor, data, &mut described)?;
    for Described { key, mut entry } in described {
        let stated = format!("{SHAPE_OF}{key}");
        if let Some(array) = header.arrays.get(&stated) {
            entry.shape = original_shape(&cursor, key, &entry, array)?;
        } else if header.texts.contains_key(&stated) || header.values.contains_key(&stated) {
            return Err(cursor.fault(GgufFault::Shape, stated, "one value", "a list of sides"));
        }
        if header.entries.insert(key.to_owned(), entry).is_some() {
            return Err(cursor.fault(GgufFault::Duplicate, key, "this tensor twice", "once"));
        }
    }
    let of_none = |name: &&String| name.strip_prefix(SHAPE_OF).is_some_and(|key| !header.entries.contains_key(key));
    let names = header.arrays.keys().chain(header.texts.keys()).chain(header.values.keys());
    header.shapes_of_none = names.filter(of_none).cloned().collect();
    Ok(header)
}

fn alignment(cursor: &Cursor<'_>, header: &Header) -> Result<usize> {
    const KEY: &str = "general.alignment";
    let wrong = |found: &str| cursor.fault(GgufFault::Alignment, KEY, found, "a multiple of 8 up to 1048576");
    if header.arrays.contains_key(KEY) {
        return Err(wrong("a list"));
    }
    if header.texts.contains_key(KEY) {
        return Err(wrong("a text"));
    }
    let Some(text) = header.values.get(KEY) else { return Ok(ALIGNMENT) };
    let alignment = text.parse().ok().filter(|a: &usize| a.is_multiple_of(8) && (8..=1 << 20).contains(a));
    alignment.ok_or_else(|| wrong(text))
}

/// A tensor as the header describes it; the range still counts from the beginning of the data.
struct Described<'a> {
    key: &'a str,
    entry: Entry,
}

fn describe<'a>(cursor: &mut Cursor<'a>, alignment: usize) -> Result<Described<'a>> {
    let (key, _) = cursor.text("a tensor's name")?;
    let count = cursor.u32(key)? as usize;
    if count > DIMENSIONS {
        return Err(cursor.fault(
            GgufFault::Shape,
            key,
            format!("{count} dimensions"),
            format!("at most {DIMENSIONS}"),
        ));
    }
    // ggml counts from the fastest dimension, everybody else from the slowest.
    let mut shape = Vec::with_capacity(DIMENSIONS);
    for _ in 0..count {
        shape.push(cursor.u64(key)?);
    }
    shape.reverse();
    let kind = cursor.u32(key)?;
    let offset = cursor.u64(key)?;
    let Some(GgmlType { stored, block, size }) = type_of(kind) else {
        return Err(cursor.fault(GgufFault::Type, key, unread_name(kind), INSTEAD));
    };
    // No tensor has more values than 32 times the file's bytes: a smaller bound than overflow would give.
    let most = cursor.bytes.len() as u64 * 32;
    let product = shape.iter().try_fold(1u64, |product, side| product.checked_mul(*side));
    let values = product.filter(|values| (1..=most).contains(values));
    let Some(values) = values else {
        return Err(cursor.fault(GgufFault::Shape, key, format!("{shape:?}"), format!("1 to {most} values")));
    };
    if shape.last().copied().unwrap_or(1) % block != 0 {
        let expected = format!("rows of whole blocks of {block}");
        return Err(cursor.fault(GgufFault::Shape, key, format!("{shape:?} as {}", stored.name()), expected));
    }
    if offset % alignment as u64 != 0 {
        let expected = format!("a multiple of {alignment}");
        return Err(cursor.fault(GgufFault::Alignment, key, format!("offset {offset}"), expected));
    }
    let end = usize::try_from(offset)
        .ok()
        .and_then(|start| Some(start..start.checked_add((values / block * size) as usize)?));
    let Some(range) = end else {
        return Err(cursor.fault(GgufFault::Truncated, key, format!("offset {offset}"), "one inside the file"));
    };
    let shape = shape.into_iter().map(|side| side as usize).collect();
    Ok(Described { key, entry: Entry { shape, stored, range, plus_one: false, beside: None } })
}

/// Moves the ranges to where the data begins, and checks that they lie in the file and apart from each other.
fn place_all(cursor: &Cursor<'_>, data: usize, described: &mut [Described<'_>]) -> Result<()> {
    described.sort_by_key(|tensor| tensor.entry.range.start);
    let mut before: Option<(&str, usize)> = None;
    for Described { key, entry } in described {
        let end = entry.range.end.checked_add(data).filter(|end| *end <= cursor.bytes.len());
        let Some(end) = end else {
            let expected = format!("{data} + {} bytes for this tensor's end", entry.range.end);
            let found = format!("a file of {} bytes", cursor.bytes.len());
            return Err(cursor.fault(GgufFault::Truncated, key, found, expected));
        };
        entry.range = entry.range.start + data..end;
        match before {
            Some((other, other_end)) if entry.range.start < other_end => {
                let found = format!("offset {}", entry.range.start - data);
                let expected = format!("at least {}, where {other} ends", other_end - data);
                return Err(cursor.fault(GgufFault::Overlap, key, found, expected));
            }
            _ => before = Some((key, end)),
        }
    }
    Ok(())
}

fn original_shape(cursor: &Cursor<'_>, key: &str, entry: &Entry, array: &Array) -> Result<Vec<usize>> {
    let shape = array.whole(cursor.bytes);
    let sides: Option<Vec<usize>> = shape.iter().flatten().map(|side| usize::try_from(*side).ok()).collect();
    let values = |sides: &Vec<usize>| sides.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
    sides.filter(|sides| shape.is_some() && values(sides) == Some(entry.values())).ok_or_else(|| {
        let expected = format!("a shape of {} values", entry.values());
        cursor.fault(GgufFault::Shape, format!("{SHAPE_OF}{key}"), format!("{:?}", shape.unwrap_or_default()), expected)
    })
}
