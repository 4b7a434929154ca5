//! An MP4: its credentials, every byte beside them, its pictures, and the mark in its metadata.
//!
//! Must not know other containers.

use super::{
    Against, Found, Report,
    credentials::{self, Claimed, Credentials},
    framing,
    looked::{Decoded, Looked},
    mark,
};
use crate::{mp4, signing::MP4};
use sha2::{Digest, Sha256};
use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

pub(super) fn verify(path: &Path, against: &Against, beside: Option<String>) -> io::Result<Report> {
    let file = File::open(path)?;
    let (parts, _) = mp4::leading_parts(&file)?;
    let of_credentials = parts.iter().filter(|part| part.uuid == Some(mp4::C2PA_UUID));
    credentials::bounded(of_credentials.map(|part| part.range.end - part.range.start).sum())?;
    let mut pictures = Sha256::new();
    let decoded = ltx_media::decode_pictures(path, |line| pictures.update(line));
    let decoded = decoded.map(|count| Decoded { count, sha256: format!("{:x}", pictures.finalize()) });
    let entries = ltx_media::mp4_metadata(path).unwrap_or_default();
    let looked = Looked {
        path,
        kind: "mp4",
        decoded: decoded.map_err(|error| ltx_types::sentence(&error)),
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
    if usage["rest_sha256"].as_str() != Some(mp4::digests(file, &credentials.range)?.rest_sha256.as_str()) {
        faults.push(Found::new("ltxd.rest.mismatch", "bytes beside the credentials are others than were signed"));
    }
    let mut bytes = vec![0; (credentials.range.end - credentials.range.start) as usize];
    file.read_exact_at(&mut bytes, credentials.range.start)?;
    if !framing::of_mp4(&bytes) {
        faults.push(Found::new("ltxd.framing", "bytes around what is signed are others than were written"));
    }
    Ok(faults)
}
