//! A sidecar: what it says held against the files beside it. It is not signed itself; what it says of its clip, the clip's own signature
//! says as well.
//!
//! Must not know how it was made.

use super::{Against, Expected, Found, Pictures, Report, Verdict, verify as verify_file};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The most bytes of a sidecar.
const SIDECAR_BYTES: u64 = 16 << 20;

/// What it says of its clip's pictures.
pub(super) fn expected(path: &Path) -> io::Result<Expected> {
    let said = read(path)?;
    let pictures_sha256 = said["provenance"]["pictures_sha256"].as_str().map(str::to_owned);
    Ok(Expected { by: pictures_sha256.as_ref().map(|_| "sidecar"), pictures_sha256 })
}

fn read(path: &Path) -> io::Result<Value> {
    let mut text = String::new();
    File::open(path)?.take(SIDECAR_BYTES).read_to_string(&mut text)?;
    serde_json::from_str(&text)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("it is no sidecar: {error}")))
}

pub(super) fn verify(path: &Path, against: &Against) -> io::Result<Report> {
    let said = read(path)?;
    if !said["mark"].is_object() || !said["files"].is_array() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no sidecar: it has no mark or no files"));
    }
    let (mut found, mut files, mut changed) = (Vec::new(), Vec::new(), false);
    let folder = path.parent().unwrap_or(Path::new(""));
    for told in said["files"].as_array().into_iter().flatten() {
        let Some(name) =
            told["name"].as_str().filter(|name| Path::new(name).file_name().is_some_and(|file| file == *name))
        else {
            found.push(Found::new("ltxd.sidecar.name", "it names a file that cannot lie beside it"));
            changed = true;
            continue;
        };
        let file = folder.join(name);
        if !file.exists() {
            found.push(Found::new("ltxd.sidecar.missing", format!("{name} does not lie beside it")));
            continue;
        }
        if Some(sha256(&file)?.as_str()) != told["sha256"].as_str() {
            found.push(Found::new("ltxd.sidecar.file", format!("{name} has other bytes than it says")));
            changed = true;
        }
        let report = verify_file(&file, &Against { sidecar: None, ..against.clone() })?;
        if report.mark_is_signed && report.mark.as_ref() != Some(&said["mark"]) {
            found.push(Found::new("ltxd.sidecar.mark", format!("its mark is not the one that {name} is signed with")));
            changed = true;
        }
        files.push(report);
    }
    let worst = files.iter().map(|report| report.verdict).max();
    let verdict = match worst {
        _ if changed => Verdict::Changed,
        Some(worst) => worst,
        None => Verdict::Unsigned,
    };
    let mark = said["mark"].clone();
    Ok(Report {
        file: path.to_owned(),
        kind: "sidecar",
        verdict,
        signer: files.iter().find_map(|report| report.signer.clone()),
        output_of_ltxd: true,
        usage_class: mark["usage_class"].as_str().map(str::to_owned),
        mark: Some(mark),
        mark_is_signed: !changed && files.iter().any(|report| report.mark_is_signed),
        pictures: Pictures { sha256: None, expected_sha256: None, expected_by: None, same: None },
        found,
        files,
    })
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut digest, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(format!("{:x}", digest.finalize())),
            count => digest.update(&piece[..count]),
        }
    }
}
