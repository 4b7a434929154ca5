//! The tiny checkpoint's weights, the goldens as tensors, and how far one may be from the other.
//!
//! Must not know requests or the queue.

use crate::{data, tiny};
use candle_core::{Device, Tensor};
use ltx_nn::{Compute, Taps, Vb, relative_l2};
use ltx_weights::{Stored, TensorSet};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What a single layer may deviate by, relative L2.
pub const LAYER: f64 = 1e-4;

/// The tensors of a golden file.
///
/// # Panics
/// The file is not there or not readable.
pub fn goldens(name: &str) -> HashMap<String, Tensor> {
    let file = data(name);
    candle_core::safetensors::load(&file, &Device::Cpu).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The tiny checkpoint's configuration section `section`, and its weights in f32.
///
/// # Panics
/// The checkpoint is not there.
pub fn checkpoint() -> (TensorSet, Vb) {
    (open("ltx-2.3-tiny-dev.safetensors"), vb("ltx-2.3-tiny-dev.safetensors"))
}

/// The weights of a file in `models/tiny`, in f32.
///
/// # Panics
/// The file is not there.
pub fn vb(name: &str) -> Vb {
    Vb::new(Arc::new(Stored(Arc::new(open(name)))), Compute::cpu_f32())
}

/// A file in `models/tiny`.
///
/// # Panics
/// The file is not there.
pub fn open(name: &str) -> TensorSet {
    TensorSet::open_file(&tiny(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// Compares everything recorded with the goldens of the same name; each of `names` must be in both.
///
/// # Panics
/// A name is missing, or a tensor deviates by more than `tolerance`.
pub fn assert_taps(taps: Taps, goldens: &HashMap<String, Tensor>, names: &[&str], tolerance: f64) {
    let found: BTreeMap<String, Tensor> = taps.into_tensors().unwrap();
    for name in names {
        let tap = found.get(*name).unwrap_or_else(|| panic!("{name} was not recorded; recorded: {:?}", found.keys()));
        let golden = goldens.get(*name).unwrap_or_else(|| panic!("{name} is not among the goldens"));
        assert_close(name, tap, golden, tolerance);
    }
}

/// Compares two tensors.
///
/// # Panics
/// They deviate by more than `tolerance`.
pub fn assert_close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let error = relative_l2(found, expected).unwrap_or_else(|error| panic!("{name}: {error}"));
    println!("{name}: {error:.2e}");
    assert!(error <= tolerance, "{name}: relative L2 error {error:.2e}, at most {tolerance:.0e}");
}
