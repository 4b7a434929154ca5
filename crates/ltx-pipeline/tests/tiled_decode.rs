//! Tiled decoding against the reference's, and its streaming.

use candle_core::Tensor;
use ltx_engine::{Axis, TileSizes};
use ltx_model::{
    config::section,
    part::Module,
    video_vae::{VideoDecoder, VideoVaeConfig},
};
use ltx_pipeline::{Noise, PipelineError, decode_tiled};
use ltx_testkit::{assert_close, checkpoint, goldens};
use ltx_types::{CancelToken, Cancelled, NoProgress, Seed};

/// As `tiled_decode.json` states them.
const TILES: TileSizes = TileSizes {
    frames: Axis { size: 16, overlap: 8 },
    height: Axis { size: 64, overlap: 32 },
    width: Axis { size: 96, overlap: 32 },
};

fn decoder() -> VideoDecoder {
    let (file, weights) = checkpoint();
    let config = VideoVaeConfig::from_json(section(&file.config().unwrap(), "vae").unwrap()).unwrap();
    VideoDecoder::load(&weights, &config).unwrap()
}

#[test]
fn tiles_blend_like_the_reference() {
    let goldens = goldens("tiled_decode.safetensors");
    let mut chunks: Vec<Tensor> = Vec::new();
    let run = (&CancelToken::new(), &NoProgress as &_);
    decode_tiled(&decoder(), &goldens["latent"], &TILES, &mut Noise::new(Seed(0)), run, |chunk| {
        chunks.push(chunk);
        Ok(())
    })
    .unwrap();
    assert!(chunks.len() > 2, "frames leave as they are finished");
    let decoded = Tensor::cat(&chunks, 2).unwrap();
    // The golden is kept in f16 here.
    let expected = goldens["tiled"].to_dtype(candle_core::DType::F32).unwrap();
    assert_close("tiled", &decoded, &expected, 3e-4);
}

#[test]
fn cancelling_stops_between_tiles() {
    let goldens = goldens("tiled_decode.safetensors");
    let cancel = CancelToken::new();
    let run = (&cancel, &NoProgress as &_);
    let result = decode_tiled(&decoder(), &goldens["latent"], &TILES, &mut Noise::new(Seed(0)), run, |_| {
        cancel.cancel();
        Ok(())
    });
    assert!(matches!(result, Err(PipelineError::Cancelled(Cancelled))));
}
