//! Models that are not of LTX, by the keys and names under which they are published.
//!
//! Must not know files, or which LTX there is.

use super::Foreign;
use crate::architecture::Keys;

/// What to take instead.
const NO_LTX: &str = "this engine runs LTX models alone";
/// The text encoder of the oldest generation that runs.
const T5: &str = "T5 text encoder, as LTX-Video 0.9.x has it,";
/// What to take instead of another language model.
const NO_GEMMA: &str = "LTX-2 and later take a Gemma as text encoder (docs/models.md), LTX-Video 0.9.x a T5";
/// What to do with one.
const WITH_T5: &str =
    "name it with --text-encoder, beside a transformer of LTX-Video 0.9.x; other generations take a Gemma";

/// A model, and parts of keys that all have to be there.
const BY_KEYS: [(&str, &[&str]); 21] = [
    ("HunyuanVideo transformer", &["double_blocks.0.img_attn", "txt_in.individual_token_refiner"]),
    ("Flux transformer", &["double_blocks.0.img_attn", "single_blocks.0."]),
    ("HiDream transformer", &["double_stream_blocks.0."]),
    ("Wan transformer", &["blocks.0.cross_attn.", "blocks.0.self_attn."]),
    ("Wan transformer in the layout of diffusers", &["blocks.0.attn1.to_q", "condition_embedder."]),
    ("Mochi transformer", &["blocks.0.attn.qkv_x"]),
    ("Stable Diffusion 3 transformer", &["joint_blocks.0."]),
    ("Qwen-Image transformer", &["transformer_blocks.0.img_mlp."]),
    ("Flux or Stable Diffusion 3 transformer in the layout of diffusers", &["transformer_blocks.0.attn.add_q_proj"]),
    ("CogVideoX transformer", &["transformer_blocks.0.attn1.to_q", "patch_embed."]),
    ("PixArt transformer", &["transformer_blocks.0.attn1.to_q", "pos_embed."]),
    ("Lumina transformer", &["noise_refiner.0."]),
    ("Stable Diffusion XL model", &["input_blocks.0.0.weight", "label_emb."]),
    ("Stable Diffusion model", &["input_blocks.0.0.weight"]),
    ("Stable Diffusion model in the layout of diffusers", &["down_blocks.0.", "mid_block.", "time_embedding."]),
    ("Wan VAE", &["encoder.downsamples.0.", "decoder.upsamples.0."]),
    ("image VAE (Stable Diffusion or Flux)", &["encoder.down.0.block.0.conv1.weight"]),
    (T5, &["block.0.layer.0.SelfAttention."]),
    (T5, &["enc.blk.0.attn_q."]),
    ("CLIP text encoder", &["text_model.encoder.layers.0."]),
    ("language model in llama.cpp's names", &["token_embd.weight", "blk.0."]),
];

/// A model, and the architecture by which GGUF files name it.
const BY_ARCHITECTURE: [(&str, &str); 26] = [
    ("wan", "Wan transformer"),
    ("hyvid", "HunyuanVideo transformer"),
    ("hunyuan_video", "HunyuanVideo transformer"),
    ("flux", "Flux transformer"),
    ("flux2", "Flux.2 transformer"),
    ("z_image", "Z-Image transformer"),
    ("chroma", "Chroma transformer"),
    ("mochi", "Mochi transformer"),
    ("cogvideox", "CogVideoX transformer"),
    ("omnigen2", "OmniGen2 transformer"),
    ("kandinsky5", "Kandinsky 5 transformer"),
    ("sd1", "Stable Diffusion model"),
    ("sdxl", "Stable Diffusion XL model"),
    ("sd3", "Stable Diffusion 3 transformer"),
    ("aura", "AuraFlow transformer"),
    ("hidream", "HiDream transformer"),
    ("cosmos", "Cosmos transformer"),
    ("lumina2", "Lumina transformer"),
    ("qwen_image", "Qwen-Image transformer"),
    ("t5", T5),
    ("t5encoder", T5),
    ("gemma4", "Gemma-4 text encoder, as LTX-2.5 has it,"),
    ("gemma3n", "Gemma-3n language model"),
    ("gemma2", "Gemma-2 language model"),
    ("gemma", "Gemma-1 language model"),
    ("llama", "Llama language model"),
];

/// What a GGUF file is that names its architecture.
pub(super) fn of_gguf(architecture: &str) -> Option<Foreign> {
    let (_, title) = BY_ARCHITECTURE.iter().find(|(name, _)| *name == architecture)?;
    let instead = if architecture == "gemma4" {
        "it is not read as GGUF by llama.cpp's names: take the text encoder of Lightricks/LTX-2.5 as safetensors"
    } else if architecture.starts_with("gemma") {
        "LTX-2 and LTX-2.3 need Gemma-3 12B (docs/models.md)"
    } else {
        instead_of(title)
    };
    Some(Foreign::new(*title, format!("its general.architecture is {architecture}"), instead))
}

/// What a file is whose keys are a known model's.
pub(super) fn of_keys(keys: &dyn Keys) -> Option<Foreign> {
    let found = |mark: &&str| keys.all().find(|key| key.contains(*mark));
    let seen = |marks: &'static [&'static str]| {
        marks.iter().all(|mark| found(mark).is_some()).then(|| marks.first().and_then(found).unwrap_or_default())
    };
    if let Some((title, key)) = BY_KEYS.iter().find_map(|(title, marks)| Some((*title, seen(marks)?))) {
        return Some(Foreign::new(title, format!("it has the key {key}"), instead_of(title)));
    }
    // Of the language models that call their projections so, Gemma 2 and later alone have a norm in front of the inner layer.
    let key = keys.all().find(|key| key.contains("layers.0.self_attn.q_proj.") && !key.contains("encoder.layers."));
    let key = key.filter(|_| found(&"layers.0.pre_feedforward_layernorm.").is_none())?;
    let title = if found(&"visual.blocks.0.").is_some() { "Qwen-VL" } else { "Llama, Qwen, Mistral or Gemma-1" };
    let sign = format!("it has the key {key}, and no pre_feedforward_layernorm as Gemma 2 and later have");
    Some(Foreign::new(format!("{title} language model"), sign, NO_GEMMA))
}

/// What to take instead of a model of that title.
fn instead_of(title: &str) -> &'static str {
    if title == T5 { WITH_T5 } else { NO_LTX }
}

/// Whose model a class of diffusers is.
pub(super) fn of_class(class: &str) -> &str {
    let heads = [
        ("Wan", "Wan"),
        ("Hunyuan", "HunyuanVideo"),
        ("Flux", "Flux"),
        ("StableDiffusion", "Stable Diffusion"),
        ("CogVideo", "CogVideoX"),
        ("Mochi", "Mochi"),
        ("Qwen", "Qwen-Image"),
        ("Cosmos", "Cosmos"),
    ];
    heads.iter().find(|(head, _)| class.starts_with(head)).map_or("a model that is not LTX", |(_, name)| name)
}
