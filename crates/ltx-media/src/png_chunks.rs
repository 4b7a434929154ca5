//! What a PNG states of its colours: cICP before iCCP before sRGB before gAMA and cHRM, as the third edition orders them.
//!
//! Must not know how colours are converted.

use crate::{
    colour::{Chromaticities, CodePoints, ColourFault, Curve, RgbSpace, Stated},
    png_file::{Chunk, chunks},
    png_texts::raw_profile,
};
use png::Info;
use std::io::Cursor;

/// The chunks that say what colours are, the one that counts first.
const CHUNKS: [&[u8; 4]; 5] = [b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"];

/// The name that says PQ by itself, whatever the profile under it holds: what there was before cICP (W3C's note "Using the ITU
/// BT.2100 PQ EOTF with the PNG Format").
const PQ_PROFILE: &[u8] = b"ITUR_2100_PQ_FULL\0";

/// What a PNG states, and the part of the file that states it, which has no name where nothing does. A PNG that cannot be read
/// states nothing; its decoder will say why.
///
/// # Errors
/// The part, and what is wrong with it.
pub(crate) fn stated(bytes: &[u8]) -> Result<(&'static str, Stated), (&'static str, ColourFault)> {
    // The decoder gives up on the whole file where this one is not as it should be.
    if before_pixels(bytes).any(|chunk| chunk.name == b"cICP" && !matches!(chunk.body, [_, _, 0, 0 | 1])) {
        return Err((part(b"cICP"), ColourFault::Damaged));
    }
    for name in &CHUNKS {
        is_one(bytes, name).map_err(|fault| (part(name), fault))?;
    }
    let Ok(reader) = png::Decoder::new(Cursor::new(bytes)).read_info() else { return Ok(("", Stated::Nothing)) };
    let info = reader.info();
    // The decoder passes over a chunk that it cannot read, so what is there is looked for here.
    let is_there = |name: &&[u8; 4]| before_pixels(bytes).any(|chunk| chunk.name == *name);
    let there: Vec<_> = CHUNKS.into_iter().filter(is_there).collect();
    for name in &there {
        if !is_read(info, name) {
            return Err((part(name), ColourFault::Damaged));
        }
    }
    let of_profiles: [&[u8; 4]; 2] = [b"cICP", b"iCCP"];
    if !there.iter().any(|name| of_profiles.contains(name))
        && let Some(stated) = profile_in_text(bytes)?
    {
        return Ok(stated);
    }
    let Some(first) = there.first() else { return Ok(("", Stated::Nothing)) };
    let part = part(first);
    if **first == *b"iCCP"
        && before_pixels(bytes).any(|chunk| chunk.name == *first && chunk.body.starts_with(PQ_PROFILE))
    {
        return Err((part, ColourFault::HighDynamicRange { curve: "PQ" }));
    }
    space_or_profile(info, first).map(|stated| (part, stated)).map_err(|fault| (part, fault))
}

/// A profile among the texts, where ImageMagick has kept it.
fn profile_in_text(bytes: &[u8]) -> Result<Option<(&'static str, Stated)>, (&'static str, ColourFault)> {
    for (kind, part) in [("icc", "text \"Raw profile type icc\""), ("icm", "text \"Raw profile type icm\"")] {
        if let Some(profile) = raw_profile(bytes, kind).map_err(|()| (part, ColourFault::Damaged))? {
            return Ok(Some((part, Stated::Profile(profile))));
        }
    }
    Ok(None)
}

/// # Errors
/// `Misplaced` for a chunk behind the pixels, `Contradictory` for two that differ.
fn is_one(bytes: &[u8], name: &[u8; 4]) -> Result<(), ColourFault> {
    let mut found = before_pixels(bytes).filter_map(|chunk| (chunk.name == name).then_some(chunk.body));
    let first = found.next();
    if first.is_some() && found.any(|body| Some(body) != first) {
        return Err(ColourFault::Contradictory);
    }
    match chunks(bytes).skip_while(|chunk| chunk.name != b"IDAT").any(|chunk| chunk.name == name) {
        true => Err(ColourFault::Misplaced),
        false => Ok(()),
    }
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

/// The chunks before the pixels, where those that say what colours are belong.
fn before_pixels(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    chunks(bytes).take_while(|chunk| chunk.name != b"IDAT")
}
