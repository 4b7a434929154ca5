//! The entries of a checkpoint's `transformer` section, which states the transformer and the text connector: which are read, which
//! are implemented with one value, which change nothing of the video stream.
//!
//! Must not know how they are read.

use crate::config::Entries;

/// Entries of the section `transformer`.
pub(crate) const SECTION: Entries<'static> = Entries {
    of: "transformer",
    read: &[
        "_class_name",
        "activation_fn",
        "qk_norm",
        "standardization_norm",
        "rope_type",
        "use_middle_indices_grid",
        "causal_temporal_positioning",
        "num_layers",
        "num_attention_heads",
        "attention_head_dim",
        "in_channels",
        "out_channels",
        "cross_attention_dim",
        "norm_eps",
        "positional_embedding_theta",
        "positional_embedding_max_pos",
        "timestep_scale_multiplier",
        "cross_attention_adaln",
        "use_prompt_adaln_single",
        "use_keyframes_abs_pos_embedding",
        "apply_gated_attention",
        "ff_bias",
        "frequencies_precision",
        "caption_channels",
        "caption_proj_before_connector",
        "text_encoder_norm_type",
        "connector_num_layers",
        "connector_num_attention_heads",
        "connector_attention_head_dim",
        "connector_positional_embedding_max_pos",
        "connector_num_learnable_registers",
        "connector_apply_gated_attention",
        "connector_ff_bias",
        "connector_norm_output",
        "adaptive_norm",
        "cross_attention_norm",
        "use_tpu_flash_attention",
    ],
    fixed: &[
        ("attention_bias", "true"),
        ("attention_type", "\"default\""),
        ("double_self_attention", "false"),
        ("norm_elementwise_affine", "false"),
        ("num_vector_embeds", "null"),
        ("only_cross_attention", "false"),
        ("upcast_attention", "false"),
        ("use_linear_projection", "false"),
        ("positional_embedding_type", "\"rope\""),
        ("share_ff", "false"),
        ("use_embeddings_connector", "true"),
        ("caption_projection_first_linear", "false"),
        ("caption_projection_second_linear", "false"),
        ("caption_proj_input_norm", "false"),
    ],
    // Of training, of norms that are not used, of the audio stream.
    idle: &[
        "_diffusers_version",
        "_name_or_path",
        "connector_learnable_registers_std",
        "dropout",
        "norm_num_groups",
        "num_embeds_ada_norm",
        // No code of the reference reads it.
        "project_to_2d_pos",
        "use_audio_video_cross_attention",
    ],
    idle_heads: &["audio_", "av_"],
};
