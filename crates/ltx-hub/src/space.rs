//! How much room a disk has.
//!
//! Must not know what for.

use std::path::Path;

/// Bytes that may be written on the disk of a folder, which need not exist yet; `None` where the system does not say.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    let there = folder.ancestors().find(|folder| folder.exists())?;
    ltx_files::free_bytes(there).ok()
}
