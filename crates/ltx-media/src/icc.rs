//! An embedded ICC profile, converted to sRGB.
//!
//! Must not know file formats: pixels and the profile's bytes come in.

use image::{DynamicImage, RgbImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, RenderingIntent, TransformOptions};

/// 8-bit grey or RGB pixels in the colours of `profile` become sRGB (perceptual intent, PIL's default).
///
/// Without a profile, or with one that is broken or does not fit the picture (CMYK, a grey profile on RGB), the
/// pixels stay as they are; the reference logs a warning there and goes on, too.
pub(crate) fn to_srgb(pixels: DynamicImage, profile: Option<&[u8]>) -> RgbImage {
    profile.and_then(|profile| converted(&pixels, profile)).unwrap_or_else(|| pixels.into_rgb8())
}

fn converted(pixels: &DynamicImage, profile: &[u8]) -> Option<RgbImage> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    let (layout, space) = match pixels {
        DynamicImage::ImageLuma8(_) => (Layout::Gray, DataColorSpace::Gray),
        DynamicImage::ImageRgb8(_) => (Layout::Rgb, DataColorSpace::Rgb),
        _ => return None,
    };
    if profile.color_space != space {
        return None;
    }
    let options = TransformOptions {
        rendering_intent: RenderingIntent::Perceptual,
        prefer_fixed_point: false,
        ..TransformOptions::default()
    };
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_8bit(layout, &srgb, Layout::Rgb, options).ok()?;
    let mut converted = RgbImage::new(pixels.width(), pixels.height());
    transform.transform(pixels.as_bytes(), &mut converted).ok()?;
    Some(converted)
}
