//! What the tests share: a mark, a folder that goes away, the stored data, distances.

#![allow(dead_code, reason = "each test file uses its own part")]

use ltx_policy::{Ask, ModelIdentity, ModelNames, PolicyConfig, UsageMark, WeightFingerprint, admit};
use ltx_types::{
    Defaults, FramePosition, ImageInput, ImageSource, ModelRules, Overrides, Schedule, Seed, Strength, UnixMillis,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// A mark, got the only way there is: through `admit`.
pub(crate) fn mark() -> UsageMark {
    let source = ImageSource::Bytes([0u8; 4].as_slice().into());
    let image = ImageInput { source, position: FramePosition::First, strength: Strength::FULL };
    let said = Overrides { width: Some(64), height: Some(64), frames: Some(17), ..Overrides::default() };
    let said = Overrides { seed: Some(Seed(42)), ..said };
    let draft = Defaults::official(Schedule::Distilled).fill(said, "a lake".into(), vec![image]);
    let config = PolicyConfig::new(ModelNames::new(vec![], []));
    let admitted = admit(&Ask::default(), draft, &config).unwrap().check(&ModelRules::LTX).unwrap();
    let weights =
        WeightFingerprint { header_sha256: "1a".repeat(32), file_sha256: Some("2b".repeat(32)), total_bytes: 46 << 30 };
    let model = ModelIdentity {
        name: "ltx-2.3-distilled".into(),
        version: "2.3".into(),
        weights,
        eight_bit: false,
        diffusion_decoder: false,
    };
    admitted.mark(&model, "Knoten-ß 1").completed(&"3c".repeat(32), Some(UnixMillis(0)))
}

/// A folder of its own for one test, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ltx-media-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Every name inside, hidden ones too, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The path of a stored file. A test whose data is missing fails when it reads it.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Little-endian f32 values of a stored file.
pub(crate) fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

/// ‖got − want‖ / ‖want‖.
pub(crate) fn relative_l2(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |x: f64| x * x;
    let difference: f64 = got.iter().zip(want).map(|(&g, &w)| square(f64::from(g) - f64::from(w))).sum();
    let norm: f64 = want.iter().map(|&w| square(f64::from(w))).sum();
    (difference / norm).sqrt()
}

/// A frame that moves: a gradient whose phase depends on `index`.
pub(crate) fn gradient(width: usize, height: usize, index: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            rgb.extend([(x * 255 / width) as u8, (y * 255 / height) as u8, (64 + index * 8 % 128) as u8]);
        }
    }
    rgb
}

/// A frame that compresses badly (xorshift).
pub(crate) fn noise(width: usize, height: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..width * height * 3).map(|_| next()).collect()
}
