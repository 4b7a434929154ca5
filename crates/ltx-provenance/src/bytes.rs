//! A file in pieces: digests of parts of it, and room made in its middle. Never the whole of it in memory.
//!
//! Must not know what is in it.

use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt,
};

/// Bytes that are in memory at once.
const PIECE: usize = 1 << 20;

/// SHA-256 of a file but for a part of it, hexadecimal.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn digest_without(file: &File, left_out: &Range<u64>) -> io::Result<String> {
    let length = file.metadata()?.len();
    let mut digest = Sha256::new();
    for part in [0..left_out.start.min(length), left_out.end.min(length)..length] {
        let mut reader = file;
        reader.seek(SeekFrom::Start(part.start))?;
        let mut reader = reader.take(part.end - part.start);
        let mut piece = vec![0; PIECE];
        loop {
            match reader.read(&mut piece)? {
                0 => break,
                count => digest.update(&piece[..count]),
            }
        }
    }
    Ok(format!("{:x}", digest.finalize()))
}

/// Moves everything from `at` on to make room for so many bytes, which hold what they held until they are written.
///
/// # Errors
/// The disk is full, or refuses.
pub(crate) fn make_room(file: &File, at: u64, room: u64) -> io::Result<()> {
    let mut end = file.metadata()?.len();
    let mut piece = vec![0; PIECE];
    // From the end, so that nothing is written over before it was moved.
    while end > at {
        let count = (end - at).min(PIECE as u64);
        let piece = &mut piece[..count as usize];
        file.read_exact_at(piece, end - count)?;
        file.write_all_at(piece, end - count + room)?;
        end -= count;
    }
    Ok(())
}
