//! PNG files that no camera makes: noise, and headers that promise more than they hold.
//!
//! Must not know who looks at them.

use png::{BitDepth, ColorType, Compression, Encoder, chunk::IDAT};

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
