//! The decoder of LTX-2.5 that draws pixels from noise: every stage against the reference, tiles, and whole generations with it.

use candle_core::Tensor;
use ltx_engine::{Axis, TileSizes};
use ltx_model::{
    config::section,
    part::Module,
    video_vae::{
        VideoDecoder, VideoVaeConfig,
        diffusion::{Features, TilePlace},
    },
};
use ltx_nn::{Level, NnError, Taps};
use ltx_pipeline::{Noise, PipelineError, decode_tiled};
use ltx_testkit::{assert_close, goldens, open, vb};
use ltx_types::{CancelToken, Cancelled, LatentShape, NoProgress, Progress, ProgressSink, Seed};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

const FILE: &str = "../tiny-2.5/ltx-2.5-tiny-video-vae.safetensors";
const GOLDENS: &str = "ltx25/diffusion_vae.safetensors";
const SEED: Seed = Seed(23);
/// What a right port reaches, of layers and of frames; on AMX activations have 17 bits.
fn near() -> f64 {
    if Level::widest().has_tiles() { 1e-4 } else { 1e-5 }
}

/// Of tensors of more values every third frame, row and column is kept.
const LARGE: usize = 16_000;
/// One tile.
const WHOLE: TileSizes = {
    let axis = Axis { size: 1 << 16, overlap: 0 };
    TileSizes { frames: axis, height: axis, width: axis }
};
/// Those that the golden was made with.
const TILES: TileSizes = {
    let side = Axis { size: 64, overlap: 32 };
    TileSizes { frames: Axis { size: 16, overlap: 8 }, height: side, width: side }
};

fn decoder() -> VideoDecoder {
    let config = open(FILE).config().unwrap();
    VideoDecoder::load(&vb(FILE), &VideoVaeConfig::from_json(section(&config, "vae").unwrap()).unwrap()).unwrap()
}

/// As the goldens keep a tensor `[1, F, H, W, C]`.
fn thinned(tensor: &Tensor) -> Tensor {
    let mut thin = tensor.contiguous().unwrap();
    if tensor.elem_count() > LARGE {
        for axis in 1..4 {
            let places: Vec<u32> = (0..thin.dim(axis).unwrap() as u32).step_by(3).collect();
            thin = thin.index_select(&Tensor::new(places, thin.device()).unwrap(), axis).unwrap();
        }
    }
    thin
}

/// Frames `[1, 3, F, H, W]` as the goldens keep them.
fn frames(pixels: &Tensor) -> Tensor {
    thinned(&pixels.permute((0, 2, 3, 4, 1)).unwrap())
}

fn whole(features: &Features) -> TilePlace {
    let [frames, rows, columns] = features.clip();
    TilePlace { frames: 0..frames, rows: 0..rows, columns: 0..columns }
}

fn decoded(latent: &Tensor, tiles: &TileSizes, noise: &mut Noise) -> Vec<Tensor> {
    let mut chunks = Vec::new();
    decode_tiled(&decoder(), latent, tiles, noise, (&CancelToken::new(), &NoProgress), |chunk| {
        chunks.push(chunk);
        Ok(())
    })
    .unwrap();
    chunks
}

fn every_stage_equals(clip: &str) {
    let (goldens, taps) = (goldens(GOLDENS), Taps::on());
    let VideoDecoder::Diffusion(decoder) = decoder() else { panic!("its class says otherwise") };
    let mut never = || Ok::<_, NnError>(());
    let latent = &goldens[&format!("{clip}.latent")];
    let features = decoder.features(latent, &taps, &mut never).unwrap();
    let mut noise = Noise::new(SEED);
    let mut draw = |shape: [usize; 3]| noise.draw(3 * shape.iter().product::<usize>());
    decoder.tile(&features, &whole(&features), &mut draw, &taps, &mut never).unwrap();
    let found: BTreeMap<String, Tensor> = taps.into_tensors().unwrap();
    for name in ["conv_in", "up0", "up1", "up2", "stage3", "conv_in_x_t", "diff0", "diff1"] {
        assert_close(name, &thinned(&found[name]), &goldens[&format!("{clip}.{name}")], near());
    }
    let (_, _, count, height, width) = latent.dims5().unwrap();
    let chunks = decoded(latent, &WHOLE, &mut Noise::new(SEED));
    let pixels = Tensor::cat(&chunks, 2).unwrap();
    assert_eq!(pixels.dims(), [1, 3, 8 * (count - 1) + 1, 32 * height, 32 * width]);
    assert_close("frames", &frames(&pixels), &goldens[&format!("{clip}.frames")], near());
}

#[test]
fn a_clip_equals_the_reference_stage_by_stage() {
    every_stage_equals("long");
}

#[test]
fn a_latent_smaller_than_what_positions_see_is_continued_as_in_the_reference() {
    every_stage_equals("short");
}

#[test]
fn tiles_draw_noise_and_blend_as_in_the_reference() {
    let goldens = goldens(GOLDENS);
    let chunks = decoded(&goldens["long.latent"], &TILES, &mut Noise::new(SEED));
    assert_eq!(chunks.len() as i64, goldens["tiled.chunks"].to_vec1::<i64>().unwrap()[0]);
    let pixels = Tensor::cat(&chunks, 2).unwrap();
    assert_close("tiled", &frames(&pixels), &goldens["tiled.frames"], near());
}

#[test]
fn noise_goes_on_where_the_generator_stands() {
    let expected = goldens(GOLDENS)["noise"].to_vec1::<f32>().unwrap();
    let mut noise = Noise::new(SEED);
    let (first, then) = (noise.draw(3 * 17 * 96 * 96), noise.draw(32));
    let near = |found: &[f32], expected: &[f32]| found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 2e-6);
    assert!(near(&first[..32], &expected[..32]) && near(&then, &expected[32..]));
    // Another place of the generator, other frames; the same place, the same bytes.
    let latent = &goldens(GOLDENS)["short.latent"];
    let values = |mut noise: Noise| {
        Tensor::cat(&decoded(latent, &WHOLE, &mut noise), 2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let later = || {
        let mut noise = Noise::new(SEED);
        noise.draw(16);
        noise
    };
    assert_eq!(values(later()), values(later()));
    assert_ne!(values(later()), values(Noise::new(SEED)));
}

#[test]
fn it_can_be_stopped_within_a_tile_and_says_how_far_it_is() {
    /// Cancels after some reports.
    struct Reports<'a> {
        cancel: &'a CancelToken,
        after: usize,
        seen: RefCell<Vec<Progress>>,
    }
    impl ProgressSink for Reports<'_> {
        fn report(&self, progress: Progress) {
            self.seen.borrow_mut().push(progress);
            if self.seen.borrow().len() == self.after {
                self.cancel.cancel();
            }
        }
    }
    let latent = &goldens(GOLDENS)["long.latent"];
    let run = |after: usize| {
        let (cancel, chunks) = (CancelToken::new(), Cell::new(0));
        let reports = Reports { cancel: &cancel, after, seen: RefCell::default() };
        let each = |_| {
            chunks.set(chunks.get() + 1);
            Ok(())
        };
        let ended = decode_tiled(&decoder(), latent, &WHOLE, &mut Noise::new(SEED), (&cancel, &reports), each);
        (ended, chunks.get(), reports.seen.into_inner())
    };
    let (ended, chunks, all) = run(usize::MAX);
    ended.unwrap();
    assert_eq!(chunks, 1);
    assert!((20..=66).contains(&all.len()), "{}", all.len());
    assert!(all.windows(2).all(|pair| pair[0].done < pair[1].done && pair[0].total == pair[1].total), "{all:?}");
    assert_eq!((all[0].done, all[all.len() - 1].done), (0, all[0].total), "every step is counted");
    let (ended, chunks, seen) = run(30);
    assert!(matches!(ended, Err(PipelineError::Cancelled(Cancelled))) && chunks == 0);
    assert_eq!(seen.len(), 30, "nothing is done behind it");
}

#[test]
fn a_tile_that_sees_too_little_is_refused() {
    let VideoDecoder::Diffusion(decoder) = decoder() else { panic!("its class says otherwise") };
    let mut never = || Ok::<_, NnError>(());
    let latent = &goldens(GOLDENS)["long.latent"];
    let features = decoder.features(latent, &Taps::off(), &mut never).unwrap();
    assert_eq!(features.clip(), decoder.config().cells(LatentShape { frames: 4, height: 3, width: 3 }));
    let place = whole(&features);
    for place in [
        TilePlace { columns: 0..3, ..place.clone() },
        TilePlace { frames: 0..2, ..place.clone() },
        TilePlace { rows: 0..13, ..place.clone() },
        // Five cells are ten columns, the last stretch of which is one.
        TilePlace { columns: 0..5, ..place },
    ] {
        let drawn = decoder.tile(&features, &place, &mut |_| panic!("nothing is drawn"), &Taps::off(), &mut never);
        assert!(drawn.unwrap_err().to_string().contains("cells of a decoder's tile"), "{place:?}");
    }
}
