//! Single properties of an XMP packet.
//!
//! Must not know what they mean. The packet is searched rather than read as XML, as Pillow does: properties have the prefixes that
//! every writer gives them.

/// The longest value that is read, in bytes.
const MAX_VALUE: usize = 1024;

/// The value of the first property of this name that has one, as an attribute or as an element.
pub(crate) fn value<'a>(packet: &'a [u8], property: &str) -> Option<&'a str> {
    let name = property.as_bytes();
    let found = packet.windows(name.len()).enumerate().filter(|(_, it)| *it == name).map(|(at, _)| at + name.len());
    found.filter_map(|behind| value_at(&packet[behind..])).next()
}

/// The value whose name ends before `bytes`.
fn value_at(bytes: &[u8]) -> Option<&str> {
    let (open, rest) = bytes.trim_ascii_start().split_first()?;
    let (close, rest) = match open {
        b'>' => (&b'<', rest),
        b'=' => rest.trim_ascii_start().split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?,
        _ => return None,
    };
    let end = rest.iter().take(MAX_VALUE).position(|byte| byte == close)?;
    std::str::from_utf8(&rest[..end]).ok().map(str::trim).filter(|value| !value.is_empty())
}
