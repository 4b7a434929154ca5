//! What a PNG states of its colours: cICP before iCCP before sRGB before gAMA and cHRM, as the third edition orders them.
//!
//! Must not know how colours are converted.

use crate::colour::{Chromaticities, CodePoints, ColourFault, Curve, RgbSpace, Stated};
use png::Info;
use std::io::Cursor;

/// The chunks that say what colours are, the one that counts first.
const CHUNKS: [&[u8; 4]; 5] = [b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"];

/// What a PNG states, and the part of the file that states it. A PNG that cannot be read states nothing; its decoder will say
/// why.
///
/// # Errors
/// The part, and what is wrong with it.
pub(crate) fn stated(bytes: &[u8]) -> Result<(&'static str, Stated), (&'static str, ColourFault)> {
    // The decoder gives up on the whole file where this one is not as it should be.
    if chunks(bytes).any(|(name, body)| name == b"cICP" && !matches!(body, [_, _, 0, 0 | 1])) {
        return Err((part(b"cICP"), ColourFault::Damaged));
    }
    let Ok(reader) = png::Decoder::new(Cursor::new(bytes)).read_info() else { return Ok(("", Stated::Nothing)) };
    let info = reader.info();
    // The decoder passes over a chunk that it cannot read, so what is there is looked for here.
    let there: Vec<_> = CHUNKS.into_iter().filter(|name| chunks(bytes).any(|(found, _)| found == *name)).collect();
    for name in &there {
        if !is_read(info, name) {
            return Err((part(name), ColourFault::Damaged));
        }
    }
    let Some(first) = there.first() else { return Ok(("", Stated::Nothing)) };
    let part = part(first);
    space_or_profile(info, first).map(|stated| (part, stated)).map_err(|fault| (part, fault))
}

fn space_or_profile(info: &Info<'_>, name: &[u8; 4]) -> Result<Stated, ColourFault> {
    if let (b"cICP", Some(code)) = (name, info.coding_independent_code_points) {
        let (primaries, transfer) = (code.color_primaries, code.transfer_function);
        let points = CodePoints { primaries, transfer, full_range: code.is_video_full_range_image };
        return Ok(Stated::Space(points.space()?));
    }
    if let (b"iCCP", Some(profile)) = (name, &info.icc_profile) {
        return Ok(Stated::Profile(profile.to_vec()));
    }
    if name == b"sRGB" {
        return Ok(Stated::Nothing);
    }
    let curve = info.gama_chunk.map_or(Curve::Srgb, |gamma| Curve::Power(1.0 / f64::from(gamma.into_value())));
    let chromaticities = info.chrm_chunk.map_or(Chromaticities::SRGB, |stated| {
        let pair = |(x, y): (png::ScaledFloat, png::ScaledFloat)| [x.into_value().into(), y.into_value().into()];
        let (white, red) = (pair(stated.white), pair(stated.red));
        Chromaticities { white, red, green: pair(stated.green), blue: pair(stated.blue) }
    });
    Ok(Stated::Space(RgbSpace { chromaticities, curve }))
}

/// Whether the decoder has understood a chunk that is there.
fn is_read(info: &Info<'_>, name: &[u8; 4]) -> bool {
    match name {
        b"cICP" => info.coding_independent_code_points.is_some(),
        b"iCCP" => info.icc_profile.is_some(),
        b"sRGB" => info.srgb.is_some(),
        b"gAMA" => info.gama_chunk.is_some(),
        _ => info.chrm_chunk.is_some(),
    }
}

/// How errors name a chunk.
fn part(name: &[u8; 4]) -> &'static str {
    match name {
        b"cICP" => "cICP chunk",
        b"iCCP" => "ICC profile",
        b"sRGB" => "sRGB chunk",
        b"gAMA" => "gAMA chunk",
        _ => "cHRM chunk",
    }
}

/// Names and bodies of the chunks before the pixels.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut at = 8_usize;
    let chunks = std::iter::from_fn(move || {
        let head = bytes.get(at..at.checked_add(8)?)?;
        let length = u32::from_be_bytes(*head.first_chunk()?) as usize;
        let body = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        at = at.checked_add(12)?.checked_add(length)?;
        Some((&head[4..], body))
    });
    chunks.take_while(|(name, _)| name != b"IDAT")
}
