//! Values of a GGUF file's metadata: numbers as text, text and arrays as the place where they lie, so that what is kept of a
//! header does not grow with its arrays.
//!
//! Must not know what a key means.

use super::{Cursor, GgufFault};
use crate::Result;
use std::ops::Range;

/// How deep arrays of arrays may go.
const DEPTH: usize = 4;
/// The most numbers of an array that are read as one shape.
const DIMENSIONS: u64 = 8;
/// The type of text.
const TEXT: u32 = 8;

/// A metadata value, as far as it is looked at.
pub(super) enum Value {
    Text(Range<usize>),
    Number(String),
    Array(Array),
}

/// Where the items of an array lie; all of them are inside the file.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    /// The type of an item.
    kind: u32,
    count: u64,
    range: Range<usize>,
}

impl Array {
    /// Its items as text, where they are text. The bytes are those of the file.
    pub(crate) fn texts<'a>(&self, file: &'a [u8]) -> Option<Vec<Option<&'a str>>> {
        let mut rest = file.get(self.range.clone()).filter(|_| self.kind == TEXT)?;
        let mut texts = Vec::with_capacity(self.count.min(self.range.len() as u64 / 8) as usize);
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (text, after) = after.split_at_checked(length)?;
            texts.push(std::str::from_utf8(text).ok());
            rest = after;
        }
        Some(texts)
    }

    /// Its items as numbers, where they are numbers or truths (0 and 1).
    pub(crate) fn numbers(&self, file: &[u8]) -> Option<Vec<f64>> {
        let bytes = file.get(self.range.clone())?;
        fn each<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
        }
        Some(match self.kind {
            0 => each(bytes, |[byte]| f64::from(byte)),
            1 => each(bytes, |bytes| f64::from(i8::from_le_bytes(bytes))),
            2 => each(bytes, |bytes| f64::from(u16::from_le_bytes(bytes))),
            3 => each(bytes, |bytes| f64::from(i16::from_le_bytes(bytes))),
            4 => each(bytes, |bytes| f64::from(u32::from_le_bytes(bytes))),
            5 => each(bytes, |bytes| f64::from(i32::from_le_bytes(bytes))),
            6 => each(bytes, |bytes| f64::from(f32::from_le_bytes(bytes))),
            7 => each(bytes, |[byte]| f64::from(byte.min(1))),
            10 => each(bytes, |bytes| u64::from_le_bytes(bytes) as f64),
            11 => each(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
            12 => each(bytes, f64::from_le_bytes),
            _ => return None,
        })
    }

    /// How many items it has.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether another array has the same items; the bytes are those of their files.
    pub(crate) fn is_as(&self, file: &[u8], (other, others): (&Self, &[u8])) -> bool {
        let same_kind = (self.kind, self.count) == (other.kind, other.count);
        same_kind && file.get(self.range.clone()) == others.get(other.range.clone())
    }

    /// Its items, where they are a few whole numbers of 32 or 64 bits.
    pub(super) fn whole(&self, file: &[u8]) -> Option<Vec<i64>> {
        let bytes = file.get(self.range.clone()).filter(|_| self.count <= DIMENSIONS)?;
        let four = |number: fn([u8; 4]) -> i64| bytes.as_chunks::<4>().0.iter().map(|bytes| number(*bytes)).collect();
        match self.kind {
            4 => Some(four(|bytes| i64::from(u32::from_le_bytes(bytes)))),
            5 => Some(four(|bytes| i64::from(i32::from_le_bytes(bytes)))),
            10 | 11 => Some(bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()),
            _ => None,
        }
    }
}

pub(super) fn read_value(cursor: &mut Cursor<'_>, kind: u32, key: &str) -> Result<Value> {
    Ok(match kind {
        0 => Value::Number(cursor.array::<1>(key)?[0].to_string()),
        1 => Value::Number(i8::from_le_bytes(cursor.array(key)?).to_string()),
        2 => Value::Number(u16::from_le_bytes(cursor.array(key)?).to_string()),
        3 => Value::Number(i16::from_le_bytes(cursor.array(key)?).to_string()),
        4 => Value::Number(cursor.u32(key)?.to_string()),
        5 => Value::Number(i32::from_le_bytes(cursor.array(key)?).to_string()),
        6 => Value::Number(f32::from_le_bytes(cursor.array(key)?).to_string()),
        7 => Value::Number(if cursor.array::<1>(key)?[0] == 0 { "false" } else { "true" }.to_owned()),
        TEXT => Value::Text(cursor.text(key)?.1),
        9 => Value::Array(read_array(cursor, key, DEPTH)?),
        10 => Value::Number(cursor.u64(key)?.to_string()),
        11 => Value::Number(i64::from_le_bytes(cursor.array(key)?).to_string()),
        12 => Value::Number(f64::from_le_bytes(cursor.array(key)?).to_string()),
        _ => return Err(cursor.fault(GgufFault::Value, key, format!("type {kind}"), "a type from 0 to 12")),
    })
}

/// Walks over an array.
fn read_array(cursor: &mut Cursor<'_>, key: &str, depth: usize) -> Result<Array> {
    let kind = cursor.u32(key)?;
    let size = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        TEXT => 8,
        9 => 12,
        10..=12 => 8,
        _ => {
            return Err(cursor.fault(GgufFault::Value, key, format!("an array of type {kind}"), "a type from 0 to 12"));
        }
    };
    let count = cursor.count(size, key)?;
    let start = cursor.at;
    match kind {
        TEXT => (0..count).try_for_each(|_| cursor.text_range(key).map(drop))?,
        9 if depth == 0 => return Err(cursor.fault(GgufFault::Value, key, "arrays in arrays in arrays", "fewer")),
        9 => (0..count).try_for_each(|_| read_array(cursor, key, depth - 1).map(|_| ()))?,
        _ => {
            cursor.take(count * size as u64, key)?;
        }
    }
    Ok(Array { kind, count, range: start..cursor.at })
}
