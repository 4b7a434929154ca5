//! Metadata that lies in an image's file, whatever the file's format is, and which way up it says that the picture is.
//!
//! Must not know where in a file it lies.

use crate::{exif::Exif, xmp};
use image::metadata::Orientation;
use std::borrow::Cow;

/// Exif's tag of the orientation.
const ORIENTATION: u16 = 0x0112;

/// The metadata of an image.
#[derive(Debug, Default)]
pub(crate) struct Embedded<'a> {
    /// A TIFF block, perhaps with JPEG's prefix.
    pub(crate) exif: Option<Cow<'a, [u8]>>,
    /// An XMP packet.
    pub(crate) xmp: Option<Cow<'a, [u8]>>,
    /// Whether the file itself says, outside XMP, that it has a gain map.
    pub(crate) gain_map: bool,
    /// Whether it is an animation with more than the picture that is used.
    pub(crate) animation: bool,
    /// Whether it says that further pictures follow in the file, smaller copies and gain maps aside.
    pub(crate) several: bool,
    /// Pixels to the same length, across and down, outside Exif, and the part of the file that says it.
    pub(crate) density: Option<([u32; 2], &'static str)>,
}

impl Embedded<'_> {
    /// The Exif block; a broken one is none.
    pub(crate) fn exif(&self) -> Option<Exif<'_>> {
        Exif::read(self.exif.as_deref()?)
    }

    /// The value of a property in the XMP packet.
    pub(crate) fn xmp(&self, property: &str) -> Option<&str> {
        xmp::value(self.xmp.as_deref()?, property)
    }

    /// Which way up the picture is. As in Pillow, XMP counts where Exif says nothing of it, and what means no orientation means
    /// that the picture is as it is stored.
    pub(crate) fn orientation(&self) -> Orientation {
        let by_xmp = || self.xmp("tiff:Orientation")?.chars().next()?.to_digit(10).map(f64::from);
        let stated = match self.exif().and_then(|exif| exif.entry(exif.first(), ORIENTATION)) {
            Some(entry) => entry.number(),
            None => by_xmp(),
        };
        let whole = (1..=8_u8).find(|code| Some(f64::from(*code)) == stated);
        whole.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
    }
}
