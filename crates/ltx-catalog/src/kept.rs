//! Small TOML files that ltxd itself writes: read, and changed in one step while no other process changes them.
//!
//! Must not know what stands in them.

use crate::{CatalogError, Result};
use ltx_files::{Durable, PartialFile};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io::{self, Write},
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
    // A file of its own, open for writing: the record is replaced, and network file systems lock nothing that is open for reading.
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let guard = File::options().create(true).truncate(false).write(true).open(folder.join(format!(".{name}.held")));
    let held = guard.and_then(|guard| guard.lock().map(|()| guard)).map_err(failed)?;
    let mut value: T = read(file)?;
    change(&mut value);
    let text = toml::to_string_pretty(&value).map_err(|error| failed(io::Error::other(error)))?;
    let partial = PartialFile::beside(file).map_err(failed)?;
    partial.file().write_all(format!("{head}{text}").as_bytes()).map_err(failed)?;
    partial.publish(Durable::Bytes).map_err(failed)?;
    drop(held);
    Ok(())
}
