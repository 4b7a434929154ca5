//! The shapes of the tile registers, as `ldtilecfg` reads them.
//!
//! Must not know what they hold.

/// Eight tile registers with lines of 64 bytes.
#[repr(C, align(64))]
pub(crate) struct Config([u8; 64]);

impl Config {
    /// Of so many lines each, at most sixteen.
    pub(crate) const fn new(lines: [u8; 8]) -> Self {
        let mut bytes = [0; 64];
        // The only palette that there is.
        bytes[0] = 1;
        let mut i = 0;
        while i < lines.len() {
            bytes[16 + 2 * i] = 64;
            bytes[48 + i] = lines[i];
            i += 1;
        }
        Self(bytes)
    }
}
