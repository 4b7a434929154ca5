//! Blending on the device that decodes: every tile is weighted by its masks, and what it shares with the next one along an axis
//! waits to be added to it. One tile alone is handed on as it is.
//!
//! Must not know the decoder's layers.

use super::{
    tiled::{Source, Tiles, divides, finished},
    tiles::{Span, mask_sums},
};
use crate::Result;
use candle_core::{Device, Tensor};

/// The places of frames, rows and columns in `[1, 3, F, H, W]`.
const AXES: [usize; 3] = [2, 3, 4];

/// Decodes and blends; differs from blending on the CPU in the order in which four tiles are added where corners meet, and in
/// nothing else.
pub(super) fn decode_on_device(
    mut source: Source<'_>,
    [time, rows, columns]: &[Vec<Span>; 3],
    mut each: impl FnMut(Tensor) -> Result<()>,
) -> Result<()> {
    let sums = [mask_sums(time), mask_sums(rows), mask_sums(columns)];
    let (divide, device) = (divides(&sums), source.latent.device().clone());
    let mut along_time = Seam::new(AXES[0]);
    for (i, stretch) in time.iter().enumerate() {
        let (mut down, mut strips) = (Seam::new(AXES[1]), Vec::new());
        for (j, row) in rows.iter().enumerate() {
            let (mut across, mut pieces) = (Seam::new(AXES[2]), Vec::new());
            for (k, column) in columns.iter().enumerate() {
                let spans = [stretch, row, column];
                let mut tile = source.tile(spans)?;
                if source.total > 1 {
                    tile = tile.broadcast_mul(&product(spans.map(|span| span.mask.as_slice()), &device)?)?;
                }
                pieces.extend(across.add(tile, column.pixels.start, finished(columns, k))?);
            }
            strips.extend(down.add(joined(pieces, AXES[2])?, row.pixels.start, finished(rows, j))?);
        }
        let (start, end) = (stretch.pixels.start, finished(time, i));
        if let Some(frames) = along_time.add(joined(strips, AXES[1])?, start, end)? {
            each(match divide {
                true => {
                    let weights = product([&sums[0][start..end], &sums[1], &sums[2]], &device)?;
                    frames.broadcast_div(&weights.maximum(1e-8)?)?
                }
                false => frames,
            })?;
        }
    }
    source.finish();
    Ok(())
}

/// Neighbours along one axis.
struct Seam {
    axis: usize,
    /// What the last one shares with the next, its own weight in it.
    shared: Option<Tensor>,
}

impl Seam {
    fn new(axis: usize) -> Self {
        Self { axis, shared: None }
    }

    /// Adds the next tile, which begins at `start`; what it has before `end` is finished and comes back, the rest waits. `None`
    /// if nothing is finished.
    fn add(&mut self, mut tile: Tensor, start: usize, end: usize) -> Result<Option<Tensor>> {
        let (axis, length) = (self.axis, tile.dim(self.axis)?);
        if let Some(shared) = self.shared.take() {
            let common = shared.dim(axis)?;
            let sum = (tile.narrow(axis, 0, common)? + shared)?;
            tile = match length - common {
                0 => sum,
                own => Tensor::cat(&[&sum, &tile.narrow(axis, common, own)?], axis)?,
            };
        }
        let before = end - start;
        if before < length {
            self.shared = Some(tile.narrow(axis, before, length - before)?.contiguous()?);
        }
        if before == 0 {
            return Ok(None);
        }
        let finished = tile.narrow(axis, 0, before)?;
        // A piece that waits to be joined holds no more memory than its own; frames leave at once.
        Ok(Some(if axis == AXES[0] { finished } else { finished.contiguous()? }))
    }
}

fn joined(mut pieces: Vec<Tensor>, axis: usize) -> Result<Tensor> {
    if pieces.len() == 1 { Ok(pieces.swap_remove(0)) } else { Ok(Tensor::cat(&pieces, axis)?) }
}

/// `time · row · column` as `[F, H, W]`.
fn product([time, row, column]: [&[f32]; 3], device: &Device) -> Result<Tensor> {
    let along = |values: &[f32], shape: [usize; 3]| Tensor::from_slice(values, &shape, device);
    let plane = along(time, [time.len(), 1, 1])?.broadcast_mul(&along(row, [1, row.len(), 1])?)?;
    Ok(plane.broadcast_mul(&along(column, [1, 1, column.len()])?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Cut, tiled::decode_on_cpu};
    use ltx_engine::{Axis, TileSizes};
    use ltx_model::{
        config::section,
        part::Module,
        video_vae::{ConvolutionalDecoder, VideoVaeConfig},
    };
    use ltx_types::{CancelToken, NoProgress};

    #[test]
    fn blending_on_a_device_is_blending_on_the_cpu() {
        let (file, weights) = ltx_testkit::checkpoint();
        let config = VideoVaeConfig::from_json(section(&file.config().unwrap(), "vae").unwrap()).unwrap();
        let decoder = ConvolutionalDecoder::load(&weights, &config).unwrap();
        let latent = Tensor::randn(0f32, 1f32, (1, config.latent_channels, 4, 4, 5), &Device::Cpu).unwrap();
        let axis = |size, overlap| Axis { size, overlap };
        let cases = [
            // All of it; in time; in time where three tiles meet; across; down and across with corners, and in time.
            (axis(32, 0), axis(128, 0), axis(160, 0), 0.0),
            (axis(24, 8), axis(128, 0), axis(160, 0), 0.0),
            (axis(16, 8), axis(128, 0), axis(160, 0), 0.0),
            (axis(32, 0), axis(128, 0), axis(96, 32), 0.0),
            (axis(16, 8), axis(64, 32), axis(96, 32), 1e-6),
        ];
        for (frames, height, width, tolerance) in cases {
            let spans = TileSizes { frames, height, width }.spans([4, 4, 5], decoder.scale());
            let run = (&CancelToken::new(), &NoProgress as _);
            let total = spans.iter().map(Vec::len).product();
            let decoded = |on_device: bool| {
                let source = Source { decoder: &decoder, latent: &latent, run, done: 0, total };
                let mut chunks = Vec::new();
                let each = |chunk: Tensor| {
                    chunks.push(chunk);
                    Ok(())
                };
                let result = if on_device {
                    decode_on_device(source, &spans, each)
                } else {
                    decode_on_cpu(source, &spans, each)
                };
                result.unwrap();
                Tensor::cat(&chunks, 2).unwrap()
            };
            let (found, expected) = (decoded(true), decoded(false));
            assert_eq!(found.dims(), [1, 3, 25, 128, 160]);
            let difference = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference <= tolerance, "{frames:?} {height:?} {width:?}: {difference}");
        }
    }
}
