//! What tells this program from every other build of it, for what is kept from one run to the next.
//!
//! Must not know what is kept.

use sha2::{Digest, Sha256};
use std::{fs::File, io, sync::OnceLock};

/// SHA-256 of the program's file, as hexadecimal digits; the version where it cannot be read. Read once.
pub(crate) fn digest() -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(|| of_this_program().unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned()))
}

fn of_this_program() -> io::Result<String> {
    // The file that runs, also where another has taken its name since.
    let mut digest = Sha256::new();
    io::copy(&mut File::open("/proc/self/exe")?, &mut digest)?;
    Ok(format!("{:x}", digest.finalize()))
}
