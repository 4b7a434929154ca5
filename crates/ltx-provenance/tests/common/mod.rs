//! What the tests share: a mark, a small clip, credentials of one's own, folders that are made anew.

#![allow(dead_code, reason = "each test file uses its own part")]

use ltx_media::{FrameWriter, MediaError, Mp4Writer, Seal};
use ltx_policy::{Ask, ModelIdentity, ModelNames, PolicyConfig, UsageMark, WeightFingerprint, admit};
use ltx_provenance::{Credentials, Input, Mode, ProvenanceSettings};
use ltx_types::{
    Defaults, FramePosition, FrameRate, ImageInput, ImageSource, ModelRules, Overrides, PixelShape, Schedule, Seed,
    Strength, UnixMillis,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A mark, got the only way there is: through `admit`.
pub(crate) fn mark() -> UsageMark {
    let source = ImageSource::Bytes([0u8; 4].as_slice().into());
    let image = ImageInput { source, position: FramePosition::First, strength: Strength::FULL };
    let said =
        Overrides { width: Some(64), height: Some(64), frames: Some(17), seed: Some(Seed(42)), ..Overrides::default() };
    let draft = Defaults::official(Schedule::Distilled).fill(said, "a lake".into(), vec![image]);
    let config = PolicyConfig::new(ModelNames::new(vec![], []));
    let admitted = admit(&Ask::default(), draft, &config).unwrap().check(&ModelRules::LTX).unwrap();
    let weights = WeightFingerprint { header_sha256: "1a".repeat(32), file_sha256: None, total_bytes: 46 << 30 };
    let model =
        ModelIdentity { name: "ltx-2.3 <distilled> & co".into(), version: "2.3".into(), weights, eight_bit: false };
    admitted.mark(&model, "Knoten-ß 1").completed(&"3c".repeat(32), Some(UnixMillis(0)))
}

pub(crate) fn inputs() -> Vec<Input> {
    vec![Input { role: "start image".into(), frame: 0, sha256: "ab".repeat(32), media_type: "image/png".into() }]
}

/// A certificate of one's own, no time-stamps.
pub(crate) fn settings() -> ProvenanceSettings {
    ProvenanceSettings {
        mode: Mode::Required,
        certificate: PathBuf::new(),
        key: PathBuf::new(),
        folder: PathBuf::new(),
        timestamp_url: String::new(),
    }
}

pub(crate) fn credentials(folder: &Path) -> Credentials {
    Credentials::open(&settings(), (folder, "ltxd test"), None).unwrap()
}

/// Nine frames of 64 by 48.
pub(crate) fn clip(path: &Path, seal: Option<Arc<dyn Seal>>) -> Result<(), MediaError> {
    let shape = PixelShape { width: 64, height: 48 };
    let mut writer = Box::new(Mp4Writer::create(path, shape, FrameRate::new(24.0).unwrap())?.sealed_by(seal));
    for frame in 0..9_usize {
        let rgb: Vec<u8> = (0..64 * 48 * 3).map(|n| (n * (frame + 3) % 251) as u8).collect();
        writer.write(&rgb)?;
    }
    writer.finish(&mark())
}

/// An empty folder of this test's.
pub(crate) fn temporary(name: &str) -> PathBuf {
    let folder = PathBuf::from(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("/tmp")).join(format!("provenance-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}
