//! Taps: named intermediate tensors, recorded for the goldens and free of cost when nobody listens.
//!
//! Must not know what the tensors are compared with.

use crate::Result;
use candle_core::Tensor;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

type Recorded = BTreeMap<String, Vec<Tensor>>;

/// A handle to a recorder, with a prefix and a suffix for the names.
#[derive(Debug, Clone, Default)]
pub struct Taps {
    recorder: Option<Arc<Mutex<Recorded>>>,
    prefix: String,
    suffix: String,
}

impl Taps {
    /// Records nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Records everything.
    pub fn on() -> Self {
        Self { recorder: Some(Arc::default()), ..Self::default() }
    }

    /// Whether anybody listens.
    pub fn is_on(&self) -> bool {
        self.recorder.is_some()
    }

    /// The same recorder, with `prefix` put before further names.
    #[must_use]
    pub fn within(&self, prefix: impl AsRef<str>) -> Self {
        if !self.is_on() {
            return Self::off();
        }
        Self { prefix: format!("{}{}", self.prefix, prefix.as_ref()), ..self.clone() }
    }

    /// The same recorder, with `suffix` put after further names.
    #[must_use]
    pub fn ending(&self, suffix: impl Into<String>) -> Self {
        if self.is_on() { Self { suffix: suffix.into(), ..self.clone() } } else { Self::off() }
    }

    /// Records what `tensor` computes; not called when nobody listens. A name recorded again is a further batch entry.
    ///
    /// # Errors
    /// `tensor` failed.
    pub fn record(&self, name: &str, tensor: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        if let Some(recorder) = &self.recorder {
            let key = format!("{}{name}{}", self.prefix, self.suffix);
            let tensor = tensor()?;
            recorder.lock().entry(key).or_default().push(tensor);
        }
        Ok(())
    }

    /// Everything recorded, entries of one name joined along dimension 0.
    ///
    /// # Errors
    /// Entries of one name do not fit together.
    pub fn into_tensors(self) -> Result<BTreeMap<String, Tensor>> {
        let Some(recorder) = self.recorder else { return Ok(BTreeMap::new()) };
        let recorded = std::mem::take(&mut *recorder.lock());
        let join = |(name, entries): (String, Vec<Tensor>)| Ok((name, Tensor::cat(&entries, 0)?));
        recorded.into_iter().map(join).collect()
    }
}
