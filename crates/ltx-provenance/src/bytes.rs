//! A file in pieces: its digest, and room made in its middle. Never the whole of it in memory.
//!
//! Must not know what is in it.

use sha2::{Digest, Sha256};
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

/// Bytes that are in memory at once.
const PIECE: usize = 1 << 20;

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn digest(file: &File) -> io::Result<String> {
    let mut digest = Sha256::new();
    read(file, 0..file.metadata()?.len(), |piece| digest.update(piece))?;
    Ok(format!("{:x}", digest.finalize()))
}

/// Hands on a part of a file, a piece at a time.
///
/// # Errors
/// The file cannot be read, or ends before the part does.
pub(crate) fn read(file: &File, part: Range<u64>, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut at = part.start;
    while at < part.end {
        let piece = &mut buffer[..(part.end - at).min(PIECE as u64) as usize];
        file.read_exact_at(piece, at)?;
        take(piece);
        at += piece.len() as u64;
    }
    Ok(())
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
