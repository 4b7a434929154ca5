//! A file held against what it says of itself: whose signature, what was changed since, whether its pictures are the mark's.
//!
//! Must not know exit codes or how a report is shown. A file may come from anybody.

mod credentials;
mod framing;
mod mark;
mod mp4;
mod picture;
mod report;
mod sidecar;

pub use report::{Found, Pictures, Report, Signer, Trust, Verdict};

use mark::Expected;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What a file is held against.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// Roots that vouch for signers: the files that they came from, and their certificates, PEM.
    pub roots: Vec<(PathBuf, String)>,
    /// A sidecar that tells of the file's pictures where the file itself no longer does.
    pub sidecar: Option<PathBuf>,
}

impl Against {
    /// With the roots of these files.
    ///
    /// # Errors
    /// One cannot be read, or holds no certificate in PEM; which one.
    pub fn roots_of(files: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let read = |file: &PathBuf| {
            let pem = std::fs::read_to_string(file).map_err(|error| (file.clone(), error))?;
            match pem.contains("-----BEGIN CERTIFICATE-----") {
                true => Ok((file.clone(), pem)),
                false => {
                    Err((file.clone(), io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate in PEM")))
                }
            }
        };
        Ok(Self { roots: files.iter().map(read).collect::<Result<_, _>>()?, sidecar: None })
    }
}

/// Looks at an MP4, a PNG or a sidecar, which it tells apart by content.
///
/// # Errors
/// The file cannot be read, or is none of the three.
pub fn verify(file: &Path, against: &Against) -> io::Result<Report> {
    let mut head = [0; 12];
    let mut opened = File::open(file)?;
    let length = opened.metadata()?.len().min(12) as usize;
    opened.read_exact(&mut head[..length])?;
    let expected = || against.sidecar.as_deref().map(sidecar::expected).transpose();
    if head.starts_with(b"\x89PNG") {
        return picture::verify(file, against, expected()?.unwrap_or_default());
    }
    if head.trim_ascii_start().starts_with(b"{") {
        return sidecar::verify(file, against);
    }
    // A box's name is where an MP4's first box has it, whichever that is.
    if head[4..8].iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') && length == 12 {
        return mp4::verify(file, against, expected()?.unwrap_or_default());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is no MP4, no PNG and no sidecar"))
}
