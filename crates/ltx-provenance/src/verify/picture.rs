//! A PNG: its credentials, its pixels, and the mark in its text.
//!
//! Must not know other containers.

use super::{
    Against, Expected, Found, Report,
    credentials::{self, Credentials},
    framing, mark,
    mp4::Looked,
};
use crate::{png_file, signing::PNG};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

/// The most bytes of a PNG that are looked at.
const PNG_BYTES: u64 = 1 << 30;

pub(super) fn verify(path: &Path, against: &Against, beside: Expected) -> io::Result<Report> {
    let mut png = Vec::new();
    if File::open(path)?.take(PNG_BYTES + 1).read_to_end(&mut png)? as u64 > PNG_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is over {PNG_BYTES} bytes")));
    }
    let (decoded, entries) = decode(&png);
    let looked = Looked { path, kind: "png", decoded, left: mark::of_entries(&entries), beside };
    match credentials::read(PNG, Cursor::new(&png), against) {
        Credentials::None => Ok(looked.without()),
        Credentials::Damaged(why) => Ok(looked.damaged(why)),
        Credentials::Read(claimed) => {
            let faults = if claimed.usage.is_some() { own_faults(&png) } else { Vec::new() };
            Ok(looked.with(*claimed, faults))
        }
    }
}

/// Bytes around what is signed.
fn own_faults(png: &[u8]) -> Vec<Found> {
    let Some(chunks) = png_file::chunks(png) else {
        return vec![Found::new("ltxd.framing", "its chunks are no row that ends with the file")];
    };
    let all: Vec<_> = chunks.into_iter().filter(|(name, _)| name == b"caBX").collect();
    match all.as_slice() {
        [(_, range)] if framing::of_png(&png[range.clone()]) => Vec::new(),
        [_] => vec![Found::new("ltxd.framing", "bytes around what is signed are others than were written")],
        all => vec![Found::new("ltxd.credentials.several", format!("there are {} chunks of credentials", all.len()))],
    }
}

/// SHA-256 of the pixels, and the text chunks.
fn decode(png: &[u8]) -> (Result<String, String>, Vec<(String, String)>) {
    let read = || {
        let mut reader = png::Decoder::new(Cursor::new(png)).read_info()?;
        let entries: Vec<_> = {
            let info = reader.info();
            let plain = info.uncompressed_latin1_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.text.clone()));
            let told = info.utf8_text.iter().filter_map(|chunk| Some((chunk.keyword.clone(), chunk.get_text().ok()?)));
            plain.chain(told).collect()
        };
        let mut digest = Sha256::new();
        while let Some(row) = reader.next_row()? {
            digest.update(row.data());
        }
        Ok::<_, png::DecodingError>((format!("{:x}", digest.finalize()), entries))
    };
    match read() {
        Ok((sha256, entries)) => (Ok(sha256), entries),
        Err(error) => (Err(ltx_types::sentence(&error)), Vec::new()),
    }
}
