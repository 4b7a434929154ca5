//! The decoder's configuration, as the checkpoint's `vae.decoder` section states it.
//!
//! Must not know tensors.

use crate::config::{Entries, parse, positive, require, section, within};
use ltx_nn::{MOST_COLUMNS, NeighbourhoodShape, NnError, Result, Sides};
use ltx_types::LatentScale;
use serde::Deserialize;
use serde_json::{Value, json};

/// Entries of the section.
const ENTRIES: Entries<'static> = Entries {
    of: "vae.decoder",
    read: &[
        "in_channels",
        "out_channels",
        "patch_size",
        "head_dim",
        "na_head_dim",
        "stage_channels",
        "stage_depths",
        "stage_kernels",
        "upsamples",
        "stage5_kernel",
        "stage5_channels",
        "t_emb_dim",
        "timestep_scale_multiplier",
        "default_num_inference_steps",
    ],
    fixed: &[("spatial_padding_mode", "\"zeros\""), ("resampler_kind", "\"linear\"")],
    idle: &["_class_name"],
    idle_heads: &[],
};

/// Stages that raise the latent, each with an upsampling behind it.
pub(super) const RAISING: usize = 4;
/// Factor between a block's width and its perceptron's, whose width is a multiple of [`HIDDEN_UNIT`].
const HIDDEN_FACTOR: usize = 4;
const HIDDEN_UNIT: usize = 16;
/// Attention of the last stage is computed in stretches of a quarter of the columns, each of which sees the next one's edge.
pub(super) const STRETCHES: usize = 4;

/// As it is stated.
#[derive(Debug, Clone, Deserialize)]
struct Stated {
    patch_size: usize,
    #[serde(alias = "na_head_dim")]
    head_dim: usize,
    stage_channels: Vec<usize>,
    stage_depths: Vec<usize>,
    stage_kernels: Vec<[usize; 3]>,
    upsamples: Vec<([usize; 3], usize)>,
    stage5_kernel: [usize; 3],
    stage5_channels: Option<usize>,
    #[serde(default = "usual_embedding")]
    t_emb_dim: usize,
    timestep_scale_multiplier: f64,
}

/// Blocks of one width and kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) channels: usize,
    pub(super) depth: usize,
    /// Frames, rows and columns that a position sees.
    pub(super) kernel: [usize; 3],
    pub(super) head_dim: usize,
}

impl Stage {
    /// Width of the perceptrons.
    pub(super) fn hidden(&self) -> usize {
        (HIDDEN_FACTOR * self.channels).next_multiple_of(HIDDEN_UNIT)
    }

    /// The attention of its blocks over a clip.
    pub(super) fn attention(&self, clip: [usize; 3], sides: Sides) -> NeighbourhoodShape {
        let Self { channels, kernel, head_dim, .. } = *self;
        NeighbourhoodShape { heads: channels / head_dim, head_dim, kernel, clip, sides }
    }
}

/// Sizes of the decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffusionConfig {
    pub(super) latent_channels: usize,
    /// Pixels per side that are folded into a position of the last stage.
    pub(super) patch_size: usize,
    /// The stages that raise the latent.
    pub(super) raising: [Stage; RAISING],
    /// Frames, rows and columns that a position becomes behind each of them.
    pub(super) strides: [[usize; 3]; RAISING],
    /// Channels behind the last of them.
    pub(super) context: usize,
    /// The stage that turns noise into pixels.
    pub(super) drawing: Stage,
    /// Width of the embedded timestep.
    pub(super) embedding: usize,
    /// Multiplies the timestep, 1.
    pub(super) multiplier: f64,
}

impl DiffusionConfig {
    /// Parses and checks the decoder's part of the section `vae`.
    ///
    /// # Errors
    /// A field is missing, has a value that this engine does not implement, or is not known here.
    pub(in crate::video_vae) fn from_json(vae: &Value, latent_channels: usize) -> Result<Self> {
        require(vae, "model_output_type", &json!("x0"))?;
        let decoder = section(vae, "decoder")?;
        ENTRIES.check(decoder)?;
        require(decoder, "default_num_inference_steps", &json!(1))?;
        require(decoder, "out_channels", &json!(3))?;
        if decoder.get("in_channels").is_some_and(|stated| !stated.is_null()) {
            require(decoder, "in_channels", &json!(latent_channels))?;
        }
        let stated: Stated = parse(decoder, "video VAE's decoder")?;
        let config = Self::of(&stated, latent_channels)?;
        config.check()?;
        Ok(config)
    }

    fn of(stated: &Stated, latent_channels: usize) -> Result<Self> {
        let list = |field: &str, found: usize, expected: usize| {
            within(&format!("vae.decoder.{field} (count)"), found, expected..=expected)
        };
        list("stage_channels", stated.stage_channels.len(), RAISING + 1)?;
        list("stage_depths", stated.stage_depths.len(), RAISING + 1)?;
        list("stage_kernels", stated.stage_kernels.len(), RAISING + 1)?;
        list("upsamples", stated.upsamples.len(), RAISING)?;
        let stage = |i: usize| Stage {
            channels: stated.stage_channels[i],
            depth: stated.stage_depths[i],
            kernel: stated.stage_kernels[i],
            head_dim: stated.head_dim,
        };
        let context = stated.stage_channels[RAISING];
        let drawing = Stage {
            channels: stated.stage5_channels.unwrap_or(context),
            kernel: stated.stage5_kernel,
            ..stage(RAISING)
        };
        for (i, (stride, reduction)) in stated.upsamples.iter().enumerate() {
            let field = format!("vae.decoder.upsamples[{i}]");
            let fits = stride.iter().all(|factor| (1..=2).contains(factor));
            if !fits || i + 1 == RAISING && *stride != [2, 2, 2] {
                let supported = if i + 1 == RAISING { "[2, 2, 2]" } else { "factors of 1 and 2" };
                return Err(NnError::unsupported(field, format!("{stride:?}"), supported));
            }
            within(&format!("{field} (reduction of channels)"), *reduction, 1..=16)?;
            let (from, to) = (stated.stage_channels[i], stated.stage_channels[i + 1]);
            if from.checked_div(*reduction) != Some(to) || !from.is_multiple_of(*reduction) {
                let supported = format!("the quotient of {from} and {to} channels");
                return Err(NnError::unsupported(field, reduction, supported));
            }
        }
        Ok(Self {
            latent_channels,
            patch_size: stated.patch_size,
            raising: std::array::from_fn(stage),
            strides: std::array::from_fn(|i| stated.upsamples[i].0),
            context,
            drawing,
            embedding: stated.t_emb_dim,
            multiplier: stated.timestep_scale_multiplier,
        })
    }

    fn check(&self) -> Result<()> {
        within("vae.decoder.patch_size", self.patch_size, 1..=16)?;
        within("vae.decoder.t_emb_dim", self.embedding, 1..=65_536)?;
        positive("vae.decoder.timestep_scale_multiplier", self.multiplier)?;
        let head_dim = self.drawing.head_dim;
        if head_dim > 256 || NeighbourhoodShape::split(head_dim).is_none() {
            let supported = "a multiple of 8 from 16 to 256";
            return Err(NnError::unsupported("vae.decoder.head_dim", head_dim, supported));
        }
        for (i, stage) in self.raising.iter().chain([&self.drawing]).enumerate() {
            let of = |field: &str| format!("vae.decoder.{field}[{i}]");
            within(&of("stage_channels"), stage.channels, 1..=65_536)?;
            within(&of("stage_depths"), stage.depth, 1..=64)?;
            if !stage.channels.is_multiple_of(head_dim) {
                let supported = format!("a multiple of head_dim, {head_dim}");
                return Err(NnError::unsupported(of("stage_channels"), stage.channels, supported));
            }
            let [frames, rows, columns] = stage.kernel;
            let odd = stage.kernel.iter().all(|size| size % 2 == 1);
            if !odd || frames.max(rows) > 31 || columns > MOST_COLUMNS {
                let field = if i == RAISING { "vae.decoder.stage5_kernel".to_owned() } else { of("stage_kernels") };
                let supported = format!("odd, at most 31 frames, 31 rows and {MOST_COLUMNS} columns");
                return Err(NnError::unsupported(field, format!("{:?}", stage.kernel), supported));
            }
        }
        let [time, rows, columns] = self.factors(RAISING);
        let scale = LatentScale { time, height: rows * self.patch_size, width: columns * self.patch_size };
        if scale != LatentScale::LTX {
            let expected = format!("{:?}", LatentScale::LTX);
            return Err(NnError::unsupported("vae.decoder.upsamples (compression)", format!("{scale:?}"), expected));
        }
        let narrowest = self.floor()[2] * columns;
        if self.stretches_over(narrowest) {
            return Ok(());
        }
        let supported = format!("at most {} columns, half of the narrowest clip's, less 1", narrowest / 2);
        Err(NnError::unsupported("vae.decoder.stage5_kernel", format!("{:?}", self.drawing.kernel), supported))
    }

    /// Values that a position of noise, or of pixels, has.
    pub(super) fn folded(&self) -> usize {
        3 * self.patch_size * self.patch_size
    }
}

/// Width of the embedded timestep where none is stated.
fn usual_embedding() -> usize {
    384
}
