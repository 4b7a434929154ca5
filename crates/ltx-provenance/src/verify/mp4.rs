//! An MP4: its credentials, every byte beside them, its pictures, and the mark in its metadata.
//!
//! Must not know other containers.

use super::{
    Against, Expected, Found, Pictures, Report, Trust, Verdict,
    credentials::{self, Claimed, Credentials},
    framing, mark,
};
use crate::{bytes::digest_without, mp4, signing::MP4};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// The most bytes of credentials that are looked at.
const CREDENTIAL_BYTES: u64 = 64 << 20;

pub(super) fn verify(path: &Path, against: &Against, beside: Expected) -> io::Result<Report> {
    let file = File::open(path)?;
    let mut pictures = Sha256::new();
    let decoded = ltx_media::decode_pictures(path, |line| pictures.update(line));
    let decoded = decoded.map(|count| (count, format!("{:x}", pictures.finalize())));
    let entries = ltx_media::mp4_metadata(path).unwrap_or_default();
    let looked = Looked {
        path,
        kind: "mp4",
        decoded: decoded.map(|(_, sha256)| sha256).map_err(|error| ltx_types::sentence(&error)),
        left: mark::of_entries(&entries),
        beside,
    };
    match credentials::read(MP4, &file, against) {
        Credentials::None => Ok(looked.without()),
        Credentials::Damaged(why) => Ok(looked.damaged(why)),
        Credentials::Read(claimed) => {
            let faults = own_faults(&file, &claimed)?;
            Ok(looked.with(*claimed, faults))
        }
    }
}

/// What the C2PA library leaves out of its digests: boxes that it excludes, and bytes around what is signed.
fn own_faults(file: &File, claimed: &Claimed) -> io::Result<Vec<Found>> {
    let Some(usage) = &claimed.usage else { return Ok(Vec::new()) };
    let mut faults = Vec::new();
    let parts = match mp4::parts(file) {
        Ok(parts) => parts,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(vec![Found::new("ltxd.framing", "its boxes are no row that ends with the file")]);
        }
        Err(error) => return Err(error),
    };
    let boxes: Vec<_> = parts.iter().filter(|part| part.uuid == Some(mp4::C2PA_UUID)).collect();
    let [credentials] = boxes.as_slice() else {
        return Ok(vec![Found::new(
            "ltxd.credentials.several",
            format!("there are {} boxes of credentials", boxes.len()),
        )]);
    };
    if usage["rest_sha256"].as_str() != Some(digest_without(file, &credentials.range)?.as_str()) {
        faults.push(Found::new("ltxd.rest.mismatch", "bytes beside the credentials are others than were signed"));
    }
    let length = credentials.range.end - credentials.range.start;
    let mut bytes = vec![0; length.min(CREDENTIAL_BYTES) as usize];
    file.read_exact_at(&mut bytes, credentials.range.start)?;
    if !framing::of_mp4(&bytes) {
        faults.push(Found::new("ltxd.framing", "bytes around what is signed are others than were written"));
    }
    Ok(faults)
}

/// What was found of a file beside its credentials; the same for every kind.
pub(super) struct Looked<'a> {
    pub(super) path: &'a Path,
    pub(super) kind: &'static str,
    /// SHA-256 of its pictures, or why they cannot be decoded.
    pub(super) decoded: Result<String, String>,
    /// The mark in its metadata.
    pub(super) left: Option<Map<String, Value>>,
    /// What a sidecar says of it.
    pub(super) beside: Expected,
}

impl Looked<'_> {
    /// Without credentials, what is left is a mark that anybody can write.
    pub(super) fn without(self) -> Report {
        let said = self.left.as_ref().and_then(|mark| mark::text(mark, "pictures_sha256"));
        let by = if self.beside.pictures_sha256.is_some() { self.beside.by } else { said.as_ref().map(|_| "metadata") };
        let expected = self.beside.pictures_sha256.clone().or(said);
        let told = expected.is_some();
        let pictures = self.pictures(expected, by);
        let verdict = match pictures.same {
            Some(false) => Verdict::Reencoded,
            // Pictures that cannot be decoded are not those that were marked.
            None if told => Verdict::Reencoded,
            _ if told || self.left.is_some() => Verdict::Stripped,
            _ => Verdict::Unsigned,
        };
        let mut found = vec![Found::new("ltxd.credentials.none", "there are no content credentials in it")];
        found.extend(self.undecodable());
        let of_ltxd = self.left.is_some();
        let mark = self.left.clone().map(Value::Object);
        self.report(verdict, (of_ltxd, mark, false), pictures, found)
    }

    /// With credentials that nobody can read.
    pub(super) fn damaged(self, why: String) -> Report {
        let said = self.left.as_ref().and_then(|mark| mark::text(mark, "pictures_sha256"));
        let by = said.as_ref().map(|_| "metadata");
        let pictures = self.pictures(said, by);
        let mut found = vec![Found::new("ltxd.credentials.damaged", why)];
        found.extend(self.undecodable());
        let of_ltxd = self.left.is_some();
        let mark = self.left.clone().map(Value::Object);
        self.report(Verdict::Changed, (of_ltxd, mark, false), pictures, found)
    }

    /// With credentials, and what beside them is not as it was signed.
    pub(super) fn with(self, claimed: Claimed, own: Vec<Found>) -> Report {
        let Claimed { signer, usage, of_ltxd, mut faults } = claimed;
        faults.extend(own);
        let expected = usage.as_ref().and_then(|usage| usage["pictures_sha256"].as_str()).map(str::to_owned);
        let by = expected.as_ref().map(|_| "signature");
        let pictures = self.pictures(expected, by);
        if pictures.same == Some(false) {
            faults.push(Found::new("ltxd.pictures.mismatch", "its pictures are others than were signed"));
        }
        // Of a stranger's file, what cannot be decoded here is not held against it.
        if usage.is_some() {
            faults.extend(self.undecodable());
        }
        if signer.is_none() {
            faults.push(Found::new("ltxd.signer.none", "its credentials name no signer"));
        }
        let verdict = match (faults.is_empty(), signer.as_ref().map(|signer| &signer.trust)) {
            (false, _) | (_, None) => Verdict::Changed,
            (true, Some(Trust::By(_))) => Verdict::Trusted,
            (true, Some(Trust::ByNone)) => Verdict::Untrusted,
        };
        let mark = usage.map(|mut usage| usage["mark"].take());
        let is_signed = faults.is_empty() && mark.is_some();
        let report = self.report(verdict, (of_ltxd && mark.is_some(), mark, is_signed), pictures, faults);
        Report { signer, ..report }
    }

    fn pictures(&self, expected: Option<String>, by: Option<&'static str>) -> Pictures {
        let sha256 = self.decoded.clone().ok();
        let same = sha256.as_ref().zip(expected.as_ref()).map(|(sha256, expected)| sha256 == expected);
        Pictures { sha256, expected_sha256: expected, expected_by: by, same }
    }

    fn undecodable(&self) -> Option<Found> {
        self.decoded.as_ref().err().map(|why| Found::new("ltxd.pictures.undecodable", why))
    }

    fn report(
        &self,
        verdict: Verdict,
        (of_ltxd, mark, is_signed): (bool, Option<Value>, bool),
        pictures: Pictures,
        found: Vec<Found>,
    ) -> Report {
        let usage_class = mark.as_ref().and_then(|mark| mark["usage_class"].as_str()).map(str::to_owned);
        Report {
            file: self.path.to_owned(),
            kind: self.kind,
            verdict,
            signer: None,
            output_of_ltxd: of_ltxd,
            usage_class,
            mark,
            mark_is_signed: is_signed,
            pictures,
            found,
            files: Vec::new(),
        }
    }
}
