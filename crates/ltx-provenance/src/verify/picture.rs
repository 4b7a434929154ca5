//! A PNG: its credentials, its pixels, and the mark in its text.
//!
//! Must not know other containers.

use super::{
    Against, Found, Report,
    credentials::{self, Credentials},
    framing,
    looked::{Decoded, Looked},
    mark,
};
use crate::{png_file, signing::PNG};
use ltx_media::MAX_PIXELS;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Cursor, Read},
    ops::Range,
    path::Path,
};

/// The most bytes of a PNG that are looked at.
const PNG_BYTES: u64 = 1 << 30;
/// The most bytes that its text unpacks to.
const TEXT_BYTES: usize = 2 << 20;

pub(super) fn verify(path: &Path, against: &Against) -> io::Result<Report> {
    let mut png = Vec::new();
    if File::open(path)?.take(PNG_BYTES + 1).read_to_end(&mut png)? as u64 > PNG_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is over {PNG_BYTES} bytes")));
    }
    let of_credentials = png_file::chunks(&png).into_iter().flatten().filter(|(name, _)| name == b"caBX");
    credentials::bounded(of_credentials.map(|(_, range)| range.len() as u64).sum())?;
    let (decoded, entries) = decode(&png);
    let decoded = decoded.map(|sha256| Decoded { count: 1, sha256 });
    let looked = Looked { path, kind: "png", decoded, left: mark::of_entries(&entries), beside: None };
    match credentials::read(PNG, Cursor::new(&png), against) {
        Credentials::None => Ok(looked.without()),
        Credentials::Damaged(why) => Ok(looked.damaged(why)),
        Credentials::Read(claimed) => {
            let faults = claimed.usage.as_ref().map(|usage| own_faults(&png, usage)).unwrap_or_default();
            Ok(looked.with(*claimed, faults))
        }
    }
}

/// Bytes around what is signed.
fn own_faults(png: &[u8], usage: &Value) -> Vec<Found> {
    let Some(chunks) = png_file::chunks(png) else {
        return vec![Found::new("ltxd.framing", "its chunks are no row that ends with the file")];
    };
    let all: Vec<_> = chunks.into_iter().filter(|(name, _)| name == b"caBX").collect();
    let [(_, Range { start, end })] = all.as_slice() else {
        return vec![Found::new("ltxd.credentials.several", format!("there are {} chunks of credentials", all.len()))];
    };
    let mut faults = Vec::new();
    let rest = Sha256::new().chain_update(&png[..*start]).chain_update(&png[*end..]).finalize();
    if usage["rest_sha256"].as_str() != Some(format!("{rest:x}").as_str()) {
        faults.push(Found::new("ltxd.rest.mismatch", "bytes beside the credentials are others than were signed"));
    }
    if !framing::of_png(&png[*start..*end]) {
        faults.push(Found::new("ltxd.framing", "bytes around what is signed are others than were written"));
    }
    faults
}

/// SHA-256 of the pixels, and the text chunks.
fn decode(png: &[u8]) -> (Result<String, String>, Vec<(String, String)>) {
    let fault = |error: png::DecodingError| ltx_types::sentence(&error);
    let read = || {
        let mut reader = png::Decoder::new(Cursor::new(png)).read_info().map_err(fault)?;
        let (width, height) = reader.info().size();
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(format!("it is {width}x{height}; at most {MAX_PIXELS} pixels are looked at"));
        }
        let entries = entries(reader.info());
        let mut digest = Sha256::new();
        while let Some(row) = reader.next_row().map_err(fault)? {
            digest.update(row.data());
        }
        Ok((format!("{:x}", digest.finalize()), entries))
    };
    match read() {
        Ok((sha256, entries)) => (Ok(sha256), entries),
        Err(why) => (Err(why), Vec::new()),
    }
}

/// The text chunks, as far as there is room for what they unpack to.
fn entries(info: &png::Info<'_>) -> Vec<(String, String)> {
    let plain = info.uncompressed_latin1_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.text.clone()));
    let mut room = TEXT_BYTES;
    let told = info.utf8_text.iter().filter_map(|chunk| {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(room).ok()?;
        let text = chunk.get_text().ok()?;
        room = room.saturating_sub(text.len());
        Some((chunk.keyword, text))
    });
    plain.chain(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey picture of this size, of few bytes, with compressed text.
    fn grey((width, height): (u32, u32), text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder.write_header().unwrap();
        let mut chunk = png::text_metadata::ITXtChunk::new("usage_class", text);
        chunk.compressed = true;
        writer.write_text_chunk(&chunk).unwrap();
        writer.write_image_data(&vec![0; width.div_ceil(8) as usize * height as usize]).unwrap();
        drop(writer);
        out
    }

    #[test]
    fn what_unpacks_to_too_much_is_left_packed() {
        let (decoded, entries) = decode(&grey((8, 8), "UNLIMITED"));
        assert!(decoded.is_ok());
        assert_eq!(entries, [("usage_class".to_owned(), "UNLIMITED".to_owned())]);
        let (decoded, entries) = decode(&grey((8, 8), &" ".repeat(TEXT_BYTES + 1)));
        assert!(decoded.is_ok() && entries.is_empty());
        let side = MAX_PIXELS.isqrt() as u32;
        assert!(decode(&grey((side, side), "x")).0.is_ok());
        let said = decode(&grey((side + 8, side + 8), "x")).0.unwrap_err();
        assert!(said.contains("at most 64000000 pixels"), "{said}");
    }
}
