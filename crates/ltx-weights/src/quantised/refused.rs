//! Formats that are recognised and not read: each is refused once, by its name, with what to take instead.
//!
//! Must not know how other formats are read.

use crate::{
    Result, WeightsError,
    weight_file::{Entry, Header, StoredType},
};
use ltx_types::words;
use std::path::Path;

/// What to take in place of a format that is not read.
const INSTEAD: &str =
    "take the same model in BF16, in F8_E4M3, NVFP4, MXFP8 or INT8 as ComfyUI writes them, or as a GGUF file";

/// Formats that ComfyUI and tools around it state.
const STATED: [(&str, &str); 6] = [
    ("convrot_w4a4", "rotated 4-bit integers"),
    ("asym_w4a8_int8", "4-bit numbers of a code book"),
    ("awq_w4a16", "4-bit integers with zeros"),
    ("svdquant_w4a4", "4-bit integers with a branch of low rank"),
    ("hybrid_mxfp8", "two formats in one"),
    ("int8_lodewise", "8-bit integers"),
];

/// Ends of keys of formats that state themselves by nothing else. The first that a file has names it.
const KEYS: [(&str, &str); 24] = [
    (".quant_state.bitsandbytes__nf4", "NF4 of bitsandbytes"),
    (".quant_state.bitsandbytes__fp4", "FP4 of bitsandbytes"),
    (".weight.absmax", "4-bit numbers of bitsandbytes"),
    (".weight.quant_map", "4-bit numbers of bitsandbytes"),
    (".SCB", "8-bit integers of bitsandbytes"),
    (".wscales", "SVDQuant (Nunchaku)"),
    (".qzeros", "GPTQ or AWQ"),
    (".g_idx", "GPTQ"),
    (".qweight", "GPTQ, AWQ or SVDQuant"),
    (".weight_packed", "compressed-tensors, packed"),
    (".weight_shape", "compressed-tensors, packed"),
    ("._data", "optimum-quanto"),
    ("weight_qdata", "torchao"),
    (":qdata", "torchao"),
    (".W_q", "HQQ"),
    (".codebooks", "AQLM"),
    (".Qidxs", "QuIP#"),
    (".q_weight", "EXL2"),
    (".trellis", "EXL3"),
    (".weight_zero_point", "integers with zero points (compressed-tensors, torchao)"),
    (".weight_zp", "integers with zero points"),
    (".zero_point", "integers with zero points"),
    (".weight_codebook", "numbers of a code book"),
    ("_weight_scale_and_zero", "integers with zero points (torchao)"),
];

/// Formats that a tensor beside another shows: the ends of both, the type of the first, and the name.
const PAIRS: [(&str, &str, &str, &str); 2] =
    [(".weight", ".scales", "U32", "MLX"), ("_blocks", "_scales", "U8", "MXFP4 as transformers stores it")];

/// Words in the last part of a key by which it is for a quantised weight.
const OF_SCALES: [&str; 9] = ["scale", "scales", "scaling", "wscale", "wscales", "zero", "zeros", "absmax", "codebook"];

/// The refusal of a format.
pub(super) fn format(path: &Path, key: &str, format: &str) -> WeightsError {
    let known = STATED.iter().find(|(name, _)| *name == format);
    let format = known.map_or_else(|| format.to_owned(), |(name, what)| format!("{name} ({what})"));
    WeightsError::UnreadFormat { file: path.to_owned(), key: key.to_owned(), format, instead: INSTEAD }
}

/// Refuses a file that the names of its tensors show to be of a format that is not read.
pub(super) fn by_keys(path: &Path, header: &Header) -> Result<()> {
    for (word, name) in KEYS {
        if let Some(key) = header.entries.keys().find(|key| key.ends_with(word)) {
            return Err(format(path, key, name));
        }
    }
    for (first, second, stored, name) in PAIRS {
        let is_one = |(key, entry): &(&String, &Entry)| {
            let beside = key.strip_suffix(first).map(|stem| format!("{stem}{second}"));
            entry.stored.name() == stored && beside.is_some_and(|beside| header.entries.contains_key(&beside))
        };
        if let Some((key, _)) = header.entries.iter().find(is_one) {
            return Err(format(path, key, name));
        }
    }
    Ok(())
}

/// Refuses a file with scales, or what else is of quantised weights, under a name that no format here has. What is read has been taken
/// out of its entries before.
pub(super) fn by_scales(path: &Path, header: &Header) -> Result<()> {
    for key in header.entries.keys() {
        let Some((parent, last)) = key.rsplit_once('.') else { continue };
        if ["weight", "bias"].contains(&last) || !words(last).iter().any(|word| OF_SCALES.contains(&word.as_str())) {
            continue;
        }
        let own = parent.ends_with(".weight").then(|| parent.to_owned());
        let weight = own.unwrap_or_else(|| format!("{parent}.weight"));
        let narrow = header.entries.get(&weight).filter(|entry| !matches!(entry.stored, StoredType::Float(_)));
        if let Some(weight) = narrow {
            return Err(format(path, key, &format!("{} with {last} beside it", weight.stored.name())));
        }
    }
    Ok(())
}
