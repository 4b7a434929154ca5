//! Small TOML files that ltxd itself writes: read, and changed in one step while no other process changes them.
//!
//! Must not know what stands in them.

use crate::{CatalogError, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// A file that is not there is an empty one.
pub(crate) fn read<T: DeserializeOwned + Default>(file: &Path) -> Result<T> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(T::default());
        }
        Err(source) => return Err(CatalogError::Read { file: file.to_owned(), source }),
    };
    toml::from_str(&text).map_err(|source| CatalogError::BadRecord { file: file.to_owned(), source: Box::new(source) })
}

pub(crate) fn change<T: Serialize + DeserializeOwned + Default>(
    file: &Path,
    head: &str,
    change: impl FnOnce(&mut T),
) -> Result<()> {
    let failed = |source| CatalogError::Write { file: file.to_owned(), source };
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    // The folder itself is the lock: no further file is left behind.
    let held = File::open(folder).and_then(|folder| folder.lock().map(|()| folder)).map_err(failed)?;
    let mut value: T = read(file)?;
    change(&mut value);
    let text = toml::to_string_pretty(&value).map_err(|error| failed(io::Error::other(error)))?;
    let beside = file.with_extension("new");
    fs::write(&beside, format!("{head}{text}")).and_then(|()| fs::rename(&beside, file)).map_err(failed)?;
    drop(held);
    Ok(())
}
