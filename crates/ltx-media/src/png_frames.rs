//! Frames as numbered PNG files in a folder, and single pictures. Every file carries the mark.
//!
//! Must not know codecs.

use crate::{FrameWriter, MediaError, Seal, metadata, partial::Partial, writer};
use ltx_files::PartialFolder;
use ltx_policy::UsageMark;
use ltx_types::PixelShape;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

/// Encodes one picture as PNG (8-bit RGB, sRGB chunk) with the mark as iTXt chunks, one per entry.
///
/// # Shapes
/// `rgb` is `[height, width, 3]`, 8-bit sRGB.
///
/// # Errors
/// `FrameShape`, `FrameLength`, `PngEncoding`.
pub fn encode_png(rgb: &[u8], shape: PixelShape, mark: &UsageMark) -> Result<Vec<u8>, MediaError> {
    writer::check_shape(shape)?;
    writer::check_length(rgb, shape)?;
    encode(rgb, shape, &metadata::entries(mark)).map_err(MediaError::PngEncoding)
}

pub(crate) fn encode(
    rgb: &[u8],
    shape: PixelShape,
    entries: &[(String, String)],
) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, shape.width as u32, shape.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    for (key, value) in entries {
        encoder.add_itxt_chunk(key.clone(), value.clone())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// Writes `frame_00000.png`, `frame_00001.png`, … into a folder that appears when the clip is finished. A frame is written,
/// and marked, when it arrives: its mark cannot tell the digest of all frames.
pub struct PngFolderWriter {
    partial: Partial<PartialFolder>,
    shape: PixelShape,
    mark: UsageMark,
    entries: Vec<(String, String)>,
    seal: Option<Arc<dyn Seal>>,
    frames: usize,
    failed: bool,
}

impl PngFolderWriter {
    /// Starts a folder of frames of `shape`. An empty folder at `folder` is replaced.
    ///
    /// # Errors
    /// `FrameShape`; `NoFolder` when the folder it goes into does not exist; `NotAFolder`, `FolderNotEmpty`, `Create`.
    pub fn create(folder: &Path, shape: PixelShape, mark: &UsageMark) -> Result<Self, MediaError> {
        writer::check_shape(shape)?;
        let partial = Partial::folder(folder)?;
        Ok(Self {
            partial,
            shape,
            mark: mark.clone(),
            entries: metadata::entries(mark),
            seal: None,
            frames: 0,
            failed: false,
        })
    }

    /// The same frames, each sealed when it is written.
    #[must_use]
    pub fn sealed_by(self, seal: Option<Arc<dyn Seal>>) -> Self {
        Self { seal, ..self }
    }

    fn encode(&self, rgb: &[u8]) -> Result<Vec<u8>, MediaError> {
        let png = encode(rgb, self.shape, &self.entries).map_err(MediaError::PngEncoding)?;
        let Some(seal) = &self.seal else { return Ok(png) };
        let failed = |source| MediaError::Seal { path: self.partial.target().to_owned(), source };
        seal.png(png, rgb, &self.mark).map_err(failed)
    }

    fn save(&self, png: &[u8]) -> io::Result<()> {
        let mut file = File::create_new(self.partial.path().join(format!("frame_{:05}.png", self.frames)))?;
        file.write_all(png)?;
        file.sync_all()
    }
}

impl FrameWriter for PngFolderWriter {
    fn write(&mut self, rgb: &[u8]) -> Result<(), MediaError> {
        writer::check_length(rgb, self.shape)?;
        let saved = self.encode(rgb).and_then(|png| self.save(&png).map_err(|source| self.partial.write_error(source)));
        self.failed |= saved.is_err();
        self.frames += 1;
        saved
    }

    fn finish(self: Box<Self>, _: &UsageMark) -> Result<(), MediaError> {
        writer::check_complete(self.frames, self.failed, self.partial.target())?;
        self.partial.commit()
    }
}

impl std::fmt::Debug for PngFolderWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("PngFolderWriter");
        fields
            .field("partial", &self.partial)
            .field("shape", &self.shape)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}
