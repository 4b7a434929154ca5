//! What tells one set of weights from another: SHA-256 over headers and sizes at once, over the whole checkpoint later.
//!
//! Must not know what the headers say, nor how a GGUF's is read: whoever reads weights says how long it is.

use ltx_policy::WeightFingerprint;
use ltx_types::{LoraChoice, LoraStrengths, ModelFiles};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The most bytes of a safetensors header that are read; a longer one is not a header.
const HEADER_BYTES: u64 = 100 << 20;

/// What PEFT calls the configuration beside an adapter that it saved.
const BESIDE_A_LORA: &str = "adapter_config.json";

/// The fingerprint that needs no weights, of headers and sizes. `gguf_header` says how many bytes of a GGUF file are its header.
///
/// # Errors
/// A file cannot be read.
pub fn of_headers(files: &ModelFiles, gguf_header: impl Fn(&Path) -> io::Result<u64>) -> io::Result<WeightFingerprint> {
    let (mut digest, mut total_bytes) = (Sha256::new(), 0);
    for (path, strengths) in all(files)? {
        let mut file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name.as_bytes());
        digest.update(bytes.to_le_bytes());
        if let Some(strengths) = strengths {
            add(&mut digest, strengths);
        }
        let named = |wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
        if named("safetensors") {
            let mut length = [0; 8];
            file.read_exact(&mut length)?;
            let length = u64::from_le_bytes(length).min(HEADER_BYTES);
            io::copy(&mut file.take(length), &mut digest)?;
        } else if named("gguf") {
            let length = gguf_header(&path)?;
            io::copy(&mut file.take(length), &mut digest)?;
        } else if name == BESIDE_A_LORA {
            io::copy(&mut file.take(HEADER_BYTES), &mut digest)?;
        }
        total_bytes += bytes;
    }
    Ok(WeightFingerprint { header_sha256: format!("{:x}", digest.finalize()), file_sha256: None, total_bytes })
}

/// SHA-256 of the checkpoint's bytes, of its files one after the other, then of each LoRA file's and its strength's. Takes minutes
/// for a large one.
///
/// # Errors
/// A file cannot be read.
pub fn of_contents(files: &ModelFiles) -> io::Result<String> {
    let mut digest = Sha256::new();
    for file in files.checkpoint_files() {
        io::copy(&mut File::open(file)?, &mut digest)?;
    }
    for LoraChoice { path, strengths, .. } in files.loras.iter().filter(|lora| !is_left_out(lora)) {
        io::copy(&mut File::open(path)?, &mut digest)?;
        if let Some(config) = beside(path) {
            io::copy(&mut File::open(config)?, &mut digest)?;
        }
        add(&mut digest, *strengths);
    }
    Ok(format!("{:x}", digest.finalize()))
}

/// Adds the strengths of a LoRA: one where both stages have the same.
fn add(digest: &mut Sha256, strengths: LoraStrengths) {
    digest.update(strengths.first.to_le_bytes());
    if strengths.differ() {
        digest.update(strengths.second.to_le_bytes());
    }
}

/// A LoRA of the second stage alone that is not here: clips of one stage do without it.
fn is_left_out(lora: &LoraChoice) -> bool {
    lora.is_of_second_stage() && !lora.path.exists()
}

/// PEFT's configuration beside an adapter that it saved, which says how strongly its pairs count.
fn beside(lora: &Path) -> Option<PathBuf> {
    let named = lora.file_name().is_some_and(|name| name == "adapter_model.safetensors");
    Some(lora.with_file_name(BESIDE_A_LORA)).filter(|config| named && config.is_file())
}

/// Checkpoint and components, text encoder's files by name, upscaler, LoRA files with their strengths.
fn all(files: &ModelFiles) -> io::Result<Vec<(PathBuf, Option<LoraStrengths>)>> {
    let with_encoder = |encoder: Vec<PathBuf>| {
        let named = files.checkpoint_files().into_iter().chain(encoder).chain(files.upscaler.clone());
        let loras = files.loras.iter().filter(|lora| !is_left_out(lora)).flat_map(|lora| {
            let config = beside(&lora.path).map(|path| (path, None));
            std::iter::once((lora.path.clone(), Some(lora.strengths))).chain(config)
        });
        named.map(|path| (path, None)).chain(loras).collect()
    };
    let mut encoder = Vec::new();
    if files.text_encoder.is_file() {
        let beside = ["config.json", "tokenizer.json"].map(|name| files.text_encoder.with_file_name(name));
        encoder.extend(beside.into_iter().filter(|path| path.is_file()));
        encoder.push(files.text_encoder.clone());
        return Ok(with_encoder(encoder));
    }
    for entry in fs::read_dir(&files.text_encoder)? {
        let path = entry?.path();
        // Others may be put beside them: a folder of a hub's cache is shared with other programs.
        let read =
            path.extension().is_some_and(|kind| ["json", "safetensors", "gguf"].iter().any(|known| kind == *known));
        if read && path.is_file() {
            encoder.push(path);
        }
    }
    encoder.sort();
    Ok(with_encoder(encoder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_is_another_fingerprint() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
        let files = |upscaler| ModelFiles {
            checkpoint: models.join("ltx-2.3-tiny-dev.safetensors"),
            components: vec![],
            text_encoder: models.join("gemma"),
            upscaler,
            loras: vec![],
        };
        let of = |files: &ModelFiles| of_headers(files, |_| Err(io::Error::other("no file here is a GGUF")));
        let without = of(&files(None)).unwrap();
        let with = of(&files(Some(models.join("ltx-2.3-tiny-spatial-upscaler-x2.safetensors")))).unwrap();
        assert_eq!(without.header_sha256.len(), 64);
        assert_ne!(without.header_sha256, with.header_sha256);
        assert_eq!(of(&files(None)).unwrap(), without);
        assert!(with.total_bytes > without.total_bytes);
        assert_eq!(of_contents(&files(None)).unwrap().len(), 64);
        // Any file of weights will do: neither its keys nor its shapes are looked at here.
        let path = models.join("gemma/model.safetensors");
        let lora = |first, second| {
            let strengths = LoraStrengths { first, second };
            ModelFiles { loras: vec![LoraChoice::at(&path, strengths)], ..files(None) }
        };
        let (half, full, later) = (lora(0.5, 0.5), lora(1.0, 1.0), lora(0.5, 1.0));
        for other in [&half, &full] {
            assert_ne!(of(other).unwrap().header_sha256, of(&later).unwrap().header_sha256);
            assert_ne!(of_contents(other).unwrap(), of_contents(&later).unwrap());
        }
        assert_ne!(of(&half).unwrap().header_sha256, without.header_sha256);
        assert_ne!(of(&half).unwrap().header_sha256, of(&full).unwrap().header_sha256);
        assert_ne!(of_contents(&half).unwrap(), of_contents(&full).unwrap());
    }
}
