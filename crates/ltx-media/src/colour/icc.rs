//! An embedded ICC profile, converted to sRGB.
//!
//! Must not know file formats: samples and the profile's bytes come in. The intent is perceptual, as PIL's default is.
//!
//! Two libraries share the work. Profiles that are a matrix and curves, or one curve of grey, have one right answer, which
//! moxcms computes; it is safe Rust. Tables (CMYK, scanners, v4's perceptual sRGB) need black point compensation to come out
//! as viewers show them, which littleCMS alone has: without it the blacks of print are five levels off.

use super::{CodePoints, ColourFault, Samples, icc_sizes::check_sizes, icc_tags::tags};
use image::{DynamicImage, RgbImage};
use lcms2::{Intent, PixelFormat, Profile, ThreadContext, Transform};
use moxcms::{ColorProfile, DataColorSpace, Layout, RenderingIntent, TransformOptions};

/// A profile's header, in bytes.
pub(super) const HEADER: usize = 128;

/// Samples in the colours of `profile` become sRGB.
///
/// # Errors
/// The profile is damaged, is for other pixels than these, describes no device or colour space, or states high dynamic range.
pub(crate) fn to_srgb(samples: &Samples, profile: &[u8]) -> Result<RgbImage, ColourFault> {
    check_header(samples, profile)?;
    check_sizes(profile)?;
    check_code_points(profile)?;
    if let Samples::Light(pixels) = samples
        && let Some(converted) = by_curves(pixels, profile)
    {
        return Ok(converted);
    }
    by_tables(samples, profile)
}

/// What the header says the profile is for.
fn check_header(samples: &Samples, profile: &[u8]) -> Result<(), ColourFault> {
    let field = |at: usize| profile.get(at..at + 4).unwrap_or_default();
    if profile.len() < HEADER || field(36) != b"acsp" {
        return Err(ColourFault::Damaged);
    }
    let spelt = |field: &[u8]| field.escape_ascii().to_string().trim_end().to_owned();
    if !matches!(field(12), b"scnr" | b"mntr" | b"prtr" | b"spac") {
        return Err(ColourFault::OtherClass { class: spelt(field(12)) });
    }
    let fitting: &[u8] = match samples.kind() {
        "grey" => b"GRAY",
        "RGB" => b"RGB ",
        _ => b"CMYK",
    };
    match field(16) {
        space if space == fitting => Ok(()),
        b"GRAY" => Err(ColourFault::OtherPixels { profile: "grey".into(), picture: samples.kind() }),
        space => Err(ColourFault::OtherPixels { profile: spelt(space), picture: samples.kind() }),
    }
}

/// What the profile states in code points (ICC.1:2022, `cicpType`) beside its curves. A curve of high dynamic range is refused: a
/// profile's own curves are then a guess at it. Of others the profile's own count, as for littleCMS.
fn check_code_points(profile: &[u8]) -> Result<(), ColourFault> {
    for tag in tags(profile).filter(|tag| tag.name == b"cicp") {
        let [b'c', b'i', b'c', b'p', _, _, _, _, _, transfer, _, _, ..] = *tag.bytes else {
            return Err(ColourFault::Damaged);
        };
        if let Some(curve) = CodePoints::high_dynamic_range(transfer) {
            return Err(ColourFault::HighDynamicRange { curve });
        }
    }
    Ok(())
}

/// Through a matrix and curves; `None` for a profile that is more, or that moxcms cannot read.
fn by_curves(pixels: &DynamicImage, profile: &[u8]) -> Option<RgbImage> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    if profile.pcs != DataColorSpace::Xyz || has_tables(&profile) {
        return None;
    }
    let (layout, whole) = match pixels {
        DynamicImage::ImageLuma8(_) => (Layout::Gray, profile.gray_trc.is_some()),
        _ => (Layout::Rgb, profile.is_matrix_shaper()),
    };
    if !whole {
        return None;
    }
    let options = TransformOptions {
        rendering_intent: RenderingIntent::Perceptual,
        prefer_fixed_point: false,
        allow_use_cicp_transfer: false,
        ..TransformOptions::default()
    };
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_8bit(layout, &srgb, Layout::Rgb, options).ok()?;
    let mut converted = RgbImage::new(pixels.width(), pixels.height());
    transform.transform(pixels.as_bytes(), &mut converted).ok()?;
    Some(converted)
}

fn has_tables(profile: &ColorProfile) -> bool {
    let tables = [&profile.lut_a_to_b_perceptual, &profile.lut_a_to_b_colorimetric, &profile.lut_a_to_b_saturation];
    tables.into_iter().any(Option::is_some)
}

/// Through whatever the profile holds, as littleCMS reads it.
fn by_tables(samples: &Samples, profile: &[u8]) -> Result<RgbImage, ColourFault> {
    let context = ThreadContext::new();
    let profile = Profile::new_icc_context(&context, profile).map_err(|_| ColourFault::Damaged)?;
    from_profile(&context, &profile, samples)
}

/// Samples in the colours of an opened profile become sRGB.
///
/// # Errors
/// `Damaged` where the profile lacks what it takes.
pub(super) fn from_profile(
    context: &ThreadContext,
    profile: &Profile<ThreadContext>,
    samples: &Samples,
) -> Result<RgbImage, ColourFault> {
    let (format, pixels, (width, height)) = match samples {
        Samples::Light(pixels @ DynamicImage::ImageLuma8(_)) => (PixelFormat::GRAY_8, pixels.as_bytes(), size(pixels)),
        Samples::Light(pixels) => (PixelFormat::RGB_8, pixels.as_bytes(), size(pixels)),
        Samples::Inks(inks) => (PixelFormat::CMYK_8, inks.as_raw().as_slice(), inks.dimensions()),
    };
    let srgb = Profile::new_srgb_context(context);
    let transform: Transform<u8, u8, _> =
        Transform::new_context(context, profile, format, &srgb, PixelFormat::RGB_8, Intent::Perceptual)
            .map_err(|_| ColourFault::Damaged)?;
    let mut converted = RgbImage::new(width, height);
    transform.transform_pixels(pixels, &mut converted);
    Ok(converted)
}

fn size(pixels: &DynamicImage) -> (u32, u32) {
    (pixels.width(), pixels.height())
}
