//! An Exif block: a TIFF file without a picture.
//!
//! Must not know what its tags mean.

/// A block that can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exif<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

/// What stands under a tag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    kind: u16,
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Exif<'a> {
    /// The block; `None` for bytes that are none. JPEG's prefix may stand before it.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let without = |bytes: &'a [u8]| bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
        let bytes = without(without(bytes));
        let big_endian = match bytes.first_chunk()? {
            b"II\x2a\0" | b"II\0\x2a" => false,
            b"MM\0\x2a" | b"MM\x2a\0" => true,
            _ => return None,
        };
        Some(Self { bytes, big_endian })
    }

    /// Where its first directory is.
    pub(crate) fn first(&self) -> usize {
        self.word(4).unwrap_or(usize::MAX)
    }

    /// The first entry under a tag of the directory at `directory`. One that is of an unknown type, empty, or not all there is
    /// none.
    pub(crate) fn entry(&self, directory: usize, tag: u16) -> Option<Entry<'a>> {
        let count = usize::from(self.half(directory)?);
        let starts = (0..count).map_while(|entry| directory.checked_add(2 + 12 * entry));
        let mut tagged =
            starts.take_while(|at| self.bytes.len() >= at.saturating_add(12)).filter(|at| self.half(*at) == Some(tag));
        tagged.find_map(|at| {
            let kind = self.half(at + 2)?;
            let length = self.word(at + 4)?.checked_mul(width(kind)?).filter(|length| *length > 0)?;
            let start = if length <= 4 { at + 8 } else { self.word(at + 8)? };
            let bytes = self.bytes.get(start..start.checked_add(length)?)?;
            Some(Entry { kind, bytes, big_endian: self.big_endian })
        })
    }

    fn half(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn word(&self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) } as usize)
    }
}

/// Bytes of one value of a TIFF type; `None` for a type that TIFF does not have.
fn width(kind: u16) -> Option<usize> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 => 8,
        _ => return None,
    })
}

impl<'a> Entry<'a> {
    /// The first of its numbers, whatever type they have; `None` for text, and for bytes, which Pillow takes for no number either.
    pub(crate) fn number(&self) -> Option<f64> {
        let word = |at| self.word(at);
        let signed = |at| word(at).map(|word| f64::from(word as i32));
        Some(match self.kind {
            3 => u16::from_be_bytes(self.value(0)?).into(),
            4 | 13 => word(0)?.into(),
            5 => f64::from(word(0)?) / f64::from(word(4)?),
            6 => i8::from_be_bytes(self.value(0)?).into(),
            8 => i16::from_be_bytes(self.value(0)?).into(),
            9 => signed(0)?,
            10 => signed(0)? / signed(4)?,
            11 => f32::from_be_bytes(self.value(0)?).into(),
            12 => f64::from_be_bytes(self.value(0)?),
            16 => u64::from_be_bytes(self.value(0)?) as f64,
            _ => return None,
        })
    }

    /// The four bytes at a byte as one number, whatever type it has.
    pub(crate) fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.value(at)?))
    }

    /// Its bytes, without the zeros behind a text.
    pub(crate) fn text(&self) -> &'a [u8] {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(self.bytes.len());
        &self.bytes[..end]
    }

    /// The value at a byte, most significant byte first.
    fn value<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = *self.bytes.get(at..)?.first_chunk()?;
        if !self.big_endian {
            bytes.reverse();
        }
        Some(bytes)
    }
}
