//! The node's id: the one that is configured, or one drawn once and kept in the data folder.
//!
//! Must not know where the id goes. It says nothing of the machine.

use anyhow::{Context, Result};
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::Path,
};

/// The file in the data folder.
const FILE: &str = "node-id";

/// The configured id if there is one, else the kept one, else a new one that is kept from now on.
pub(crate) fn of(configured: &str, data: &Path) -> Result<String> {
    if !configured.is_empty() {
        return Ok(configured.to_owned());
    }
    let path = data.join(FILE);
    let cannot = || format!("{}: cannot be read or written", path.display());
    fs::create_dir_all(data).with_context(cannot)?;
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => {
            let id = format!("node-{}", random_hex(6)?);
            writeln!(file, "{id}").and_then(|()| file.sync_all()).with_context(cannot)?;
            Ok(id)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(&path).with_context(cannot)?;
            let id = text.trim();
            // Cut short by a crash while it was written: nothing was made under it.
            if id.is_empty() {
                fs::remove_file(&path).with_context(cannot)?;
                return of("", data);
            }
            Ok(id.to_owned())
        }
        Err(error) => Err(error).with_context(cannot),
    }
}

/// So many random bytes as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String> {
    let mut drawn = vec![0; bytes];
    getrandom::fill(&mut drawn).context("the system has no randomness to give")?;
    Ok(drawn.iter().map(|byte| format!("{byte:02x}")).collect())
}
