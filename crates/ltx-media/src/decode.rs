//! The pictures that a decoder gets of an MP4's video, one after the other.
//!
//! Must not know what is done with them. Files may come from anybody: no other demuxer, decoder or protocol is tried.

use crate::{MAX_PIXELS, MediaError, h264};
use ffmpeg_next::{Dictionary, codec, decoder, error::EAGAIN, format, frame::Video, media};
use std::{io, path::Path};

/// Decodes the first video track of an MP4 and hands on every picture, in the order in which it is shown, plane by plane and line by line,
/// without what pads lines. H.264 decodes to the same bytes everywhere. Returns how many pictures there were.
///
/// # Errors
/// `Unreadable`, also where the file is no MP4; `Codec` when its video is none that this FFmpeg decodes, has pictures of more than
/// [`MAX_PIXELS`], or is damaged.
pub fn decode_pictures(file: &Path, line: impl FnMut(&[u8])) -> Result<usize, MediaError> {
    decode(file, MAX_PIXELS, line)
}

fn decode(file: &Path, max_pixels: u64, mut line: impl FnMut(&[u8])) -> Result<usize, MediaError> {
    let mut input = open(file)?;
    let unreadable = |source| MediaError::Unreadable { path: file.to_owned(), source };
    let stream =
        input.streams().best(media::Type::Video).ok_or_else(|| unreadable(io::Error::other("it has no video")))?;
    let (index, parameters) = (stream.index(), stream.parameters());
    let failed = MediaError::codec("opening the decoder");
    let codec = decoder::find(parameters.id()).ok_or(ffmpeg_next::Error::DecoderNotFound);
    // Every picture is held to it, whatever the file's header says.
    let bounded = Dictionary::from_iter([("max_pixels", max_pixels.to_string().as_str())]);
    let decoder = codec
        .and_then(|codec| codec::Context::from_parameters(parameters)?.decoder().open_as_with(codec, bounded)?.video());
    let mut decoder = decoder.map_err(failed)?;
    let mut pictures = 0;
    for (stream, packet) in input.packets() {
        if stream.index() == index {
            decoder.send_packet(&packet).map_err(MediaError::codec("decoding"))?;
            pictures += drain(&mut decoder, &mut line)?;
        }
    }
    decoder.send_eof().map_err(MediaError::codec("decoding"))?;
    Ok(pictures + drain(&mut decoder, &mut line)?)
}

/// What an MP4's metadata says, as keys and values; without entries that are no UTF-8.
///
/// # Errors
/// `Unreadable`, also where the file is no MP4.
pub fn mp4_metadata(file: &Path) -> Result<Vec<(String, String)>, MediaError> {
    let input = open(file)?;
    // The binding takes any bytes for UTF-8, and a file may hold any.
    let text = |bytes: &str| String::from_utf8(bytes.as_bytes().to_vec()).ok();
    Ok(input.metadata().iter().filter_map(|(key, value)| Some((text(key)?, text(value)?))).collect())
}

/// Opens an MP4, and nothing else.
fn open(file: &Path) -> Result<format::context::Input, MediaError> {
    h264::start()?;
    let unreadable = |source| MediaError::Unreadable { path: file.to_owned(), source };
    let name = file.to_str().ok_or_else(|| unreadable(io::ErrorKind::InvalidFilename.into()))?;
    let only = Dictionary::from_iter([
        ("format_whitelist", "mov"),
        ("protocol_whitelist", "file"),
        ("codec_whitelist", "h264,hevc,mpeg4,av1,libdav1d,vp9"),
    ]);
    format::input_with_dictionary(&format!("file:{name}"), only).map_err(|error| unreadable(io::Error::other(error)))
}

fn drain(decoder: &mut decoder::Video, line: &mut impl FnMut(&[u8])) -> Result<usize, MediaError> {
    let mut pictures = 0;
    let mut picture = Video::empty();
    loop {
        match decoder.receive_frame(&mut picture) {
            Ok(()) => {}
            Err(ffmpeg_next::Error::Eof | ffmpeg_next::Error::Other { errno: EAGAIN }) => return Ok(pictures),
            Err(source) => return Err(MediaError::Codec { step: "decoding", source }),
        }
        pictures += 1;
        // Of what is not 4:2:0 in 8 bits, lines are taken as they lie: it is no output of ours, and only has to differ.
        for plane in 0..picture.planes() {
            let (width, height) = (picture.plane_width(plane) as usize, picture.plane_height(plane) as usize);
            let stride = picture.stride(plane);
            let data = picture.data(plane);
            data.chunks(stride.max(1)).take(height).for_each(|row| line(&row[..width.min(row.len())]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_picture_of_too_many_pixels_is_not_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clip.mp4");
        let picture = "color=size=64x48:duration=0.1";
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p"]).arg(&file);
        assert!(ffmpeg.status().expect("ffmpeg is installed").success());
        let mut bytes = 0;
        let pictures = decode(&file, 64 * 48, |line| bytes += line.len()).unwrap();
        assert_eq!(bytes, pictures * 64 * 48 * 3 / 2);
        let refused = decode(&file, 64 * 48 - 1, |_| panic!("a line")).unwrap_err();
        assert!(matches!(refused, MediaError::Codec { .. }), "{refused}");
    }
}
