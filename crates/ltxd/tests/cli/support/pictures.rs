//! PNG files that no camera makes: noise, headers that promise more than they hold, and colours that are said in Exif alone.
//!
//! Must not know who looks at them.

use png::{
    BitDepth, ColorType, Compression, Encoder,
    chunk::{ChunkType, IDAT},
};

/// 64 zeros as a zlib stream: two bytes of header, one stored block, the checksum.
fn few_zeros() -> Vec<u8> {
    let mut stream = vec![0x78, 0x01, 0x01, 64, 0, !64, 0xff];
    stream.extend([0; 64]);
    stream.extend([0x00, 0x40, 0x00, 0x01]);
    stream
}

fn encoder(file: &mut Vec<u8>, [width, height]: [u32; 2]) -> Encoder<'_, &mut Vec<u8>> {
    let mut encoder = Encoder::new(file, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder
}

/// A picture that says it has this many pixels, and holds hardly any.
pub(crate) fn hollow_png(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = encoder(&mut file, [width, height]).write_header().expect("a header");
    writer.write_chunk(IDAT, &few_zeros()).expect("a chunk");
    drop(writer);
    file
}

/// A small grey picture whose Exif says that its colours are Adobe RGB's.
pub(crate) fn adobe_png() -> Vec<u8> {
    // A directory with one entry: its tag, type, count and value; then no other one.
    let directory = |tag: u16, kind: u16, value: u32| {
        let words = [&1u16.to_le_bytes()[..], &tag.to_le_bytes(), &kind.to_le_bytes(), &1u32.to_le_bytes()];
        [&words.concat()[..], &value.to_le_bytes(), &[0; 4]].concat()
    };
    // The directory of the picture lies behind the first, which begins at 8; its colour space is 2.
    let exif = [&b"II*\0"[..], &8u32.to_le_bytes(), &directory(0x8769, 4, 26), &directory(0xa001, 3, 2)].concat();
    let mut file = Vec::new();
    let mut writer = encoder(&mut file, [64, 64]).write_header().expect("a header");
    writer.write_chunk(ChunkType(*b"eXIf"), &exif).expect("a chunk");
    writer.write_image_data(&[128; 3 * 64 * 64]).expect("its pixels");
    drop(writer);
    file
}

/// A square of noise, which does not compress: a little over three bytes a pixel.
pub(crate) fn noise_png(side: u32) -> Vec<u8> {
    let mut state = 1_u64;
    let mut noise = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let pixels: Vec<u8> = (0..3 * side * side).map(|_| noise()).collect();
    let mut file = Vec::new();
    let mut encoder = encoder(&mut file, [side, side]);
    encoder.set_compression(Compression::NoCompression);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("its pixels");
    drop(writer);
    file
}
