//! Files and folders as such: who may read and write them.
//!
//! Must not know what is in them.

use super::Findings;
use crate::config::NodeConfig;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// What anybody on the machine may do with a file beside its owner and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Nothing,
    Read,
    Write,
}

/// # Errors
/// The file is not there, or hides.
pub(super) fn others(path: &Path) -> io::Result<Others> {
    let mode = fs::metadata(path)?.permissions().mode();
    Ok(match mode & 0o007 {
        bits if bits & 0o002 != 0 => Others::Write,
        bits if bits & 0o004 != 0 => Others::Read,
        _ => Others::Nothing,
    })
}

/// Whether a file can be written in a folder; one is, and removed again.
pub(super) fn try_write(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".ltxd-doctor-{}", std::process::id()));
    File::create_new(&path)?;
    fs::remove_file(&path)
}

/// The file of tokens. That it can be read, and what is in it, the configuration has seen to.
pub(super) fn tokens(findings: &mut Findings<'_>, config: &NodeConfig) {
    let Some(file) = config.addresses.tokens_file() else { return };
    let shown = file.display();
    match others(file) {
        Ok(Others::Write) => {
            findings.error(format!("{shown}: anybody here may add a client to it"), format!("chmod o-w {shown}"));
        }
        Ok(_) => findings.fine(format!("{} of {shown}", config.clients.len())),
        Err(error) => findings.error(format!("{shown}: {error}"), "let the node's user read it"),
    }
}
