//! One signature: a place for it in the file, the digests of everything else, and the signature written into its place.
//!
//! Must not know who asks. A file is gone through in pieces; a PNG is in memory.

use crate::{
    Credentials, Input,
    claim::definition,
    credentials,
    mp4::{self, Digests},
    png_file,
    usage::{PICTURES, Ties, UNKNOWN, usage},
    xmp,
};
use c2pa::{Builder, HashRange, Reader, assertions::BmffHash};
use ltx_policy::UsageMark;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Cursor},
    os::unix::fs::FileExt,
    path::Path,
};

pub(crate) const MP4: &str = "video/mp4";
pub(crate) const PNG: &str = "image/png";
/// The assertion of an MP4's hash.
const BOXES_LABEL: &str = "c2pa.hash.bmff.v3";

/// Why an output could not be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    /// The file cannot be read or written.
    #[error("its content credentials cannot be written")]
    File(#[from] io::Error),
    /// Its pictures cannot be decoded again.
    #[error("it cannot be decoded again")]
    Decode(#[from] ltx_media::MediaError),
    /// The library failed: the key, the certificate's time, the time-stamp authority.
    #[error("its content credentials cannot be signed")]
    Credentials(#[from] c2pa::Error),
    /// The mark is no JSON; a fault of this crate.
    #[error("its mark cannot be written")]
    Mark(#[from] serde_json::Error),
    /// Signed, they have another length than was kept for them; a fault of this crate.
    #[error("its content credentials take {actual} bytes where {expected} were kept")]
    Length {
        /// Bytes kept.
        expected: usize,
        /// Bytes they take.
        actual: usize,
    },
}

/// Decodes, marks and signs an MP4 in its file. Returns what ties the mark to it.
pub(crate) fn sign_mp4(
    credentials: &Credentials,
    path: &Path,
    mark: &UsageMark,
    inputs: &[Input],
) -> Result<Ties, SignError> {
    let mut pictures = Sha256::new();
    let count = ltx_media::decode_pictures(path, |line| pictures.update(line))?;
    let pictures_sha256 = format!("{:x}", pictures.finalize());
    let mut ties = Ties { pictures_sha256, pictures: count, rest_sha256: UNKNOWN.to_owned() };
    let file = File::options().read(true).write(true).open(path)?;
    // Its length does not depend on what the digests are.
    let mut place = mp4_builder(credentials, (mark, &ties), inputs, vec![0; 32])?.placeholder(MP4)?;
    let length = place.len();
    place.extend(mp4::xmp_box(&xmp::packet(mark, &ties.pictures_sha256)));
    let at = mp4::insert(&file, &place, (UNKNOWN, &ties.pictures_sha256))?;
    let Digests { rest_sha256, boxes } = mp4::digests(&file, &(at..at + length as u64))?;
    ties.rest_sha256 = rest_sha256;
    let mut builder = mp4_builder(credentials, (mark, &ties), inputs, boxes)?;
    // Remembers how long the signed credentials are to be.
    builder.placeholder(MP4)?;
    let signed = fitting(builder.sign_embeddable(MP4)?, length)?;
    file.write_all_at(&signed, at)?;
    Ok(ties)
}

/// Marks and signs a PNG.
pub(crate) fn sign_png(
    credentials: &Credentials,
    (png, rgb): (&[u8], &[u8]),
    mark: &UsageMark,
    inputs: &[Input],
) -> Result<Vec<u8>, SignError> {
    let mut ties =
        Ties { pictures_sha256: format!("{:x}", Sha256::digest(rgb)), pictures: 1, rest_sha256: UNKNOWN.to_owned() };
    let further = [
        png_file::text_chunk(PICTURES, &ties.pictures_sha256),
        png_file::text_chunk(png_file::XMP, &xmp::packet(mark, &ties.pictures_sha256)),
    ];
    let (png, _) = with_chunks(png, &further.concat())?;
    ties.rest_sha256 = format!("{:x}", Sha256::digest(&png));
    signed_png(builder(credentials, PNG, &usage(mark, &ties, inputs)?, inputs)?, &png)
}

/// A PNG with the credentials of this claim behind its header.
fn signed_png(mut builder: Builder, png: &[u8]) -> Result<Vec<u8>, SignError> {
    let place = builder.placeholder(PNG)?;
    let (mut png, at) = with_chunks(png, &place)?;
    builder.set_data_hash_exclusions(vec![HashRange::new(at as u64, place.len() as u64)])?;
    builder.update_hash_from_stream(PNG, &mut Cursor::new(&png))?;
    let signed = fitting(builder.sign_embeddable(PNG)?, place.len())?;
    png[at..at + signed.len()].copy_from_slice(&signed);
    Ok(png)
}

fn with_chunks(png: &[u8], further: &[u8]) -> io::Result<(Vec<u8>, usize)> {
    png_file::with_chunks(png, further).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no PNG"))
}

/// The claim of an MP4 whose boxes have this hash.
fn mp4_builder(
    credentials: &Credentials,
    (mark, ties): (&UsageMark, &Ties),
    inputs: &[Input],
    boxes: Vec<u8>,
) -> Result<Builder, SignError> {
    let mut hash = BmffHash::new("jumbf manifest", "sha256", None);
    hash.set_default_exclusions();
    // The library leaves these out as well; C2PA does not ask for it.
    hash.exclusions_mut().retain(|left_out| !["/free", "/skip"].contains(&left_out.xpath.as_str()));
    hash.set_hash(boxes);
    let mut builder = builder(credentials, MP4, &usage(mark, ties, inputs)?, inputs)?;
    builder.add_assertion(BOXES_LABEL, &hash)?;
    Ok(builder)
}

fn builder(
    credentials: &Credentials,
    format: &str,
    usage: &serde_json::Value,
    inputs: &[Input],
) -> Result<Builder, SignError> {
    Ok(Builder::from_context(credentials.context()?).with_definition(definition(format, usage, inputs).to_string())?)
}

fn fitting(signed: Vec<u8>, expected: usize) -> Result<Vec<u8>, SignError> {
    match signed.len() {
        actual if actual == expected => Ok(signed),
        actual => Err(SignError::Length { expected, actual }),
    }
}

/// A picture of one pixel.
const PIXEL: &[u8] = include_bytes!("pixel.png");

/// Signs a picture and reads it.
///
/// # Errors
/// What is wrong with the signature, in words.
pub(crate) fn trial(credentials: &Credentials) -> Result<(), String> {
    let usage = serde_json::json!({ "schema": 1 });
    let made = builder(credentials, PNG, &usage, &[]).and_then(|builder| signed_png(builder, PIXEL));
    let png = made.map_err(|error| ltx_types::sentence(&error))?;
    let read = || {
        Reader::from_context(c2pa::Context::new().with_settings(credentials::settings()?)?)
            .with_stream(PNG, Cursor::new(png))
    };
    let reader = read().map_err(|error| ltx_types::sentence(&error))?;
    let mut faults = reader.validation_status().unwrap_or_default().iter();
    let fault = faults.find(|status| status.code() != c2pa::validation_status::SIGNING_CREDENTIAL_UNTRUSTED);
    fault.map_or(Ok(()), |fault| Err(format!("{}: {}", fault.code(), fault.explanation().unwrap_or_default())))
}
