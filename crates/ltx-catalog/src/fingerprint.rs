//! What tells one set of weights from another: SHA-256 over headers and sizes at once, over the whole checkpoint later.
//!
//! Must not know what the headers say, nor how a GGUF's is read: whoever reads weights says how long it is.

use ltx_policy::WeightFingerprint;
use ltx_types::{LoraChoice, ModelFiles};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The most bytes of a safetensors header that are read; a longer one is not a header.
const HEADER_BYTES: u64 = 100 << 20;

/// The fingerprint that needs no weights, of headers and sizes. `gguf_header` says how many bytes of a GGUF file are its header.
///
/// # Errors
/// A file cannot be read.
pub fn of_headers(files: &ModelFiles, gguf_header: impl Fn(&Path) -> io::Result<u64>) -> io::Result<WeightFingerprint> {
    let (mut digest, mut total_bytes) = (Sha256::new(), 0);
    for (path, strength) in all(files)? {
        let mut file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name.as_bytes());
        digest.update(bytes.to_le_bytes());
        if let Some(strength) = strength {
            digest.update(strength.to_le_bytes());
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
    for LoraChoice { path, strength } in &files.loras {
        io::copy(&mut File::open(path)?, &mut digest)?;
        digest.update(strength.to_le_bytes());
    }
    Ok(format!("{:x}", digest.finalize()))
}

/// Checkpoint and components, text encoder's files by name, upscaler, LoRA files with their strengths.
fn all(files: &ModelFiles) -> io::Result<Vec<(PathBuf, Option<f32>)>> {
    let with_encoder = |encoder: Vec<PathBuf>| {
        let named = files.checkpoint_files().into_iter().chain(encoder).chain(files.upscaler.clone());
        let loras = files.loras.iter().map(|lora| (lora.path.clone(), Some(lora.strength)));
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
        if path.is_file() {
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
        let lora = |strength| ModelFiles { loras: vec![LoraChoice { path: path.clone(), strength }], ..files(None) };
        let (half, full) = (lora(0.5), lora(1.0));
        assert_ne!(of(&half).unwrap().header_sha256, without.header_sha256);
        assert_ne!(of(&half).unwrap().header_sha256, of(&full).unwrap().header_sha256);
        assert_ne!(of_contents(&half).unwrap(), of_contents(&full).unwrap());
    }
}
