//! The normaliser that a sentencepiece model holds, `precompiled_charsmap`: a trie in a double array (Darts), whose leaves point into
//! texts that replace what led there. The tokenizer library follows it wherever it points; whether it points anywhere is asked here.
//!
//! Must not know tokens.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Refuses a map that leads out of itself.
///
/// # Errors
/// Where it does.
pub(crate) fn check(map: &[u8]) -> Result<(), String> {
    let (head, rest) = map.split_first_chunk::<4>().ok_or("it has no length")?;
    let bytes = u32::from_le_bytes(*head) as usize;
    let (trie, texts) = rest.split_at_checked(bytes / 4 * 4).ok_or_else(|| format!("its trie has no {bytes} bytes"))?;
    let texts = std::str::from_utf8(texts).map_err(|_| "its texts are not UTF-8")?;
    let units: Vec<Unit> = trie.as_chunks::<4>().0.iter().map(|unit| Unit(u32::from_le_bytes(*unit))).collect();
    let root = units.first().ok_or("its trie is empty")?.offset();
    let (mut seen, mut open) = (vec![false; units.len()], vec![root]);
    while let Some(place) = open.pop() {
        // No byte of UTF-8 is larger.
        for byte in 1..=0xf4_usize {
            let at = place ^ byte;
            let unit = units.get(at).ok_or_else(|| format!("its trie leads to unit {at} of {}", units.len()))?;
            if unit.label() != byte || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let next = at ^ unit.offset();
            if unit.has_leaf() {
                let leaf =
                    units.get(next).ok_or_else(|| format!("its trie leads to unit {next} of {}", units.len()))?;
                if !texts.is_char_boundary(leaf.value()) {
                    return Err(format!("its trie leads to byte {} of {} of texts", leaf.value(), texts.len()));
                }
            }
            open.push(next);
        }
    }
    Ok(())
}

/// A unit of the double array.
struct Unit(u32);

impl Unit {
    fn has_leaf(&self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    /// Of a leaf: where its text begins.
    fn value(&self) -> usize {
        (self.0 & !(1 << 31)) as usize
    }

    /// The byte that led here; larger for a leaf.
    fn label(&self) -> usize {
        (self.0 & (1 << 31 | 0xff)) as usize
    }

    fn offset(&self) -> usize {
        ((self.0 >> 10) as usize) << ((self.0 & 1 << 9) >> 6)
    }
}

/// Letters of RFC 4648, padded or not.
const LETTERS: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A map as a `tokenizer.json` holds it.
pub(crate) fn packed(map: &[u8]) -> String {
    LETTERS.encode(map)
}

/// The map that letters stand for; `None` for other letters.
pub(crate) fn unpacked(text: &str) -> Option<Vec<u8>> {
    LETTERS.decode(text).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A map of 256 units that replaces `a` by the text at a byte.
    pub(crate) fn replacing_a(text_at: u32, texts: &str) -> Vec<u8> {
        let mut units = [0u32; 256];
        // The root stays at 0; `a` has a leaf one unit on.
        units[b'a' as usize] = 1 << 10 | 1 << 8 | u32::from(b'a');
        units[b'a' as usize ^ 1] = 1 << 31 | text_at;
        let trie = units.iter().flat_map(|unit| unit.to_le_bytes());
        1024u32.to_le_bytes().into_iter().chain(trie).chain(texts.bytes()).collect()
    }

    #[test]
    fn a_map_leads_nowhere_else() {
        check(&replacing_a(0, "b\0")).unwrap();
        check(&replacing_a(2, "b\0c\0")).unwrap();
        for (map, says) in [
            (vec![], "no length"),
            (vec![1, 2, 3], "no length"),
            (vec![9, 0, 0, 0, 1], "no 9 bytes"),
            (vec![0; 4], "empty"),
            (vec![4, 0, 0, 0, 0, 0, 0, 0], "leads to unit 1 of 1"),
            (replacing_a(5, "b\0"), "byte 5 of 2"),
            (replacing_a(1, "é\0"), "byte 1 of 3"),
        ] {
            let said = check(&map).unwrap_err();
            assert!(said.contains(says), "{says}: {said}");
        }
        let mut bytes = replacing_a(0, "b\0");
        bytes.push(0xff);
        assert!(check(&bytes).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn letters_of_base64() {
        let text = |letters: &str| unpacked(letters).and_then(|bytes| String::from_utf8(bytes).ok());
        for (letters, says) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar"), ("Zg", "f")]
        {
            assert_eq!(text(letters).as_deref(), Some(says));
        }
        assert_eq!(unpacked("Z!"), None);
        assert_eq!([packed(b""), packed(b"f"), packed(b"foobar")], ["", "Zg==", "Zm9vYmFy"]);
    }
}
