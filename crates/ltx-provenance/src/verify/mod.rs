//! A file held against what it says of itself: whose signature, what was changed since, whether its pictures are the mark's.
//!
//! Must not know exit codes or how a report is shown. A file may come from anybody.

mod credentials;
mod framing;
mod looked;
mod mark;
mod mp4;
mod picture;
mod report;
mod sidecar;

pub use report::{Found, Pictures, Report, Signer, Trust, Verdict};

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What a file is held against.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// Roots that vouch for signers: the files that they came from, and their certificates, PEM.
    pub roots: Vec<(PathBuf, String)>,
    /// A sidecar that tells of an MP4's pictures where the MP4 itself no longer does.
    pub sidecar: Option<PathBuf>,
}

impl Against {
    /// With the roots of these files.
    ///
    /// # Errors
    /// One cannot be read, or holds no certificate in PEM; which one.
    pub fn roots_of(files: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let read = |file: &PathBuf| {
            let pem = fs::read_to_string(file).map_err(|error| (file.clone(), error))?;
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

/// What a file is, told by its first bytes.
enum Kind {
    Mp4,
    Png,
    Sidecar,
}

/// Looks at an MP4, a PNG or a sidecar, which it tells apart by content.
///
/// # Errors
/// The file cannot be read, is none of the three, or larger than is looked at.
pub fn verify(file: &Path, against: &Against) -> io::Result<Report> {
    match kind(file)? {
        Kind::Mp4 => {
            let beside = against.sidecar.as_deref().map(sidecar::expected).transpose()?;
            mp4::verify(file, against, beside)
        }
        Kind::Png => {
            let mut report = picture::verify(file, against)?;
            if against.sidecar.is_some() {
                let what = "a sidecar says nothing of the pictures of a PNG";
                report.found.push(Found::new("ltxd.sidecar.unread", what));
            }
            Ok(report)
        }
        Kind::Sidecar => sidecar::verify(file, against),
    }
}

fn kind(file: &Path) -> io::Result<Kind> {
    let invalid = |rule| io::Error::new(io::ErrorKind::InvalidData, rule);
    // Before it is opened: a pipe would be waited for.
    if !fs::metadata(file)?.is_file() {
        return Err(invalid("it is no file"));
    }
    let mut head = Vec::new();
    File::open(file)?.take(12).read_to_end(&mut head)?;
    if head.starts_with(b"\x89PNG") {
        Ok(Kind::Png)
    } else if head.trim_ascii_start().starts_with(b"{") {
        Ok(Kind::Sidecar)
    } else if head.len() == 12 && head[4..8].iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        // A box's name is where an MP4's first box has it, whichever that is.
        Ok(Kind::Mp4)
    } else {
        Err(invalid("it is no MP4, no PNG and no sidecar"))
    }
}
