//! What a checkpoint is, from its configuration and keys: its family, and the configuration of every part. Families differ in
//! values, not in modules: a block that is told six rows and no gate is a block of LTX-2, one that is told nine and a gate is
//! one of LTX-2.3.
//!
//! | field of the configuration | 0.9.8 | LTX-2 19B | LTX-2.3 | LTX-2.5 | here |
//! |---|---|---|---|---|---|
//! | `_class_name` | `Transformer3DModel` | `AVTransformer3DModel` | same | same | both |
//! | `cross_attention_adaln`: 9 rows and a table of the context, else 6 | no | no | yes | yes | both |
//! | `use_prompt_adaln_single`: the sigma shifts that table | – | – | yes | yes | both |
//! | `apply_gated_attention`, `connector_apply_gated_attention` | no | no | yes | yes | both |
//! | `ff_bias` of the video stream; `connector_ff_bias` | yes | yes | yes | no; yes | both |
//! | `rope_type`: pairs of neighbours or of halves | interleaved | split | split | split | both |
//! | positions of tokens: points, or ranges whose middles count | points | ranges | ranges | ranges | both |
//! | the stream is normalised before the text cross-attention | no | yes | yes | yes | both |
//! | `use_keyframes_abs_pos_embedding` | no | no | no | yes | both |
//! | `caption_proj_before_connector`, else a projection in the transformer | no | no | yes | yes | both |
//! | text connector and projection of features | no | yes | yes | yes | both |
//! | `text_encoder_norm_type` of the features, else by the range of a state | – | absent | `per_token_rms` | `PER_TOKEN_RMS` | both |
//! | `vae`: blocks, padding, `timestep_conditioning`, kind of decoder | timesteps, residual | residual, reflected | as here | or diffusion | both |
//!
//! The last column says which values the modules obey; [`Family`] says which of them together are a family that runs.
//!
//! Must not know files.

mod shown;

use crate::{
    config::{check_sections, require, require_word, section, within},
    part::{CHECKPOINT, Marked, Module, WITHOUT_TEXT},
    text_encoder::{Connector, FeatureProjection, NORM_TYPE, PER_TOKEN_RMS, TextConfig},
    transformer::{Transformer, TransformerConfig},
    video_vae::{VideoDecoder, VideoEncoder, VideoVaeConfig},
};
use ltx_nn::{NnError, Result, Vb};
use ltx_types::{ConditioningMode, DISTILLED_STEPS, Defaults, Guidance, ModelRules, Part, Schedule, SizeRules};
use serde_json::{Value, json};

/// A generation of LTX models: checkpoints whose configurations agree in the fields that tell generations apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// LTX-Video 0.9.8 (and 0.9.5 to 0.9.7, whose modules are the same): T5, no connector, a decoder that is told a timestep.
    Ltxv098,
    /// LTX-2 (19B): no gates, six rows of AdaLN, features by the range of each state, captions projected in the transformer.
    Ltx2,
    /// LTX-2.3: gates, nine rows of AdaLN, features by RMS per token, a convolutional VAE.
    Ltx23,
    /// LTX-2.5: as LTX-2.3, without biases in the feed-forward, with a learned mark on the first latent frame.
    Ltx25,
}

/// The class of a transformer without an audio stream, LTX-Video 0.9.x's.
pub(crate) const VIDEO_ALONE: &str = "Transformer3DModel";
/// The mark on the first latent frame, which LTX-2.5 alone has: the beginning of its key.
pub(crate) const KEYFRAMES: &str = "keyframes_abs_pos_embedding";
/// How images and timesteps reach the transformer. What differs hangs together, as each is one reference's pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditioning {
    /// Tokens cover ranges, of which the middles count; images that are appended stand behind the clip; a token's timestep is its
    /// mask times sigma; an image's latent is the mean; images cover the frame; guidance is of clean predictions.
    Ranges,
    /// Tokens are points, their ranges' beginnings; images that are appended stand before the clip; a token's timestep is the
    /// smaller of mask and sigma; an image's latent is drawn; images are stretched to the frame; guidance is of velocities.
    Points,
}

/// A field of the section `transformer` that tells families apart.
struct Mark {
    field: &'static str,
    value: Value,
    /// Whether a section that does not state the field means `value`.
    usual: bool,
}

impl Mark {
    /// # Errors
    /// The section says otherwise.
    fn check(&self, section: &Value) -> Result<()> {
        match &self.value {
            _ if self.usual && section.get(self.field).is_none() => Ok(()),
            // Published in either case.
            Value::String(word) if self.field == NORM_TYPE => require_word(section, NORM_TYPE, word),
            value => require(section, self.field, value),
        }
    }
}

impl Family {
    /// The families that run here.
    pub const ALL: [Self; 4] = [Self::Ltx23, Self::Ltx25, Self::Ltx2, Self::Ltxv098];

    /// The family of a version (major, minor) that a file states; LTX-2.3 of one that states none.
    pub fn of_version(stated: Option<(u32, u32)>) -> Self {
        match stated {
            Some((0, _)) => Self::Ltxv098,
            Some((2, 0..=2)) => Self::Ltx2,
            Some((2, 5..)) => Self::Ltx25,
            _ => Self::Ltx23,
        }
    }

    /// The defaults of its official pipelines, for a checkpoint without a manifest.
    pub fn defaults(self, schedule: Schedule) -> Defaults {
        let usual = Defaults::official(schedule);
        match self {
            Self::Ltx23 | Self::Ltx25 => usual,
            Self::Ltx2 => {
                let guidance = Guidance { stg_blocks: vec![29], ..usual.guidance.clone() };
                Defaults { steps: 40, guidance, ..usual }
            }
            Self::Ltxv098 => Defaults {
                width: 704,
                height: 480,
                guidance: Guidance { cfg_scale: 3.0, stg_scale: 0.0, rescale_scale: 0.0, stg_blocks: vec![] },
                conditioning: Some(ConditioningMode::ReplaceFirst),
                ..usual
            },
        }
    }

    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ltxv098 => "ltxv-0.9.8",
            Self::Ltx2 => "ltx-2",
            Self::Ltx23 => "ltx-2.3",
            Self::Ltx25 => "ltx-2.5",
        }
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ltxv098 => "LTX-Video 0.9.8",
            Self::Ltx2 => "LTX-2",
            Self::Ltx23 => "LTX-2.3",
            Self::Ltx25 => "LTX-2.5",
        }
    }

    /// How its images and timesteps reach the transformer.
    pub fn conditioning(self) -> Conditioning {
        match self {
            Self::Ltxv098 => Conditioning::Points,
            Self::Ltx2 | Self::Ltx23 | Self::Ltx25 => Conditioning::Ranges,
        }
    }

    /// Steps of its distilled weights' schedule.
    pub fn distilled_steps(self) -> usize {
        match self {
            Self::Ltxv098 => 7,
            Self::Ltx2 | Self::Ltx23 | Self::Ltx25 => DISTILLED_STEPS,
        }
    }

    /// The parts that its checkpoints are made of.
    pub fn parts(self) -> &'static [Marked] {
        match self {
            Self::Ltxv098 => &WITHOUT_TEXT,
            Self::Ltx2 | Self::Ltx23 | Self::Ltx25 => &CHECKPOINT,
        }
    }

    /// The fields by which the family is known, with its values.
    fn marks(self) -> Vec<Mark> {
        let states = |field, value| Mark { field, value, usual: false };
        let usually = |field, value| Mark { field, value: json!(value), usual: true };
        let gated = || {
            vec![
                states("_class_name", json!("AVTransformer3DModel")),
                states("cross_attention_adaln", json!(true)),
                states("apply_gated_attention", json!(true)),
                states("connector_apply_gated_attention", json!(true)),
                states("caption_proj_before_connector", json!(true)),
                states(NORM_TYPE, json!(PER_TOKEN_RMS)),
                states("rope_type", json!("split")),
                usually("use_prompt_adaln_single", true),
                usually("connector_ff_bias", true),
            ]
        };
        let with = |marks: Vec<Mark>, own: [Mark; 2]| marks.into_iter().chain(own).collect();
        match self {
            Self::Ltxv098 => vec![
                states("_class_name", json!(VIDEO_ALONE)),
                usually("cross_attention_adaln", false),
                usually("apply_gated_attention", false),
                usually("connector_apply_gated_attention", false),
                usually("caption_proj_before_connector", false),
                usually("use_middle_indices_grid", false),
                usually("use_keyframes_abs_pos_embedding", false),
            ],
            Self::Ltx2 => vec![
                states("_class_name", json!("AVTransformer3DModel")),
                states("rope_type", json!("split")),
                states(NORM_TYPE, Value::Null),
                usually("cross_attention_adaln", false),
                usually("apply_gated_attention", false),
                usually("connector_apply_gated_attention", false),
                usually("caption_proj_before_connector", false),
                usually("use_keyframes_abs_pos_embedding", false),
                usually("ff_bias", true),
                usually("connector_ff_bias", true),
            ],
            Self::Ltx23 => with(gated(), [usually("use_keyframes_abs_pos_embedding", false), usually("ff_bias", true)]),
            Self::Ltx25 => {
                with(gated(), [states("use_keyframes_abs_pos_embedding", json!(true)), states("ff_bias", json!(false))])
            }
        }
    }

    /// The first field in which a `transformer` section is another family's.
    pub(crate) fn difference(self, section: &Value) -> Option<NnError> {
        self.marks().into_iter().find_map(|mark| mark.check(section).err())
    }

    /// The first field that a `transformer` section states and that is another family's, whatever it leaves out.
    pub(crate) fn contradiction(self, section: &Value) -> Option<NnError> {
        let stated = |mark: &Mark| section.get(mark.field).is_some_and(|value| !value.is_null());
        self.marks().into_iter().filter(stated).find_map(|mark| mark.check(section).err())
    }

    /// The family of a `transformer` section.
    ///
    /// # Errors
    /// It is of none that runs here: the first field in which it differs from the family most like it.
    pub(crate) fn of(section: &Value) -> Result<Self> {
        let mut nearest: Option<(usize, NnError)> = None;
        for family in Self::ALL {
            let mut differences = family.marks().into_iter().filter_map(|mark| mark.check(section).err());
            let Some(first) = differences.next() else { return Ok(family) };
            let count = 1 + differences.count();
            if nearest.as_ref().is_none_or(|(fewest, _)| count < *fewest) {
                nearest = Some((count, first));
            }
        }
        Err(nearest.map_or_else(|| NnError::unsupported("family", "unknown", "one of LTX"), |(_, first)| first))
    }
}

/// The keys of a checkpoint, as far as they say what its configuration leaves out.
pub trait Keys {
    /// The shape of a tensor that is there.
    fn shape_of(&self, key: &str) -> Option<&[usize]>;
    /// Whether any key begins so.
    fn has_prefix(&self, prefix: &str) -> bool;
    /// Every key.
    fn all(&self) -> Box<dyn Iterator<Item = &str> + '_>;
}

/// A whole checkpoint.
#[derive(Debug, Clone)]
pub struct Architecture {
    /// The family that its values are of.
    pub family: Family,
    /// The transformer.
    pub transformer: TransformerConfig,
    /// Text projection and connector; `None` where the text encoder's states are the context.
    pub text: Option<TextConfig>,
    /// Encoder and decoder of pixels.
    pub vae: VideoVaeConfig,
}

impl Architecture {
    /// Parses and checks a checkpoint's configuration.
    ///
    /// # Errors
    /// A section or field is missing, or has a value that no module or family here has.
    pub fn from_config(config: &Value, keys: &impl Keys) -> Result<Self> {
        check_sections(config)?;
        let (family, transformer, text) = denoising(config, keys)?;
        Ok(Self { family, transformer, text, vae: vae(config)? })
    }

    /// Text projection and connector.
    ///
    /// # Errors
    /// The family has none.
    pub fn text(&self) -> Result<&TextConfig> {
        self.text.as_ref().ok_or_else(|| NnError::unsupported("text connector", "absent", "a family that has one"))
    }

    /// The sizes of clips that the checkpoint can make.
    pub fn size_rules(&self) -> SizeRules {
        SizeRules::of_scale(self.vae.scale())
    }

    /// What requests for the checkpoint are held against. Whether there can be two stages is in no file of it.
    pub fn rules(&self) -> ModelRules {
        ModelRules {
            sizes: self.size_rules(),
            distilled_steps: Some(self.family.distilled_steps()),
            // Its dev weights are guided otherwise in every step of both passes.
            multi_scale: Some(self.family.conditioning() == Conditioning::Points),
            blocks: Some(self.transformer.num_layers),
            trained_seconds: self.transformer.positional_embedding_max_pos.first().copied(),
            ..ModelRules::LTX
        }
    }
}

/// The parts of a checkpoint that a component file holds.
#[derive(Debug, Clone)]
pub struct Components {
    /// The family, where the transformer or a part of the text encoding is there.
    pub family: Option<Family>,
    /// The transformer, where it or a part of the text encoding is there: one section states all of them.
    pub transformer: Option<TransformerConfig>,
    /// Text projection and connector, likewise.
    pub text: Option<TextConfig>,
    /// The VAE, where one of its halves is there.
    pub vae: Option<VideoVaeConfig>,
}

impl Components {
    /// Parses and checks those sections of a configuration that `parts` need.
    ///
    /// # Errors
    /// As [`Architecture::from_config`].
    pub fn from_config(config: &Value, keys: &impl Keys, parts: &[Part]) -> Result<Self> {
        check_sections(config)?;
        let needs = |of: &[Part]| parts.iter().any(|part| of.contains(part));
        let denoises = needs(&[Part::Transformer, Part::TextConnector, Part::TextProjection]);
        let denoising = denoises.then(|| denoising(config, keys)).transpose()?;
        let vae = needs(&[Part::VideoEncoder, Part::VideoDecoder]).then(|| vae(config)).transpose()?;
        let (family, transformer, text) = match denoising {
            Some((family, transformer, text)) => (Some(family), Some(transformer), text),
            None => (None, None, None),
        };
        Ok(Self { family, transformer, text, vae })
    }

    /// Loads a part and lets it go: with a source of shapes alone, the account of its keys. A part that the checkpoint does not
    /// state has none.
    ///
    /// # Errors
    /// As [`Module::load`].
    pub fn load(&self, part: Part, root: &Vb) -> Result<()> {
        let text = self.text.as_ref();
        match part {
            Part::Transformer => load::<Transformer>(root, self.transformer.as_ref()),
            Part::TextConnector => load::<Connector>(root, text.map(|text| &text.connector)),
            Part::TextProjection => load::<FeatureProjection>(root, text.map(|text| &text.projection)),
            Part::VideoEncoder => load::<VideoEncoder>(root, self.vae.as_ref()),
            Part::VideoDecoder => load::<VideoDecoder>(root, self.vae.as_ref()),
            // They have files of their own.
            Part::LanguageModel | Part::LatentUpsampler | Part::LoraPairs => Ok(()),
        }
    }
}

impl From<Architecture> for Components {
    fn from(Architecture { family, transformer, text, vae }: Architecture) -> Self {
        Self { family: Some(family), transformer: Some(transformer), text, vae: Some(vae) }
    }
}

fn load<M: Module>(root: &Vb, config: Option<&M::Config>) -> Result<()> {
    config.map_or(Ok(()), |config| M::load(root, config).map(drop))
}

/// What the section `transformer` states.
fn denoising(config: &Value, keys: &impl Keys) -> Result<(Family, TransformerConfig, Option<TextConfig>)> {
    let section = section(config, "transformer")?;
    let family = Family::of(section)?;
    let transformer = TransformerConfig::from_json(section)?;
    if family.conditioning() == Conditioning::Points {
        return Ok((family, transformer, None));
    }
    let text = TextConfig::from_json(section, FeatureProjection::inputs(keys))?;
    let context = transformer.context_width();
    within("connector width", text.connector.dim(), context..=context)?;
    Ok((family, transformer, Some(text)))
}

fn vae(config: &Value) -> Result<VideoVaeConfig> {
    VideoVaeConfig::from_json(section(config, "vae")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoKeys;

    impl Keys for NoKeys {
        fn shape_of(&self, _: &str) -> Option<&[usize]> {
            None
        }

        fn has_prefix(&self, _: &str) -> bool {
            false
        }

        fn all(&self) -> Box<dyn Iterator<Item = &str> + '_> {
            Box::new(std::iter::empty())
        }
    }

    /// A `transformer` section of LTX-2.3, small, with some fields changed; `null` takes one out.
    fn config(changes: Value) -> Value {
        let mut section = json!({
            "_class_name": "AVTransformer3DModel", "activation_fn": "gelu-approximate", "qk_norm": "rms_norm",
            "standardization_norm": "rms_norm", "rope_type": "split", "use_middle_indices_grid": true,
            "causal_temporal_positioning": true, "num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8,
            "in_channels": 4, "out_channels": 4, "cross_attention_dim": 16, "norm_eps": 1e-6,
            "positional_embedding_theta": 10_000.0, "positional_embedding_max_pos": [20, 2048, 2048],
            "timestep_scale_multiplier": 1000, "cross_attention_adaln": true, "apply_gated_attention": true,
            "connector_apply_gated_attention": true, "connector_norm_output": true, "caption_proj_before_connector": true,
            "text_encoder_norm_type": "per_token_rms", "caption_channels": 8, "connector_num_layers": 1,
            "connector_num_attention_heads": 4, "connector_attention_head_dim": 4,
            "connector_num_learnable_registers": 2, "connector_positional_embedding_max_pos": [4096],
        });
        let fields = section.as_object_mut().unwrap();
        for (field, value) in changes.as_object().unwrap() {
            if value.is_null() {
                fields.remove(field)
            } else {
                fields.insert(field.clone(), value.clone())
            };
        }
        json!({ "transformer": section })
    }

    fn refusal(changes: Value) -> String {
        Components::from_config(&config(changes), &NoKeys, &[Part::Transformer]).unwrap_err().to_string()
    }

    #[test]
    fn a_family_is_known_by_its_values_and_others_are_refused_by_field() {
        let stated = json!({ "ff_bias": true, "use_keyframes_abs_pos_embedding": false });
        let newer = json!({ "ff_bias": false, "use_keyframes_abs_pos_embedding": true, "text_encoder_norm_type": "PER_TOKEN_RMS" });
        for (changes, name) in [(json!({}), "ltx-2.3"), (stated, "ltx-2.3"), (newer, "ltx-2.5")] {
            let found = Components::from_config(&config(changes), &NoKeys, &[Part::TextConnector]).unwrap();
            assert_eq!(found.family.map(Family::name), Some(name));
            let text = found.text.unwrap();
            assert_eq!((text.connector.dim(), text.projection.outputs, text.projection.states), (16, 16, 0));
            assert!(found.transformer.is_some_and(|config| config.adaln_rows() == 9) && found.vae.is_none());
        }
        for (changes, field) in [
            (json!({ "_class_name": "Transformer2DModel" }), "_class_name"),
            // LTX-2 19B leaves both out.
            (json!({ "cross_attention_adaln": null, "apply_gated_attention": null }), "cross_attention_adaln"),
            (json!({ "text_encoder_norm_type": "per_segment" }), "text_encoder_norm_type"),
            (json!({ "apply_gated_attention": false }), "apply_gated_attention"),
            (json!({ "rope_type": "interleaved" }), "rope_type"),
            (json!({ "use_keyframes_abs_pos_embedding": true }), "use_keyframes_abs_pos_embedding"),
            (
                json!({ "use_keyframes_abs_pos_embedding": true, "ff_bias": false, "rope_type": "interleaved" }),
                "rope_type",
            ),
            (json!({ "use_prompt_adaln_single": false }), "use_prompt_adaln_single"),
            (json!({ "ff_bias": false }), "ff_bias"),
            (json!({ "connector_num_attention_heads": 2 }), "connector width"),
        ] {
            let found = refusal(changes);
            assert!(found.contains(field), "{field}: {found}");
        }
    }

    #[test]
    fn the_tiny_checkpoint_makes_clips_of_the_sizes_of_every_ltx_model() {
        let config = ltx_testkit::checkpoint().0.config().unwrap();
        let architecture = Architecture::from_config(&config, &NoKeys).unwrap();
        assert_eq!((architecture.family, architecture.size_rules()), (Family::Ltx23, SizeRules::LTX));
        let rules = architecture.rules();
        assert_eq!((rules.blocks, rules.trained_seconds, rules.two_stages), (Some(3), Some(20.0), None));
    }

    #[test]
    fn only_the_sections_of_the_parts_that_are_there_are_looked_at() {
        let nothing = Components::from_config(&json!({}), &NoKeys, &[Part::LatentUpsampler]).unwrap();
        assert!(nothing.family.is_none() && nothing.transformer.is_none() && nothing.vae.is_none());
        let missing = Components::from_config(&config(json!({})), &NoKeys, &[Part::VideoDecoder]).unwrap_err();
        assert!(missing.to_string().contains("vae"), "{missing}");
        assert!(Architecture::from_config(&config(json!({})), &NoKeys).is_err(), "it has no VAE");
    }
}
