//! The tiny model in the files and names under which people hold LTX-2.3 and Gemma-3: component files, GGUF, one file with a
//! packed tokenizer.
//!
//! Must not know what is run on them.

use super::{
    files::{checkpoint, gemma, repository},
    gguf::{self, Entry},
    safetensors::{File, Tensor},
};
use serde_json::{Map, Value};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where official keys of the transformer begin.
pub(crate) const ROOT: &str = "model.diffusion_model.";

/// The tiny checkpoint.
pub(crate) fn tiny() -> File {
    File::read(checkpoint())
}

/// What a file of the tests' data holds.
pub(crate) fn data(name: &str) -> PathBuf {
    repository(&format!("crates/ltx-testkit/data/cases/{name}"))
}

/// Tensors whose keys begin with `prefix`, without it.
pub(crate) fn under(file: &File, prefix: &str) -> Vec<Tensor> {
    let renamed = |tensor: &Tensor| Some(Tensor { key: tensor.key.strip_prefix(prefix)?.to_owned(), ..tensor.clone() });
    file.tensors.iter().filter_map(renamed).collect()
}

/// The published parts: transformer alone, connectors with the text projection, and VAE, without official prefixes where
/// publishers leave them out.
pub(crate) struct Parts {
    pub(crate) transformer: Vec<Tensor>,
    pub(crate) connectors: Vec<Tensor>,
    pub(crate) projection: Vec<Tensor>,
    pub(crate) vae: Vec<Tensor>,
    pub(crate) config: Value,
}

pub(crate) fn parts() -> Parts {
    let tiny = tiny();
    let is_connector = |tensor: &Tensor| tensor.key.contains("embeddings_connector.");
    let (connectors, transformer) = under(&tiny, ROOT).into_iter().partition(is_connector);
    let projection = tiny.tensors.iter().filter(|tensor| tensor.key.starts_with("text_embedding_projection."));
    let config = tiny.metadata["config"].as_str().expect("a configuration");
    Parts {
        transformer,
        connectors,
        projection: projection.cloned().collect(),
        vae: under(&tiny, "vae."),
        config: serde_json::from_str(config).expect("JSON"),
    }
}

/// Writes a safetensors file; its configuration, if it states one, is the metadata entry `config`.
pub(crate) fn write(folder: &Path, name: &str, tensors: Vec<Tensor>, config: Option<&Value>) -> String {
    let mut metadata = Map::new();
    metadata.insert("format".into(), "pt".into());
    if let Some(config) = config {
        metadata.insert("config".into(), config.to_string().into());
    }
    write_as(folder, name, tensors, metadata)
}

/// The same with this metadata.
pub(crate) fn write_as(folder: &Path, name: &str, tensors: Vec<Tensor>, metadata: Map<String, Value>) -> String {
    save(folder, name, &File { metadata, tensors }.to_bytes())
}

/// Writes a file, its folder with it.
pub(crate) fn save(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a new folder");
    fs::write(&path, bytes).expect("room for a file");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A Gemma folder's language model in llama.cpp's names, its norms with the 1 that the model adds.
pub(crate) fn llama_tensors(folder: &Path) -> Vec<Tensor> {
    let names = [
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "post_attention_norm"),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    let name = |key: &str| -> String {
        match key {
            "embed_tokens.weight" => return "token_embd.weight".to_owned(),
            "norm.weight" => return "output_norm.weight".to_owned(),
            _ => {}
        }
        let (layer, rest) = key.strip_prefix("layers.").and_then(|rest| rest.split_once('.')).expect("a layer's key");
        let rest = rest.strip_suffix(".weight").expect("a weight");
        let (_, theirs) = names.iter().find(|(official, _)| *official == rest).expect("a known name");
        format!("blk.{layer}.{theirs}.weight")
    };
    let tensor = |Tensor { key, dtype, shape, bytes }: Tensor| {
        if !key.ends_with("norm.weight") {
            return Tensor { key: name(&key), dtype, shape, bytes };
        }
        assert_eq!(dtype, "BF16", "{key}");
        let plus_one = |pair: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*pair)) << 16) + 1.0;
        let bytes = bytes.as_chunks::<2>().0.iter().flat_map(|pair| plus_one(pair).to_le_bytes()).collect();
        Tensor { key: name(&key), dtype: "F32".into(), shape, bytes }
    };
    under(&File::read(folder.join("model.safetensors")), "language_model.model.").into_iter().map(tensor).collect()
}

/// A piece of a Gemma folder's tokenizer, as a sentencepiece model has it: text, score, and 1 to 6 for its kind.
pub(crate) fn pieces(folder: &Path) -> Vec<(String, f32, i32)> {
    let json: Value =
        serde_json::from_slice(&fs::read(folder.join("tokenizer.json")).expect("a tokenizer")).expect("JSON");
    let special: Vec<&str> =
        json["added_tokens"].as_array().expect("a list").iter().filter_map(|token| token["content"].as_str()).collect();
    let mut pieces: Vec<(u64, String)> = json["model"]["vocab"]
        .as_object()
        .expect("a vocabulary")
        .iter()
        .map(|(text, id)| (id.as_u64().expect("an id"), text.clone()))
        .collect();
    pieces.sort();
    let piece = |(id, text): (u64, String)| {
        let kind = match text.as_str() {
            "<unk>" => 2,
            text if special.contains(&text) => 3,
            text if text.len() == 6 && text.starts_with("<0x") => 6,
            _ => 1,
        };
        (text, if kind == 1 { -(id as f32) } else { -1000.0 }, kind)
    };
    pieces.into_iter().map(piece).collect()
}

/// What llama.cpp's converter writes of a Gemma folder: `gemma3.*` and the tokenizer.
pub(crate) fn llama_metadata(folder: &Path) -> Vec<(&'static str, Entry)> {
    let json: Value =
        serde_json::from_slice(&fs::read(folder.join("config.json")).expect("a configuration")).expect("JSON");
    let config = &json["text_config"];
    let number = |entry: &str| config[entry].as_f64().expect("a number");
    let whole = |entry: &str| Entry::Whole(number(entry) as u32);
    let pieces = pieces(folder);
    vec![
        ("general.architecture", Entry::Text("gemma3".into())),
        ("gemma3.context_length", Entry::Whole(131_072)),
        ("gemma3.embedding_length", whole("hidden_size")),
        ("gemma3.block_count", whole("num_hidden_layers")),
        ("gemma3.feed_forward_length", whole("intermediate_size")),
        ("gemma3.attention.head_count", whole("num_attention_heads")),
        ("gemma3.attention.head_count_kv", whole("num_key_value_heads")),
        ("gemma3.attention.key_length", whole("head_dim")),
        ("gemma3.attention.value_length", whole("head_dim")),
        ("gemma3.attention.layer_norm_rms_epsilon", Entry::Real(1e-6)),
        ("gemma3.attention.sliding_window", whole("sliding_window")),
        ("gemma3.attention.sliding_window_pattern", whole("sliding_window_pattern")),
        ("gemma3.attention.scale", Entry::Real(number("query_pre_attn_scalar").powf(-0.5) as f32)),
        ("gemma3.rope.freq_base", Entry::Real(1e6)),
        ("gemma3.rope.scaling.type", Entry::Text("linear".into())),
        ("gemma3.rope.scaling.factor", Entry::Real(8.0)),
        ("tokenizer.ggml.model", Entry::Text("llama".into())),
        ("tokenizer.ggml.pre", Entry::Text("default".into())),
        ("tokenizer.ggml.tokens", Entry::Texts(pieces.iter().map(|(text, ..)| text.clone()).collect())),
        ("tokenizer.ggml.scores", Entry::Reals(pieces.iter().map(|(_, score, _)| *score).collect())),
        ("tokenizer.ggml.token_type", Entry::Numbers(pieces.iter().map(|(_, _, kind)| *kind).collect())),
        ("tokenizer.ggml.bos_token_id", Entry::Whole(2)),
        ("tokenizer.ggml.eos_token_id", Entry::Whole(1)),
        ("tokenizer.ggml.unknown_token_id", Entry::Whole(3)),
        ("tokenizer.ggml.padding_token_id", Entry::Whole(0)),
        ("tokenizer.ggml.add_bos_token", Entry::Truth(true)),
        ("tokenizer.ggml.add_eos_token", Entry::Truth(false)),
        ("tokenizer.ggml.add_space_prefix", Entry::Truth(false)),
        ("tokenizer.chat_template", Entry::Text("{{ messages }}".into())),
    ]
}

/// A GGUF file of a Gemma folder, as llama.cpp's converter writes it.
pub(crate) fn llama_gguf(folder: &Path) -> Vec<u8> {
    gguf::file(&llama_metadata(folder), &llama_tensors(folder))
}

/// What lies beside a language model for images.
pub(crate) fn mmproj() -> Vec<u8> {
    let metadata =
        [("general.architecture", Entry::Text("clip".into())), ("clip.has_vision_encoder", Entry::Truth(true))];
    let tensor = |key: &str| Tensor { key: key.into(), dtype: "F32".into(), shape: vec![1], bytes: vec![0; 4] };
    gguf::file(&metadata, &[tensor("v.blk.0.attn_q.weight"), tensor("mm.input_projection.weight")])
}

/// One safetensors file of the tiny Gemma as ComfyUI has it: short keys and a packed sentencepiece model.
pub(crate) fn one_file() -> Vec<u8> {
    let folder = PathBuf::from(gemma());
    let mut tensors = under(&File::read(folder.join("model.safetensors")), "language_model.");
    let packed = one_file_pieces();
    let shape = vec![packed.len() as u64];
    tensors.push(Tensor { key: "spiece_model".into(), dtype: "U8".into(), shape, bytes: packed });
    File { metadata: Map::new(), tensors }.to_bytes()
}

/// The sentencepiece model that it has.
pub(crate) fn one_file_pieces() -> Vec<u8> {
    sentencepiece(&pieces(Path::new(&gemma())))
}

/// A sentencepiece model, in protobuf.
fn sentencepiece(pieces: &[(String, f32, i32)]) -> Vec<u8> {
    fn varint(out: &mut Vec<u8>, mut number: usize) {
        while number > 127 {
            out.push(number as u8 | 128);
            number >>= 7;
        }
        out.push(number as u8);
    }
    fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
        out.push(tag << 3 | 2);
        varint(out, body.len());
        out.extend(body);
    }
    let mut out = Vec::new();
    for (text, score, kind) in pieces {
        let mut piece = Vec::new();
        message(&mut piece, 1, text.as_bytes());
        piece.push(2 << 3 | 5);
        piece.extend(score.to_le_bytes());
        piece.extend([3 << 3, *kind as u8]);
        message(&mut out, 1, &piece);
    }
    message(&mut out, 2, &[3 << 3, 2]);
    message(&mut out, 3, &[3 << 3, 0, 4 << 3, 0]);
    out
}
