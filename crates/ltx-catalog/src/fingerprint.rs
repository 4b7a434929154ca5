//! What tells one set of weights from another: SHA-256 over headers and sizes at once, over the whole checkpoint later.
//!
//! Must not know what the headers say, nor how a GGUF's is read: whoever reads weights says how long it is.

use ltx_files::AdapterConfig;
use ltx_policy::WeightFingerprint;
use ltx_types::{LoraChoice, LoraStrengths, LoraUse, ModelFiles, Stages};
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

/// What requests of a model have in common of its fingerprint, and what each of its LoRA files adds where it counts: the mark of a
/// clip tells of the weights that made it, whichever other LoRAs the model lists.
#[derive(Debug, Clone)]
pub struct Fingerprints {
    headers: Sha256,
    contents: Option<Sha256>,
    bytes: u64,
    loras: Vec<LoraPrint>,
}

/// A LoRA file that is here.
#[derive(Debug, Clone)]
struct LoraPrint {
    choice: LoraChoice,
    header: [u8; 32],
    content: Option<[u8; 32]>,
    bytes: u64,
}

impl Fingerprints {
    /// From headers and sizes; no weight is read. `gguf_header` says how many bytes of a GGUF file are its header.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of_headers(files: &ModelFiles, gguf_header: impl Fn(&Path) -> io::Result<u64>) -> io::Result<Self> {
        let (mut headers, mut bytes) = (Sha256::new(), 0);
        for path in always(files)? {
            bytes += add_header(&mut headers, &path, &gguf_header)?;
        }
        let here = files.loras.iter().filter(|lora| !is_left_out(lora));
        let print = |choice: &LoraChoice| {
            let (mut header, mut bytes) = (Sha256::new(), 0);
            for path in files_of(&choice.path) {
                bytes += add_header(&mut header, &path, &gguf_header)?;
            }
            let header = header.finalize().into();
            Ok::<_, io::Error>(LoraPrint { choice: choice.clone(), header, content: None, bytes })
        };
        let loras = here.map(print).collect::<io::Result<_>>()?;
        Ok(Self { headers, contents: None, bytes, loras })
    }

    /// The same with the SHA-256 of the checkpoint's bytes, of its files one after the other, and of each LoRA file's. Takes minutes
    /// for a large one.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn with_contents(mut self, files: &ModelFiles) -> io::Result<Self> {
        let mut contents = Sha256::new();
        for file in files.checkpoint_files() {
            io::copy(&mut File::open(file)?, &mut contents)?;
        }
        for lora in &mut self.loras {
            let mut content = Sha256::new();
            for path in files_of(&lora.choice.path) {
                io::copy(&mut File::open(path)?, &mut content)?;
            }
            lora.content = Some(content.finalize().into());
        }
        self.contents = Some(contents);
        Ok(self)
    }

    /// The fingerprint of a clip's weights: with the LoRAs that count in its stages, `used` those that its request names.
    pub fn of(&self, stages: Stages, used: &[LoraUse]) -> WeightFingerprint {
        let (mut headers, mut contents, mut total_bytes) = (self.headers.clone(), self.contents.clone(), self.bytes);
        for lora in &self.loras {
            let Some(strengths) = counting(&lora.choice, stages, used) else { continue };
            headers.update(lora.header);
            add(&mut headers, strengths);
            if let (Some(contents), Some(content)) = (&mut contents, lora.content) {
                contents.update(content);
                add(contents, strengths);
            }
            total_bytes += lora.bytes;
        }
        WeightFingerprint {
            header_sha256: format!("{:x}", headers.finalize()),
            file_sha256: contents.map(|contents| format!("{:x}", contents.finalize())),
            total_bytes,
        }
    }
}

/// How strongly a LoRA counts in a clip, if it does. Where there is one stage nobody reads the second strength.
fn counting(lora: &LoraChoice, stages: Stages, used: &[LoraUse]) -> Option<LoraStrengths> {
    let strengths = match &lora.name {
        Some(name) => used.iter().find(|used| used.name == *name)?.strengths(lora.strengths),
        None => lora.strengths,
    };
    let strengths = match stages {
        Stages::One => LoraStrengths::both(strengths.first),
        Stages::Two => strengths,
    };
    Some(strengths).filter(|strengths| !strengths.are_nought())
}

/// Adds a file's name, size and header; returns its size.
fn add_header(digest: &mut Sha256, path: &Path, gguf_header: impl Fn(&Path) -> io::Result<u64>) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    digest.update((name.len() as u64).to_le_bytes());
    digest.update(name.as_bytes());
    digest.update(bytes.to_le_bytes());
    let named = |wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
    if named("safetensors") {
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length).min(HEADER_BYTES);
        io::copy(&mut file.take(length), digest)?;
    } else if named("gguf") {
        let length = gguf_header(path)?;
        io::copy(&mut file.take(length), digest)?;
    } else if name == BESIDE_A_LORA {
        io::copy(&mut file.take(HEADER_BYTES), digest)?;
    }
    Ok(bytes)
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

/// A LoRA's file, and PEFT's configuration beside it where that is the file's, which says how strongly its pairs count.
fn files_of(lora: &Path) -> Vec<PathBuf> {
    let config = AdapterConfig::beside(lora).and_then(AdapterConfig::path);
    std::iter::once(lora.to_owned()).chain(config).collect()
}

/// Checkpoint and components, text encoder's files by name, upscaler: what every clip is made with.
fn always(files: &ModelFiles) -> io::Result<Vec<PathBuf>> {
    let mut encoder = Vec::new();
    if files.text_encoder.is_file() {
        let beside = ["config.json", "tokenizer.json"].map(|name| files.text_encoder.with_file_name(name));
        encoder.extend(beside.into_iter().filter(|path| path.is_file()));
        encoder.push(files.text_encoder.clone());
    } else {
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
    }
    Ok(files.checkpoint_files().into_iter().chain(encoder).chain(files.upscaler.clone()).collect())
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
        let prints = |files: &ModelFiles| {
            let headers = Fingerprints::of_headers(files, |_| Err(io::Error::other("no file here is a GGUF"))).unwrap();
            headers.with_contents(files).unwrap()
        };
        let of = |files: &ModelFiles| prints(files).of(Stages::Two, &[]);
        let without = of(&files(None));
        let with = of(&files(Some(models.join("ltx-2.3-tiny-spatial-upscaler-x2.safetensors"))));
        assert_eq!(without.header_sha256.len(), 64);
        assert_ne!(without.header_sha256, with.header_sha256);
        assert_eq!(of(&files(None)), without);
        assert!(with.total_bytes > without.total_bytes);
        assert_eq!(without.file_sha256.as_ref().map(String::len), Some(64));
        // Any file of weights will do: neither its keys nor its shapes are looked at here.
        let path = models.join("gemma/model.safetensors");
        let lora = |first, second| {
            let strengths = LoraStrengths { first, second };
            ModelFiles { loras: vec![LoraChoice::at(&path, strengths)], ..files(None) }
        };
        let digests = |files: &ModelFiles, stages| {
            let found = prints(files).of(stages, &[]);
            (found.header_sha256, found.file_sha256)
        };
        let all = [lora(0.5, 0.5), lora(1.0, 1.0), lora(0.5, 1.0), files(None)];
        for (i, one) in all.iter().enumerate() {
            for other in &all[..i] {
                let (one, other) = (digests(one, Stages::Two), digests(other, Stages::Two));
                assert!(one.0 != other.0 && one.1 != other.1);
            }
        }
        // What nobody reads tells no weights from others.
        assert_eq!(digests(&all[0], Stages::One), digests(&all[2], Stages::One));
        assert_eq!(digests(&lora(0.0, 1.0), Stages::One), digests(&files(None), Stages::One));

        // A model that lists LoRAs by name, and one whose files are those that a request names alone.
        let named = |name: &str, first| LoraChoice { name: Some(name.to_owned()), ..LoraChoice::new(&path, first) };
        let listed = ModelFiles { loras: vec![named("a", 1.0), named("b", 0.5), named("c", 1.0)], ..files(None) };
        let alone = ModelFiles { loras: vec![named("b", 0.5)], ..files(None) };
        let used = [LoraUse { name: "b".to_owned(), strength: Some(0.75), stage_2_strength: None }];
        for stages in [Stages::One, Stages::Two] {
            assert_eq!(prints(&listed).of(stages, &used), prints(&alone).of(stages, &used));
            assert_eq!(prints(&listed).of(stages, &[]), of(&files(None)));
            assert_ne!(prints(&listed).of(stages, &used), of(&files(None)));
        }
    }

    #[test]
    fn pefts_configuration_counts_where_it_is_the_files() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
        let weights = models.join("gemma/model.safetensors");
        let digest = |own: &str, others: &[&str], config: &str| {
            let folder = tempfile::tempdir().unwrap();
            for name in others.iter().chain([&own]) {
                fs::copy(&weights, folder.path().join(name)).unwrap();
            }
            fs::write(folder.path().join("adapter_config.json"), config).unwrap();
            let files = ModelFiles {
                checkpoint: models.join("ltx-2.3-tiny-dev.safetensors"),
                components: vec![],
                text_encoder: models.join("gemma"),
                upscaler: None,
                loras: vec![LoraChoice::new(folder.path().join(own), 1.0)],
            };
            let headers =
                Fingerprints::of_headers(&files, |_| Err(io::Error::other("no file here is a GGUF"))).unwrap();
            headers.of(Stages::One, &[]).header_sha256
        };
        for (own, others, counts) in [
            ("adapter_model.safetensors", &["other.safetensors"][..], true),
            ("my.safetensors", &[], true),
            ("my.safetensors", &["other.safetensors"], false),
            ("my.safetensors", &["adapter_model.safetensors"], false),
        ] {
            let [one, two] = [r#"{"lora_alpha": 1}"#, r#"{"lora_alpha": 2}"#].map(|config| digest(own, others, config));
            assert_eq!(one != two, counts, "{own} beside {others:?}");
        }
    }
}
