//! A damaged file, opened and read with the allocator counted: it is read, or refused with a typed error that names it, in no more
//! memory than its bytes allow.
//!
//! Must not know formats.

use ltx_nn::{Compute, NnError, Vb};
use ltx_testkit::fuzz::{Edit, Verdict, damaged};
use ltx_weights::{Stored, TensorSet, WeightsError};
use peak_alloc::PeakAlloc;
use std::{cell::Cell, fs, path::PathBuf, sync::Arc};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What the message, paths and maps of a handful of keys may take beside the file's bytes.
const SMALL: usize = 16 << 10;
/// Values in f32 take at most so many times the bytes they are stored in (IQ1_S has 1.6 bits), tiles that are copied included.
const WIDENED: usize = 24;
/// A matrix as it is packed takes at most so many: of a float type it becomes f32, and a group of one value has a scale of four.
const PACKED: usize = 6;

/// The most bytes allocated at once while `work` ran, beyond those that were before.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let done = work();
    (done, ALLOCATED.peak_usage().saturating_sub(before))
}

/// A good file.
pub(crate) struct Good {
    pub(crate) file: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Good {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { bytes: fs::read(&file).unwrap(), file }
    }
}

/// Opens a file of these bytes and reads all it offers; `must` says which error there has to be, if any.
pub(crate) fn tried(good: &Good, bytes: &[u8], must: Option<&dyn Fn(&WeightsError) -> bool>) -> Verdict {
    fs::write(&good.file, bytes).unwrap();
    let (opened, took) = peak(|| TensorSet::open_file(&good.file));
    assert!(took <= bytes.len() + 2 * SMALL, "opening {} bytes took {took}", bytes.len());
    let name = good.file.file_name().unwrap().to_str().unwrap();
    let set = match opened {
        Err(error) => {
            assert!(error.to_string().contains(name), "{error}");
            assert!(must.is_none_or(|must| must(&error)), "another error: {error}");
            return Verdict::Refused;
        }
        Ok(set) => Arc::new(set),
    };
    assert!(must.is_none(), "it was taken");
    let keys: Vec<(String, Vec<usize>)> =
        set.keys().filter_map(|key| Some((key.to_owned(), set.shape_of(key)?.to_vec()))).collect();
    let vb = Vb::new(Arc::new(Stored(set)), Compute::cpu_f32());
    let named = |error: Option<NnError>| match error {
        Some(error @ (NnError::WrongDType { .. } | NnError::Unreadable { .. })) => {
            assert!(error.to_string().contains(name), "{error}")
        }
        Some(error) => panic!("{error}"),
        None => {}
    };
    for (key, shape) in keys {
        let (read, took) = peak(|| vb.tensor(&key, &shape).err());
        assert!(took <= WIDENED * bytes.len() + SMALL, "{key} {shape:?} took {took} of {}", bytes.len());
        named(read);
        if let [outputs, inputs] = shape[..]
            && key.ends_with(".weight")
        {
            let (read, took) = peak(|| vb.matrix(&key, [outputs, inputs]).err());
            assert!(took <= PACKED * bytes.len() + SMALL, "{key} {shape:?} as a matrix took {took} of {}", bytes.len());
            named(read);
        }
    }
    Verdict::Accepted
}

/// The same; where it must be refused, with the right error.
pub(crate) fn tried_as(good: &Good, bytes: &[u8], must: bool, right: impl Fn(&WeightsError) -> bool) -> Verdict {
    tried(good, bytes, must.then_some(&right as &dyn Fn(&WeightsError) -> bool))
}

/// The edits, every second time within the header, where they hurt most.
pub(crate) fn anywhere(good: &Good, header: usize, turn: &Cell<usize>, edits: &[Edit]) -> Verdict {
    turn.set(turn.get() + 1);
    let bytes = match turn.get() % 2 {
        0 => damaged(good.bytes.clone(), edits),
        _ => [damaged(good.bytes[..header].to_vec(), edits), good.bytes[header..].to_vec()].concat(),
    };
    tried(good, &bytes, None)
}
