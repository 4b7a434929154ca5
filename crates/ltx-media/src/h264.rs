//! FFmpeg as this crate uses it: started once, quiet, its libx264 found by name, its packets drained.
//!
//! Must not know what is encoded, nor where the packets go.

use crate::MediaError;
use ffmpeg_next::{self as ffmpeg, codec::Context, encoder, error::EAGAIN, log};
use std::sync::OnceLock;

/// The encoder of both the clip and the round trip.
const ENCODER: &str = "libx264";

/// A fresh libx264 encoder, not yet opened.
///
/// # Errors
/// `EncoderMissing` when this FFmpeg was built without it; `Codec` when FFmpeg does not start.
pub(crate) fn new_encoder() -> Result<encoder::video::Video, MediaError> {
    start()?;
    encoder_named(ENCODER)
}

fn encoder_named(name: &str) -> Result<encoder::video::Video, MediaError> {
    let codec = encoder::find_by_name(name).ok_or_else(|| MediaError::EncoderMissing { encoder: name.to_owned() })?;
    Context::new_with_codec(codec).encoder().video().map_err(MediaError::codec("setting up the encoder"))
}

/// Starts FFmpeg and silences its log; what matters comes back as an error.
pub(crate) fn start() -> Result<(), MediaError> {
    static STARTED: OnceLock<Result<(), ffmpeg::Error>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        ffmpeg::init()?;
        log::set_level(log::Level::Fatal);
        Ok(())
    });
    started.map_err(MediaError::codec("starting"))
}

/// The next packet, or `None` when the encoder wants another frame or has been drained.
pub(crate) fn next_packet(encoder: &mut encoder::video::Encoder) -> Result<Option<ffmpeg::Packet>, MediaError> {
    let mut packet = ffmpeg::Packet::empty();
    match encoder.receive_packet(&mut packet) {
        Ok(()) => Ok(Some(packet)),
        Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: EAGAIN }) => Ok(None),
        Err(source) => Err(MediaError::Codec { step: "encoding", source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_encoder_is_named() {
        assert!(start().is_ok());
        let error = encoder_named("libx264_of_another_build").err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("libx264_of_another_build")));
        assert!(new_encoder().is_ok());
    }
}
