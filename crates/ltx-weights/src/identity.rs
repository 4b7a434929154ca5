//! What tells the weights of one set of files from another's, for what was computed with them and is kept: names, shapes, stored
//! types, size and time of change of every file, and samples of the bytes, scales in a tensor of their own included. A large file is
//! not read whole.
//!
//! Must not know what is kept, or how the parts are digested.

use crate::{
    TensorSet,
    quantised::Beside,
    weight_file::{Entry, WeightFile},
};
use ltx_nn::{NnError, Result};
use std::{collections::BTreeSet, ops::Range, time::UNIX_EPOCH};

/// Tensors of at most so many bytes are sampled whole.
const WHOLE: usize = 3 * SAMPLE;
/// Bytes at the beginning, in the middle and at the end of a larger one.
const SAMPLE: usize = 16 << 10;

impl TensorSet {
    /// Tells `sink` everything by which the tensors whose keys are wanted differ from another set's, piece by piece, in the order
    /// of their keys. A file that was changed in place differs by its time of change, whatever changed in it.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn identify(&self, wanted: impl Fn(&str) -> bool, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut files = BTreeSet::new();
        for key in self.keys().filter(|key| wanted(key)) {
            let Some((file, entry)) = self.entry(key) else { continue };
            if files.insert(file.path.clone()) {
                identify_file(file, key, sink)?;
            }
            let Entry { shape, stored, range, plus_one, beside } = entry;
            sink(format!("{key} {shape:?} {stored:?} {plus_one} {}\n", range.len()).as_bytes());
            sample((key, file, range), sink)?;
            if let Some(scales) = beside {
                let Beside { key, range, kind, order, upper_first } = &**scales;
                sink(format!("{key} {kind:?} {order:?} {upper_first} {}\n", range.len()).as_bytes());
                sample((key, file, range), sink)?;
            }
        }
        Ok(())
    }
}

/// Size and time of change. Not the path: a file that was moved with its time is the same.
fn identify_file(file: &WeightFile, key: &str, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
    let unreadable = |source| NnError::Unreadable { file: file.path.clone(), key: key.to_owned(), source };
    let metadata = file.map.metadata().map_err(unreadable)?;
    let changed = metadata.modified().map_err(unreadable)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    sink(format!("file {} {}\n", metadata.len(), changed.as_nanos()).as_bytes());
    Ok(())
}

fn sample((key, file, range): (&str, &WeightFile, &Range<usize>), sink: &mut dyn FnMut(&[u8])) -> Result<()> {
    let length = range.len();
    let mut read = |start: usize, bytes: usize| {
        let mut buffer = vec![0; bytes];
        file.read_at((key, range.start + start), &mut buffer)?;
        sink(&buffer);
        Ok(())
    };
    if length <= WHOLE {
        return read(0, length);
    }
    [0, (length - SAMPLE) / 2, length - SAMPLE].into_iter().try_for_each(|start| read(start, SAMPLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        path::{Path, PathBuf},
        time::Duration,
    };

    fn identity(path: &Path, wanted: impl Fn(&str) -> bool) -> Vec<u8> {
        let mut all = Vec::new();
        TensorSet::open_file(path).unwrap().identify(wanted, &mut |piece| all.extend(piece)).unwrap();
        all
    }

    /// A copy in a folder whose bytes may be others, changed so many nanoseconds later than the original.
    fn copied(original: &Path, folder: &Path, change: impl Fn(&mut Vec<u8>), later: u64) -> PathBuf {
        let path = folder.join("copy.safetensors");
        let mut bytes = fs::read(original).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let time = fs::metadata(original).unwrap().modified().unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time + Duration::from_nanos(later)).unwrap();
        path
    }

    #[test]
    fn a_copy_is_the_same_and_a_change_of_bytes_or_of_time_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let original = ltx_testkit::tiny("gemma/model.safetensors");
        let copied = |change: &dyn Fn(&mut Vec<u8>), later| copied(&original, folder.path(), change, later);
        let all = |_: &str| true;
        let expected = identity(&original, all);
        assert_eq!(identity(&copied(&|_| {}, 0), all), expected);
        assert_ne!(identity(&copied(&|_| {}, 1), all), expected);
        // The last byte belongs to a tensor of this file, whichever it is.
        let changed = copied(&|bytes| *bytes.last_mut().unwrap() ^= 1, 0);
        assert_ne!(identity(&changed, all), expected);
        assert!(identity(&changed, |key| key.contains("embed_tokens")).len() < expected.len());
    }

    #[test]
    fn scales_that_lie_beside_their_weights_decide_too() {
        let folder = tempfile::tempdir().unwrap();
        let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
        for name in ["plain_nvfp4", "plain_mxfp8", "int8"] {
            let original = formats.join(name).with_extension("safetensors");
            let set = TensorSet::open_file(&original).unwrap();
            let beside = |key: &str| Some(set.entry(key)?.1.beside.as_ref()?.range.clone());
            let (key, scales) = set.keys().find_map(|key| Some((key, beside(key)?))).unwrap();
            let changed = copied(&original, folder.path(), |bytes| bytes[scales.end - 1] ^= 1, 0);
            let of = |path: &Path| identity(path, |other| other == key);
            assert_ne!(of(&changed), of(&original), "{name}: {key}");
        }
    }
}
