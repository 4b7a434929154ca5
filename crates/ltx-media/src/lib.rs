//! Images in, MP4 and PNG frames out. The only home of FFmpeg.
//!
//! Must not know: models, tensors, jobs, the network. An image is a path or bytes and becomes RGB pixels; a clip
//! arrives frame by frame as RGB bytes and becomes a file that carries its [`UsageMark`](ltx_policy::UsageMark).
//!
//! In: [`open_image`] → [`crf_round_trip`] → [`to_pixels`]. Out: a [`FrameWriter`], which is an [`Mp4Writer`] or a
//! [`PngFolderWriter`]; [`encode_png`] for a single picture, [`encode_preview`] for what is no output. A
//! [`Seal`] is what an output is given before it has its name. Back: [`decode_pictures`].
#![forbid(unsafe_code)]

mod bt709;
mod colour;
mod crf;
mod decode;
mod embedded;
mod error;
mod exif;
mod foreign;
mod h264;
mod jpeg;
mod metadata;
mod mp4;
mod notes;
mod open;
mod partial;
mod png_chunks;
mod png_file;
mod png_frames;
mod png_shape;
mod png_texts;
mod preview;
mod resize;
mod seal;
mod stretch;
mod webp;
mod writer;
mod xmp;

pub use colour::ColourFault;
pub use crf::crf_round_trip;
pub use decode::{decode_pictures, mp4_metadata};
pub use error::MediaError;
pub use image::RgbImage;
pub use mp4::Mp4Writer;
pub use notes::ImageNote;
pub use open::{MAX_PIXELS, look_at_image, media_type, open_image, shown_size};
pub use png_frames::{PngFolderWriter, encode_png};
pub use preview::encode_preview;
pub use resize::to_pixels;
pub use seal::{Seal, SealError};
pub use stretch::to_stretched_pixels;
pub use writer::FrameWriter;
