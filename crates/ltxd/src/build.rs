//! What tells this program from every other build of it, for what is kept from one run to the next.
//!
//! Must not know what is kept.

use sha2::{Digest, Sha256};
use std::{fs::File, io, sync::OnceLock, time::UNIX_EPOCH};

/// SHA-256 of the program's file, as hexadecimal digits; nothing where it cannot be read, which the log says. Read once, and not
/// before it is asked for.
pub(crate) fn digest() -> Option<&'static str> {
    static DIGEST: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let unreadable = |error: &io::Error| tracing::warn!(%error, "the program cannot be read; no context is kept");
        of_this_program().inspect_err(unreadable).ok()
    };
    DIGEST.get_or_init(read).as_deref()
}

/// The program by version, length and time of its file: told at once, where nothing but speed depends on it.
pub(crate) fn stamp() -> String {
    let file = std::fs::metadata("/proc/self/exe").ok();
    let changed = file.as_ref().and_then(|file| file.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    let (length, changed) = (file.map_or(0, |file| file.len()), changed.unwrap_or_default().as_secs());
    format!("{} {length:x}-{changed:x}", env!("CARGO_PKG_VERSION"))
}

fn of_this_program() -> io::Result<String> {
    // The file that runs, also where another has taken its name since.
    let mut digest = Sha256::new();
    io::copy(&mut File::open("/proc/self/exe")?, &mut digest)?;
    Ok(format!("{:x}", digest.finalize()))
}
