//! What tells the weights of one set of files from another's, for what was computed with them and is kept: names, shapes, stored
//! types, size and time of change of every file, and samples of the bytes. A large file is not read whole.
//!
//! Must not know what is kept, or how the parts are digested.

use crate::{
    TensorSet,
    weight_file::{Entry, WeightFile},
};
use ltx_nn::{NnError, Result};
use std::{collections::BTreeSet, time::UNIX_EPOCH};

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
            let Entry { shape, stored, range, plus_one, beside: _ } = entry;
            sink(format!("{key} {shape:?} {stored:?} {plus_one} {}\n", range.len()).as_bytes());
            sample((key, file, entry), sink)?;
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

fn sample((key, file, entry): (&str, &WeightFile, &Entry), sink: &mut dyn FnMut(&[u8])) -> Result<()> {
    let length = entry.range.len();
    let mut read = |start: usize, bytes: usize| {
        let mut buffer = vec![0; bytes];
        file.read((key, entry), start, &mut buffer)?;
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
    use std::{fs, path::Path, time::Duration};

    fn identity(path: &Path, wanted: impl Fn(&str) -> bool) -> Vec<u8> {
        let mut all = Vec::new();
        TensorSet::open_file(path).unwrap().identify(wanted, &mut |piece| all.extend(piece)).unwrap();
        all
    }

    #[test]
    fn a_copy_is_the_same_and_a_change_of_bytes_or_of_time_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let original = ltx_testkit::tiny("gemma/model.safetensors");
        let time = fs::metadata(&original).unwrap().modified().unwrap();
        let copied = |name: &str, change: &dyn Fn(&mut Vec<u8>), later: u64| {
            let path = folder.path().join(name);
            let mut bytes = fs::read(&original).unwrap();
            change(&mut bytes);
            fs::write(&path, bytes).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(time + Duration::from_nanos(later)).unwrap();
            path
        };
        let all = |_: &str| true;
        let expected = identity(&original, all);
        assert_eq!(identity(&copied("moved.safetensors", &|_| {}, 0), all), expected);
        assert_ne!(identity(&copied("touched.safetensors", &|_| {}, 1), all), expected);
        // The last byte belongs to a tensor of this file, whichever it is.
        let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
        let changed = copied("changed.safetensors", &flip, 0);
        assert_ne!(identity(&changed, all), expected);
        assert!(identity(&changed, |key| key.contains("embed_tokens")).len() < expected.len());
    }
}
