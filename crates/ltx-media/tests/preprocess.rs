//! Resize, crop and round trip against the reference's own tensors (see `data/README.md`).

mod common;

use common::{data, floats, relative_l2};
use ltx_media::{RgbImage, crf_round_trip, open_image, to_pixels};
use ltx_types::{ImageSource, PixelShape};
use std::path::{Path, PathBuf};

fn open(path: PathBuf) -> RgbImage {
    open_image(&ImageSource::Path(path)).unwrap()
}

fn distance(image: &RgbImage, (width, height): (usize, usize), expected: &Path) -> f64 {
    relative_l2(&to_pixels(image, PixelShape { width, height }), &floats(expected))
}

#[test]
fn pixels_match_the_reference() {
    for (image, shape, expected) in [("start.png", (96, 64), "start_96x64.bin"), ("end.png", (64, 96), "end_64x96.bin")]
    {
        let error = distance(&open(data(image)), shape, &data(expected));
        println!("{expected}: relative L2 {error:.3e}");
        assert!(error < 1e-6, "{expected}: {error:e}");
    }
}

#[test]
fn enlarging_matches_torch() {
    let pattern = RgbImage::from_fn(20, 14, |x, y| {
        image::Rgb([0, 1, 2].map(|channel| ((37 * x + 91 * y + 53 * channel) % 256) as u8))
    });
    let error = distance(&pattern, (64, 32), &data("pattern_64x32.bin"));
    println!("enlarged: relative L2 {error:.3e}");
    assert!(error < 1e-6, "{error:e}");
}

#[test]
fn a_flat_picture_stays_flat_whatever_the_sizes() {
    for (from, to) in [((1, 1), (64, 32)), ((1000, 3), (32, 64)), ((37, 53), (96, 64)), ((64, 64), (64, 64))] {
        let flat = RgbImage::from_pixel(from.0, from.1, image::Rgb([255, 0, 51]));
        let pixels = to_pixels(&flat, PixelShape { width: to.0, height: to.1 });
        assert_eq!(pixels.len(), 3 * to.0 * to.1);
        for (plane, value) in pixels.chunks(to.0 * to.1).zip([1.0, -1.0, -0.6f32]) {
            assert!(plane.iter().all(|got| (got - value).abs() < 1e-6), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn the_round_trip_matches_the_reference() {
    let start = open(data("start.png"));
    let untouched = distance(&start, (128, 96), &data("start_crf33_128x96.bin"));
    let error = distance(&crf_round_trip(&start, 33).unwrap(), (128, 96), &data("start_crf33_128x96.bin"));
    println!("crf 33: relative L2 {error:.3e} (without the round trip {untouched:.3e})");
    assert!(error < 5e-3 && error < untouched / 5.0, "{error:e}");
}

#[test]
fn the_round_trip_crops_odd_sides_and_leaves_slivers() {
    let start = open(data("start.png"));
    let odd = image::imageops::crop_imm(&start, 0, 0, 31, 33).to_image();
    let even = image::imageops::crop_imm(&start, 0, 0, 30, 32).to_image();
    let round_trip = crf_round_trip(&odd, 18).unwrap();
    assert_eq!(round_trip.dimensions(), (30, 32));
    assert_eq!(round_trip, crf_round_trip(&even, 18).unwrap());

    let sliver = image::imageops::crop_imm(&start, 0, 0, 1, 64).to_image();
    assert_eq!(crf_round_trip(&sliver, 33).unwrap(), sliver);
    assert_eq!(crf_round_trip(&start, 0).unwrap(), start);
}

#[test]
fn a_larger_crf_loses_more() {
    let start = open(data("start.png"));
    let distances = [1, 18, 33, 51].map(|crf| {
        let round_trip = crf_round_trip(&start, crf).unwrap();
        let pairs = round_trip.as_raw().iter().zip(start.as_raw());
        pairs.map(|(&a, &b)| u64::from(a.abs_diff(b))).sum::<u64>()
    });
    assert!(distances.is_sorted() && distances[0] < distances[3], "{distances:?}");
}
