//! Files that another program keeps, found by their published names and used where they are.
//!
//! Must not know what else could be done about a file that is not here.

use crate::{Result, Source, Wanted, kept};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

const HEAD: &str = "# Written by `ltxd pull --from`: files that other programs keep, used where they are.\n\n";

/// How deep a folder is searched, and how many entries of it are looked at.
const DEPTH: usize = 8;
const ENTRIES: usize = 200_000;

/// Where files were found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    #[serde(default)]
    found: Vec<Place>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    repository: String,
    /// The path in the repository; nothing for a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    path: PathBuf,
    /// Its size when it was found; another size is another file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl Found {
    /// Reads the record; one that is not there has nothing.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(file: &Path) -> Result<Self> {
        kept::read(file)
    }

    /// Takes up what another record has of what this one has not.
    pub fn extend(&mut self, other: Self) {
        self.found.extend(other.found);
    }

    /// Where a source was found, if that is still so.
    pub fn place(&self, source: &Source) -> Option<PathBuf> {
        let file = file_of(source);
        let mut of_it =
            self.found.iter().filter(|place| place.repository == source.repository.as_str() && place.file == file);
        let still = |place: &&Place| match place.bytes {
            Some(bytes) => place.path.metadata().is_ok_and(|there| there.is_file() && there.len() == bytes),
            None => source.is_whole_in(&place.path),
        };
        of_it.find(still).map(|place| place.path.clone())
    }

    /// Notes where a source was found, in the record's file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(record: &Path, source: &Source, path: &Path) -> Result<()> {
        let bytes = path.metadata().ok().filter(fs::Metadata::is_file).map(|there| there.len());
        let place =
            Place { repository: source.repository.to_string(), file: file_of(source), path: path.to_owned(), bytes };
        kept::change(record, HEAD, |found: &mut Self| {
            found.found.retain(|other| other.repository != place.repository || other.file != place.file);
            found.found.push(place);
        })
    }
}

fn file_of(source: &Source) -> Option<String> {
    match &source.wanted {
        Wanted::File(path) => Some(path.clone()),
        Wanted::Files(_) => None,
    }
}

/// Everything under a folder, to be asked for by name.
#[derive(Debug, Default)]
pub struct Search {
    files: Vec<(String, PathBuf, u64)>,
    folders: Vec<(String, PathBuf)>,
    /// Whether there was more than is looked at.
    pub is_cut: bool,
}

impl Search {
    /// Looks at a folder of another program: ComfyUI's, LTX-Desktop's, or any with models in it.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let folder = fs::canonicalize(folder)?;
        fs::read_dir(&folder)?;
        let mut search = Self::default();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        search.folders.push((name, folder.clone()));
        let (mut seen, mut left) = (HashSet::new(), vec![(folder, 0)]);
        while let Some((folder, depth)) = left.pop() {
            // Programs' folders of models are often links; a circle of them ends here.
            let Ok(real) = fs::canonicalize(&folder) else { continue };
            if !seen.insert(real) {
                continue;
            }
            if depth > DEPTH || search.files.len() + search.folders.len() > ENTRIES {
                search.is_cut = true;
                continue;
            }
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let (path, Ok(name)) = (entry.path(), entry.file_name().into_string()) else { continue };
                match fs::metadata(&path) {
                    Ok(there) if there.is_dir() && !name.starts_with('.') => {
                        search.folders.push((name, path.clone()));
                        left.push((path, depth + 1));
                    }
                    Ok(there) if there.is_file() => search.files.push((name, path, there.len())),
                    _ => {}
                }
            }
        }
        search.files.sort();
        search.folders.sort();
        Ok(search)
    }

    /// Files or whole folders with a source's published name; of one file that has several names, one.
    pub fn candidates(&self, source: &Source) -> Vec<(PathBuf, u64)> {
        let name = source.published_name();
        let mut found: Vec<(PathBuf, u64)> = match source.wanted {
            Wanted::File(_) => {
                let named = self.files.iter().filter(|(found, ..)| found == name);
                named.map(|(_, path, bytes)| (path.clone(), *bytes)).collect()
            }
            Wanted::Files(_) => {
                let named = self.folders.iter().filter(|(found, path)| found == name && source.is_whole_in(path));
                named.map(|(_, path)| (path.clone(), 0)).collect()
            }
        };
        let mut seen = HashSet::new();
        found.retain(|(path, _)| fs::canonicalize(path).is_ok_and(|real| seen.insert(real)));
        found
    }
}
