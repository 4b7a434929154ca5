//! What tells this program from every other build of it, for what is kept from one run to the next.
//!
//! Must not know what is kept.

use sha2::{Digest, Sha256};
use std::{fs::File, io, sync::OnceLock};

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

fn of_this_program() -> io::Result<String> {
    // The file that runs, also where another has taken its name since.
    let mut digest = Sha256::new();
    io::copy(&mut File::open("/proc/self/exe")?, &mut digest)?;
    Ok(format!("{:x}", digest.finalize()))
}
