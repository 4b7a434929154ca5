//! The rates of this machine, kept from one run to the next in a file beside other things that can be made again.
//!
//! Must not know how a rate is measured, or what is forecast with it.

use crate::build;
use ltx_files::{Durable, PartialFile};
use ltx_nn::{Compute, EightBitProducts, gpu_name, threads};
use ltx_types::Rates;
use procfs::{CpuInfo, Current};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// The file's name in its folder.
const NAME: &str = "rates.json";
/// Keys that are kept at most: programs, devices, precisions. With more, the file begins anew.
const KEYS: usize = 16;

/// What tells this program on this machine, as it computes, from another one whose rates may differ.
pub(crate) fn key(compute: &Compute) -> String {
    let Compute { device, dtype, eight_bit, kernels, graphs } = compute;
    let place = gpu_name(device).unwrap_or_else(|| {
        let processors = CpuInfo::current().ok();
        processors.and_then(|processors| processors.model_name(0).map(str::to_owned)).unwrap_or_default()
    });
    let precision = match eight_bit {
        EightBitProducts::Never => dtype.as_str(),
        EightBitProducts::WherePacked => "auto",
        EightBitProducts::Always => "int8",
    };
    let (stamp, threads, graphs) = (build::stamp(), threads(), if *graphs { ", graphs" } else { "" });
    let (level, cuda) = (kernels.level.name(), kernels.cuda);
    match device.is_cpu() {
        true => format!("{stamp}; {place}, {level}, {threads} threads; {precision}"),
        false => format!("{stamp}; {place}, {cuda}{graphs}; {precision}"),
    }
}

/// Where rates are kept, by their keys.
#[derive(Debug, Clone)]
pub(crate) struct RatesFile(PathBuf);

impl RatesFile {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self(folder.join(NAME))
    }

    /// The rates of a key; none where none are kept, or what is there cannot be read: they are measured again then.
    pub(crate) fn read(&self, key: &str) -> Rates {
        self.all().remove(key).unwrap_or_default()
    }

    /// Keeps the rates of a key.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub(crate) fn keep(&self, key: &str, rates: &Rates) -> io::Result<()> {
        let mut all = self.all();
        if all.len() >= KEYS && !all.contains_key(key) {
            all.clear();
        }
        all.insert(key.to_owned(), rates.clone());
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = PartialFile::beside(&self.0)?;
        file.file().write_all(serde_json::to_string_pretty(&all)?.as_bytes())?;
        file.publish(Durable::Nothing)
    }

    fn all(&self) -> BTreeMap<String, Rates> {
        let read = fs::read(&self.0).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_types::Unit;

    #[test]
    fn rates_are_found_again_by_their_key_alone_and_a_broken_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = RatesFile::in_folder(&folder.path().join("new"));
        let rates = Rates::default().and(Unit::Product("panels".into()), 1.5e11).and(Unit::Call, 1e5);
        assert_eq!(file.read("a"), Rates::default());
        file.keep("a", &rates).unwrap();
        file.keep("b", &Rates::default()).unwrap();
        assert_eq!((file.read("a"), file.read("c")), (rates.clone(), Rates::default()));
        fs::write(&file.0, "{").unwrap();
        assert_eq!(file.read("a"), Rates::default());
        file.keep("a", &rates).unwrap();
        (0..KEYS).for_each(|i| file.keep(&i.to_string(), &rates).unwrap());
        assert_eq!((file.read("a"), file.all().len()), (Rates::default(), 1), "it began anew");
    }

    #[test]
    fn another_precision_has_another_key() {
        let [plain, rounded] = [EightBitProducts::Never, EightBitProducts::Always]
            .map(|eight_bit| key(&Compute { eight_bit, ..Compute::cpu_f32() }));
        assert!(plain != rounded && plain.contains(" threads; ") && plain == key(&Compute::cpu_f32()));
    }
}
