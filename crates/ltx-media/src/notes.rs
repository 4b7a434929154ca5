//! What an image's file states and its pixels do not show, and nobody is wrong about: said, not refused.
//!
//! Must not know how colours are converted.

use crate::embedded::Embedded;
use std::fmt;

/// Exif's tags: the directory of the picture, of interoperability; the colour space there, the rule here.
const PICTURE: u16 = 0x8769;
const INTEROPERABILITY: u16 = 0xA005;
const COLOUR_SPACE: u16 = 0xA001;
const RULE: u16 = 0x0001;
/// Exif's tags of pixels to a length, across and down.
const ACROSS: u16 = 0x011A;
const DOWN: u16 = 0x011B;
/// How far the two may be apart and still mean square pixels: writers round.
const SAME_DENSITY: f64 = 1.01;

/// Something that is said of an image. Reads on after the image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageNote {
    /// The only word on its colours is in Exif or XMP, where the reference does not look either: they are taken as sRGB.
    ColoursNotConverted {
        /// The space that is stated.
        stated: String,
    },
    /// It has a gain map beside its base picture, which is the one that is used.
    GainMap,
    /// It is an animation, of which the first picture is used.
    Animation,
    /// It says that there are several pictures in the file, of which the first is used.
    SeveralPictures,
    /// Some of its pixels are not opaque, and are taken as if they were.
    Transparency,
    /// It says that its pixels are not square; they are taken as square.
    PixelsNotSquare {
        /// How dense they are, and which part of the file says it.
        stated: String,
    },
}

impl fmt::Display for ImageNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ColoursNotConverted { stated } => write!(
                f,
                "states {stated} and has no ICC profile; its colours are taken as sRGB, as the reference takes them: embed the profile, or \
                 convert the picture to sRGB"
            ),
            Self::GainMap => write!(f, "has a gain map for high dynamic range; its base picture is used"),
            Self::Animation => write!(f, "is an animation; its first picture is used"),
            Self::SeveralPictures => write!(f, "has several pictures in one file (MPF); the first is used"),
            Self::Transparency => write!(
                f,
                "has transparent pixels; transparency is dropped, and the colours stored under it are used: put the picture on a \
                 background if they should not show"
            ),
            Self::PixelsNotSquare { stated } => write!(
                f,
                "states pixels that are not square ({stated}); they are taken as square: resample the picture if it looks stretched"
            ),
        }
    }
}

impl ImageNote {
    /// What is to be said of an image by its metadata; `says_colours` is whether its file states its colours where that counts.
    pub(crate) fn of(embedded: &Embedded<'_>, says_colours: bool) -> Vec<Self> {
        let colours = if says_colours { None } else { stated_colours(embedded) };
        let colours = colours.map(|stated| Self::ColoursNotConverted { stated });
        let gain_map = embedded.gain_map || embedded.xmp("hdrgm:Version").is_some();
        let others = [
            gain_map.then_some(Self::GainMap),
            embedded.animation.then_some(Self::Animation),
            (embedded.several && !gain_map).then_some(Self::SeveralPictures),
            not_square(embedded).map(|stated| Self::PixelsNotSquare { stated }),
        ];
        colours.into_iter().chain(others.into_iter().flatten()).collect()
    }
}

/// How dense pixels are that are not square, and which part of the file says it.
fn not_square(embedded: &Embedded<'_>) -> Option<String> {
    let own = embedded.density.map(|(density, part)| (density.map(f64::from), part));
    let by_exif = || {
        let exif = embedded.exif()?;
        let number = |tag| exif.entry(exif.first(), tag)?.number();
        Some(([number(ACROSS)?, number(DOWN)?], "Exif"))
    };
    let differ = |[across, down]: [f64; 2]| {
        let says_something = [across, down].iter().all(|density| density.is_finite() && *density > 0.0);
        says_something && across.max(down) / across.min(down) > SAME_DENSITY
    };
    let ([across, down], part) = own.into_iter().chain(by_exif()).find(|(density, _)| differ(*density))?;
    Some(format!("{} across and {} down to the same length, in {part}", short(across), short(down)))
}

/// A number with three decimals at most, however large or small it is.
fn short(number: f64) -> String {
    match (0.001..1e10).contains(&number) {
        true => ((number * 1000.0).round() / 1000.0).to_string(),
        false => format!("{number:.3e}"),
    }
}

/// The colour space that Exif or XMP state, unless it is sRGB.
fn stated_colours(embedded: &Embedded<'_>) -> Option<String> {
    by_exif(embedded).or_else(|| {
        let profile = embedded.xmp("photoshop:ICCProfile")?;
        (!profile.to_lowercase().contains("srgb")).then(|| format!("the profile {profile:?} in XMP"))
    })
}

fn by_exif(embedded: &Embedded<'_>) -> Option<String> {
    let exif = embedded.exif()?;
    let number = |directory, tag| exif.entry(directory, tag).and_then(|entry| entry.number());
    let picture = number(exif.first(), PICTURE)? as usize;
    let space = number(picture, COLOUR_SPACE)?;
    let rule = number(picture, INTEROPERABILITY).and_then(|at| exif.entry(at as usize, RULE));
    let rule = rule.map(|entry| entry.text());
    // 2 is not Exif's; cameras write it.
    if space == 2.0 || space == 65_535.0 && rule == Some(b"R03") {
        return Some("Adobe RGB in Exif".into());
    }
    (space == 65_535.0).then(|| "colours other than sRGB in Exif (uncalibrated)".into())
}
