//! Formats that are recognised and not read: each is refused once, by its name, with what to take instead.
//!
//! Must not know how other formats are read.

use crate::{Result, WeightsError, weight_file::Header};
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

/// Words in keys of formats that state themselves by nothing else.
const KEYS: [(&str, &str); 6] = [
    (".quant_state.bitsandbytes__nf4", "NF4 of bitsandbytes"),
    (".quant_state.bitsandbytes__fp4", "FP4 of bitsandbytes"),
    (".SCB", "8-bit integers of bitsandbytes"),
    (".wscales", "SVDQuant (Nunchaku)"),
    (".qzeros", "GPTQ or AWQ"),
    (".qweight", "GPTQ, AWQ or SVDQuant"),
];

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
    Ok(())
}
