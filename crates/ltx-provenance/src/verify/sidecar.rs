//! A sidecar: what it says held against the files beside it. It is not signed itself; what it says of its clip, the clip's own signature
//! says as well.
//!
//! Must not know how it was made.

use super::{Against, Found, Kind, Pictures, Report, Verdict, kind, mp4, picture};
use crate::bytes;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The most bytes of a sidecar.
const SIDECAR_BYTES: u64 = 16 << 20;

/// The SHA-256 that it says of its clip's pictures.
///
/// # Errors
/// It cannot be read, or says nothing of them.
pub(super) fn expected(path: &Path) -> io::Result<String> {
    let said = || {
        let said = read(path)?;
        let sha256 = said["provenance"]["pictures_sha256"].as_str();
        sha256.map(str::to_owned).ok_or_else(|| invalid("it says no provenance.pictures_sha256"))
    };
    said().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn invalid(rule: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, rule.into())
}

fn read(path: &Path) -> io::Result<Value> {
    let mut text = String::new();
    if File::open(path)?.take(SIDECAR_BYTES + 1).read_to_string(&mut text)? as u64 > SIDECAR_BYTES {
        return Err(invalid(format!("it is over {SIDECAR_BYTES} bytes")));
    }
    serde_json::from_str(&text).map_err(|error| invalid(format!("it is no sidecar: {error}")))
}

pub(super) fn verify(path: &Path, against: &Against) -> io::Result<Report> {
    let said = read(path)?;
    let Some(told) = said["files"].as_array().filter(|_| said["mark"].is_object()) else {
        return Err(invalid("it is no sidecar: it has no mark or no files"));
    };
    let (mut faults, mut missing, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut names = BTreeSet::new();
    for told in told {
        let name = told["name"].as_str().filter(|name| Path::new(name).file_name().is_some_and(|file| file == *name));
        let Some(name) = name.filter(|name| names.insert(*name)) else {
            faults.push(Found::new("ltxd.sidecar.name", "it names a file twice, or one that cannot lie beside it"));
            continue;
        };
        match file(&folder.join(name), told, &said, against) {
            Ok((report, differing)) => {
                files.push(report);
                faults.extend(differing.into_iter().map(|(code, what)| Found::new(code, format!("{name}: {what}"))));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(Found::new("ltxd.sidecar.missing", format!("{name} does not lie beside it")));
            }
            Err(error) => {
                let what = format!("{name}: cannot be looked at: {}", ltx_types::sentence(&error));
                faults.push(Found::new("ltxd.sidecar.unreadable", what));
            }
        }
    }
    let is_signed = |report: &Report| report.mark_is_signed && report.kind == "mp4";
    let worst = files.iter().map(|report| report.verdict).max().unwrap_or(Verdict::Unsigned);
    let verdict = if !faults.is_empty() {
        Verdict::Changed
    } else if files.iter().any(is_signed) {
        worst
    } else {
        missing.push(Found::new("ltxd.sidecar.unconfirmed", "no signed MP4 beside it says the same"));
        worst.max(Verdict::Unsigned)
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
        mark_is_signed: faults.is_empty() && files.iter().any(|report| report.mark_is_signed),
        pictures: Pictures::default(),
        found: faults.into_iter().chain(missing).collect(),
        files,
    })
}

/// A file that a sidecar tells of, and what of it is otherwise than `told` of the file and `said` of the clip.
fn file(
    path: &Path,
    told: &Value,
    said: &Value,
    against: &Against,
) -> io::Result<(Report, Vec<(&'static str, String)>)> {
    let report = match kind(path)? {
        Kind::Mp4 => mp4::verify(path, against, None)?,
        Kind::Png => picture::verify(path, against)?,
        Kind::Sidecar => return Err(invalid("it is a sidecar itself")),
    };
    let opened = File::open(path)?;
    let mut differing = Vec::new();
    let (length, sha256) = (opened.metadata()?.len(), bytes::digest(&opened)?);
    if told["bytes"].as_u64() != Some(length) || told["sha256"].as_str() != Some(&sha256) {
        differing.push(("ltxd.sidecar.file", "it has other bytes than the sidecar says".to_owned()));
    }
    if report.mark_is_signed {
        let others = others(said, &report);
        differing.extend(
            others.map(|key| ("ltxd.sidecar.said", format!("it is signed with another {key} than the sidecar says"))),
        );
    }
    Ok((report, differing))
}

/// The keys of a sidecar that say otherwise than a signed file.
fn others(said: &Value, report: &Report) -> impl Iterator<Item = &'static str> {
    let (mark, provenance) = (json!(report.mark), &said["provenance"]);
    let signer = json!(report.signer);
    let of_all = [
        ("mark", said["mark"] == mark),
        ("frames_sha256", said["frames_sha256"] == mark["frames_sha256"]),
        ("provenance.signed_by", provenance["signed_by"] == signer["subject"]),
        ("provenance.certificate_sha256", provenance["certificate_sha256"] == signer["certificate_sha256"]),
    ];
    let of_video = [
        ("provenance.pictures", provenance["pictures"] == json!(report.pictures.count)),
        ("provenance.pictures_sha256", provenance["pictures_sha256"] == json!(report.pictures.sha256)),
    ];
    let of_video = of_video.into_iter().filter({
        let is_video = report.kind == "mp4";
        move |_| is_video
    });
    of_all.into_iter().chain(of_video).filter(|(_, is_same)| !is_same).map(|(key, _)| key)
}
