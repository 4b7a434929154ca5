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
        }
    }
}

impl ImageNote {
    /// What is to be said of an image; `says_colours` is whether its file states its colours where that counts.
    pub(crate) fn of(embedded: &Embedded<'_>, says_colours: bool) -> Vec<Self> {
        let colours = if says_colours { None } else { stated_colours(embedded) };
        let colours = colours.map(|stated| Self::ColoursNotConverted { stated });
        let gain_map = embedded.gain_map || embedded.xmp("hdrgm:Version").is_some();
        colours.into_iter().chain(gain_map.then_some(Self::GainMap)).collect()
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
