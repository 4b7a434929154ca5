//! Frames as an MP4: H.264, BT.709, no audio, the mark as container metadata.
//!
//! Must not know where frames come from. The same frames give the same bytes: a fixed number of threads, no clock and
//! no library version in the file (x264's own settings line excepted).

use crate::{
    FrameWriter, MediaError, Seal, bt709, h264, metadata,
    partial::Partial,
    writer::{check_complete, check_length, check_shape},
};
use ffmpeg_next::{
    self as ffmpeg, Dictionary, Rational,
    codec::Flags,
    color,
    encoder::video::Encoder,
    format::{
        self, Pixel,
        context::{Output, StreamIo},
    },
    frame::Video,
};
use ltx_files::PartialFile;
use ltx_policy::UsageMark;
use ltx_types::{FrameRate, PixelShape};
use parking_lot::Mutex;
use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

/// libx264 options. Threads change the bytes, so their number is fixed and not the machine's.
const OPTIONS: [(&str, &str); 3] = [("preset", "medium"), ("crf", "18"), ("threads", "4")];

/// Frames that x264 holds at once: 40 that preset medium looks ahead at, one on each of four threads, one that comes in.
const FRAMES_HELD: usize = 45;
/// Pixels around a frame on every side, which x264 keeps with it.
const BORDER: usize = 32;
/// Bytes of a pixel, border included, of every frame that is held: its planes, the same at half its size, what its blocks cost.
const HELD_BYTES: f64 = 4.6;
/// Bytes of a pixel, border included, whatever the length: frames that others are predicted from, and the threads' own.
const OTHER_BYTES: f64 = 36.0;
/// Bytes of an encoder of the smallest frames.
const LEAST_BYTES: u64 = 2 << 20;

/// Writes one clip as an MP4 that can be played while it downloads (index first).
pub struct Mp4Writer {
    encoder: Encoder,
    output: Output,
    failure: Failure,
    partial: Partial<PartialFile>,
    seal: Option<Arc<dyn Seal>>,
    shape: PixelShape,
    rate: FrameRate,
    frames: usize,
    failed: bool,
}

impl Mp4Writer {
    /// Starts an MP4 of frames of `shape` at exactly `rate`. A file at `path` is replaced when the clip is finished.
    ///
    /// # Errors
    /// `FrameShape` (both sides must be even); `NoFolder` when the folder it goes into does not exist; `IsFolder`;
    /// `Create`, also for a path that is not UTF-8; `EncoderMissing` without libx264; `Codec`; `Write`.
    pub fn create(path: &Path, shape: PixelShape, rate: FrameRate) -> Result<Self, MediaError> {
        check_shape(shape)?;
        if !shape.width.is_multiple_of(2) || !shape.height.is_multiple_of(2) {
            return Err(MediaError::FrameShape { shape, rule: "have an odd side; H.264 takes even ones" });
        }
        let encoder = open_encoder(shape, rate)?;
        let (partial, file) = Partial::file(path)?;
        let failure = Failure::default();
        let create = |source| MediaError::Create { path: path.to_owned(), source };
        // The muxer reopens the file by name to move the index to the front.
        let url = partial.path().to_str().ok_or_else(|| create(io::ErrorKind::InvalidFilename.into()))?;
        let sink = Sink { file, failure: failure.clone() };
        let stream = StreamIo::from_write_seek(sink).map_err(MediaError::codec("opening the output"))?;
        let mut output = format::output_to_stream(stream, Some(&format!("file:{url}")), Some("mp4"))
            .map_err(MediaError::codec("opening the muxer"))?;
        {
            let mut stream = output.add_stream_with(&encoder).map_err(MediaError::codec("adding the stream"))?;
            stream.set_time_base(time_base(rate));
            stream.set_avg_frame_rate(fraction(rate));
        }
        let writer = Self { encoder, output, failure, partial, seal: None, shape, rate, frames: 0, failed: false };
        writer.with_header()
    }

    /// The same clip, sealed before it has its name.
    #[must_use]
    pub fn sealed_by(self, seal: Option<Arc<dyn Seal>>) -> Self {
        Self { seal, ..self }
    }

    /// Bytes of memory that writing a clip takes at its peak, nearly all of them x264's. Measured for every summand
    /// (`tests/encoder_memory.rs`); content and quality change little.
    pub fn memory_bytes(shape: PixelShape, frames: usize) -> u64 {
        let pixels = ((shape.width + 2 * BORDER) * (shape.height + 2 * BORDER)) as f64;
        LEAST_BYTES + (pixels * (OTHER_BYTES + HELD_BYTES * frames.min(FRAMES_HELD) as f64)) as u64
    }

    fn with_header(mut self) -> Result<Self, MediaError> {
        // Ticks that divide a frame exactly, for the track and for the movie's own duration.
        let doublings = (0..).find(|n| self.rate.numerator() << n >= 10_000).unwrap_or(0);
        let ticks = (self.rate.numerator() << doublings).to_string();
        let options = Dictionary::from_iter([
            ("movflags", "+faststart+use_metadata_tags"),
            ("fflags", "+bitexact"),
            ("video_track_timescale", ticks.as_str()),
            ("movie_timescale", ticks.as_str()),
        ]);
        let unknown = self.output.write_header_with(options).map(|unknown| unknown.iter().count());
        match unknown {
            Ok(0) => Ok(self),
            Ok(_) => Err(MediaError::Codec { step: "setting the muxer up", source: ffmpeg::Error::OptionNotFound }),
            Err(error) => Err(self.write_error(error)),
        }
    }

    fn encode(&mut self, rgb: &[u8]) -> Result<(), MediaError> {
        let mut frame = Video::new(Pixel::YUV420P, self.shape.width as u32, self.shape.height as u32);
        let strides = [frame.stride(0), frame.stride(1), frame.stride(2)];
        bt709::luma_plane(rgb, self.shape, frame.data_mut(0), strides[0]);
        bt709::chroma_plane(rgb, self.shape, bt709::Chroma::Blue, frame.data_mut(1), strides[1]);
        bt709::chroma_plane(rgb, self.shape, bt709::Chroma::Red, frame.data_mut(2), strides[2]);
        frame.set_color_space(color::Space::BT709);
        frame.set_color_range(color::Range::MPEG);
        frame.set_pts(Some(self.frames as i64));
        self.encoder.send_frame(&frame).map_err(MediaError::codec("encoding"))?;
        self.mux()
    }

    /// Hands every packet the encoder has ready to the muxer.
    fn mux(&mut self) -> Result<(), MediaError> {
        let track = self.output.stream(0).map_or(time_base(self.rate), |stream| stream.time_base());
        while let Some(mut packet) = h264::next_packet(&mut self.encoder)? {
            packet.set_stream(0);
            packet.set_duration(1);
            packet.rescale_ts(time_base(self.rate), track);
            packet.write_interleaved(&mut self.output).map_err(|error| self.write_error(error))?;
        }
        // The muxer buffers; a write that failed meanwhile surfaces here and not at the end.
        match self.failure.take() {
            None => Ok(()),
            Some(source) => Err(self.partial.write_error(source)),
        }
    }

    /// The system's own error if the file had one, else what FFmpeg made of it.
    fn write_error(&self, error: ffmpeg::Error) -> MediaError {
        let source = self.failure.take().unwrap_or_else(|| match error {
            ffmpeg::Error::Other { errno } => io::Error::from_raw_os_error(errno),
            other => io::Error::other(other),
        });
        self.partial.write_error(source)
    }

    /// Everything but the name and the disk. The mark goes into the index, which is written last.
    fn complete(&mut self, mark: &UsageMark) -> Result<(), MediaError> {
        check_complete(self.frames, self.failed, self.partial.target())?;
        self.encoder.send_eof().map_err(MediaError::codec("encoding"))?;
        self.mux()?;
        let of_seal = self.seal.as_ref().map(|seal| seal.entries()).unwrap_or_default();
        self.output.set_metadata(metadata::entries_with(mark, &of_seal).into_iter().collect());
        self.output.write_trailer().map_err(|error| self.write_error(error))?;
        match self.failure.take() {
            None => Ok(()),
            Some(source) => Err(self.partial.write_error(source)),
        }
    }
}

impl FrameWriter for Mp4Writer {
    fn write(&mut self, rgb: &[u8]) -> Result<(), MediaError> {
        check_length(rgb, self.shape)?;
        let written = self.encode(rgb);
        self.failed |= written.is_err();
        self.frames += 1;
        written
    }

    fn finish(mut self: Box<Self>, mark: &UsageMark) -> Result<(), MediaError> {
        self.complete(mark)?;
        let Self { encoder, output, partial, seal, .. } = *self;
        drop((encoder, output));
        if let Some(seal) = seal {
            let failed = |source| MediaError::Seal { path: partial.target().to_owned(), source };
            seal.mp4(partial.path(), mark).map_err(failed)?;
        }
        partial.commit()
    }
}

impl std::fmt::Debug for Mp4Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Mp4Writer");
        fields.field("partial", &self.partial).field("shape", &self.shape).field("rate", &self.rate);
        fields.field("frames", &self.frames).finish_non_exhaustive()
    }
}

fn open_encoder(shape: PixelShape, rate: FrameRate) -> Result<Encoder, MediaError> {
    let mut encoder = h264::new_encoder()?;
    encoder.set_width(shape.width as u32);
    encoder.set_height(shape.height as u32);
    encoder.set_format(Pixel::YUV420P);
    encoder.set_aspect_ratio((1, 1));
    encoder.set_time_base(time_base(rate));
    encoder.set_frame_rate(Some(fraction(rate)));
    encoder.set_colorspace(color::Space::BT709);
    encoder.set_color_range(color::Range::MPEG);
    encoder.set_color_primaries(color::Primaries::BT709);
    encoder.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
    encoder.set_flags(Flags::GLOBAL_HEADER | Flags::BITEXACT);
    encoder.open_with(Dictionary::from_iter(OPTIONS)).map_err(MediaError::codec("opening libx264"))
}

fn fraction(rate: FrameRate) -> Rational {
    Rational::new(rate.numerator() as i32, rate.denominator() as i32)
}

/// One frame's length in seconds.
fn time_base(rate: FrameRate) -> Rational {
    fraction(rate).invert()
}

/// The first error the file had, kept because FFmpeg passes only a number on, and not always.
#[derive(Debug, Clone, Default)]
struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    fn take(&self) -> Option<io::Error> {
        self.0.lock().take()
    }

    /// Keeps the error here and passes its number on. An interrupted call is repeated, so it is no error.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let number = error.raw_os_error();
            self.0.lock().get_or_insert(error);
            number.map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error)
        })
    }
}

/// The file as the muxer sees it.
struct Sink {
    file: File,
    failure: Failure,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.failure.note(self.file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.note(self.file.flush())
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.failure.note(self.file.seek(to))
    }
}
