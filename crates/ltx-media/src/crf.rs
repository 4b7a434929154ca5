//! The H.264 round trip that conditioning images take, so that they look like the video the models were trained on.
//!
//! Must not know what comes next. Follows the reference's `preprocess` (Lightricks/LTX-2,
//! `ltx_pipelines/utils/media_io/decode.py`); the MP4 it wraps the one frame in changes no pixel and is left out.
//! The result is not an output: it is never written and carries no mark.

use crate::{MediaError, h264};
use ffmpeg_next::{
    Dictionary,
    codec::{
        self,
        threading::{Config, Type},
    },
    format::Pixel,
    frame::Video,
    software::scaling::{self, Flags},
};
use image::RgbImage;

/// Slices of the frame. PyAV asks for slice threads, so the reference has one slice per core of its machine (at most one
/// per 64 rows); here the number is fixed, so that an image gives the same pixels everywhere.
const SLICES: usize = 2;

/// Encodes `image` as one H.264 frame (libx264, preset veryfast, yuv420p, 1 fps) at the constant rate factor `crf` and
/// decodes it again. Colours go through swscale's defaults, bilinear, BT.601 limited, both ways.
///
/// Odd sides lose their last column or row. `crf` 0 and images with a side under 2 come back as they are.
///
/// # Errors
/// `EncoderMissing` without libx264; `Codec` when FFmpeg fails.
pub fn crf_round_trip(image: &RgbImage, crf: u8) -> Result<RgbImage, MediaError> {
    let (width, height) = (image.width() / 2 * 2, image.height() / 2 * 2);
    if crf == 0 || width == 0 || height == 0 {
        return Ok(image.clone());
    }
    let mut rgb = Video::new(Pixel::RGB24, width, height);
    let stride = rgb.stride(0);
    let row_bytes = width as usize * 3;
    let lines = image.as_raw().chunks_exact(image.width() as usize * 3);
    for (row, line) in rgb.data_mut(0).chunks_mut(stride).zip(lines) {
        row[..row_bytes].copy_from_slice(&line[..row_bytes]);
    }

    let decoded = through_h264(&convert(&rgb, Pixel::YUV420P)?, crf)?;

    let rgb = convert(&decoded, Pixel::RGB24)?;
    let mut samples = Vec::with_capacity(row_bytes * height as usize);
    for row in rgb.data(0).chunks(rgb.stride(0)) {
        samples.extend_from_slice(&row[..row_bytes]);
    }
    RgbImage::from_raw(width, height, samples)
        .ok_or(MediaError::Codec { step: "decoding", source: ffmpeg_next::Error::OutputChanged })
}

fn convert(frame: &Video, format: Pixel) -> Result<Video, MediaError> {
    let (width, height) = (frame.width(), frame.height());
    let mut converted = Video::empty();
    scaling::Context::get(frame.format(), width, height, format, width, height, Flags::BILINEAR)
        .and_then(|mut context| context.run(frame, &mut converted))
        .map_err(MediaError::codec("converting colours"))?;
    Ok(converted)
}

/// One yuv420p frame through encoder and decoder.
fn through_h264(frame: &Video, crf: u8) -> Result<Video, MediaError> {
    let mut encoder = h264::new_encoder()?;
    encoder.set_width(frame.width());
    encoder.set_height(frame.height());
    encoder.set_format(Pixel::YUV420P);
    encoder.set_time_base((1, 1));
    encoder.set_frame_rate(Some((1, 1)));
    encoder.set_threading(Config { count: SLICES, ..Config::kind(Type::Slice) });
    let crf = crf.to_string();
    let options = Dictionary::from_iter([("crf", crf.as_str()), ("preset", "veryfast")]);
    let mut encoder = encoder.open_with(options).map_err(MediaError::codec("opening libx264"))?;
    let decoder = codec::Context::from_parameters(&encoder).map(codec::Context::decoder);
    let mut decoder = decoder.and_then(|decoder| decoder.video()).map_err(MediaError::codec("opening the decoder"))?;

    let sent = encoder.send_frame(frame).and_then(|()| encoder.send_eof());
    sent.map_err(MediaError::codec("encoding"))?;
    while let Some(packet) = h264::next_packet(&mut encoder)? {
        decoder.send_packet(&packet).map_err(MediaError::codec("decoding"))?;
    }
    let mut decoded = Video::empty();
    let received = decoder.send_eof().and_then(|()| decoder.receive_frame(&mut decoded));
    received.map_err(MediaError::codec("decoding"))?;
    Ok(decoded)
}
