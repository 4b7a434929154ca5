//! How long tiles are, in what their decoder cuts: latent elements, or cells of features.
//!
//! Must not know pixels' values.

use super::{cells, tiles::Cut};
use ltx_engine::TileSizes;
use ltx_model::video_vae::VideoVaeConfig;
use ltx_types::LatentShape;

/// Every tile's length on every axis: frames, rows, columns.
pub(crate) fn tile_lengths(vae: &VideoVaeConfig, tiles: &TileSizes, latent: LatentShape) -> [Vec<usize>; 3] {
    match vae.diffusion() {
        Some(diffusion) => cells::lengths(diffusion, tiles, diffusion.cells(diffusion.padded(latent).latent)),
        None => tiles.lengths_of_each([latent.frames, latent.height, latent.width], vae.scale()),
    }
}
