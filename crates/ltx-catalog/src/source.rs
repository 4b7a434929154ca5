//! Where a file or a folder is published, and which of its files are wanted.
//!
//! Must not know where they lie here.

use ltx_hub::{HubError, RepoFile, Repository, Revision, is_file_path};
use std::{collections::BTreeSet, fmt, path::Path};

/// A file, or a folder's files, in a repository of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The repository.
    pub repository: Repository,
    /// The branch, tag or commit.
    pub revision: Revision,
    /// What of it.
    pub wanted: Wanted,
}

/// What is wanted of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// One file, by its path in the repository.
    File(String),
    /// The files of a folder, which is the repository's own: names, in which `*` stands for any characters.
    Files(Vec<String>),
}

impl Source {
    /// The source of one file.
    ///
    /// # Errors
    /// A name that no hub can have.
    pub fn file(repository: &str, revision: &str, path: &str) -> Result<Self, HubError> {
        let (repository, revision) = (Repository::new(repository)?, Revision::new(revision)?);
        let file = RepoFile::new(repository, revision, path)?;
        Ok(Self { repository: file.repository, revision: file.revision, wanted: Wanted::File(file.path) })
    }

    /// The source of a folder.
    ///
    /// # Errors
    /// A name that no hub can have, or a pattern that is none.
    pub fn folder(repository: &str, revision: &str, patterns: Vec<String>) -> Result<Self, HubError> {
        let rule = "not a file's name; files lists names in the repository's own folder, with * for any characters";
        let bad = patterns.iter().find(|pattern| pattern.contains('/') || !is_file_path(pattern));
        if patterns.is_empty() || bad.is_some() {
            return Err(HubError::Name { what: "files", found: bad.cloned().unwrap_or_default(), rule });
        }
        let (repository, revision) = (Repository::new(repository)?, Revision::new(revision)?);
        Ok(Self { repository, revision, wanted: Wanted::Files(patterns) })
    }

    /// The file at a path of the same repository and revision.
    ///
    /// # Errors
    /// The path is none.
    pub fn at(&self, path: &str) -> Result<RepoFile, HubError> {
        RepoFile::new(self.repository.clone(), self.revision.clone(), path)
    }

    /// The name that it is published under: the file's, or the repository's.
    pub fn published_name(&self) -> &str {
        match &self.wanted {
            Wanted::File(path) => path.rsplit('/').next().unwrap_or(path),
            Wanted::Files(_) => self.repository.name(),
        }
    }

    /// Of a list of names, those that are wanted; or the first pattern that none fits.
    ///
    /// # Errors
    /// The pattern.
    pub fn choose<'a>(&self, names: &'a [String]) -> Result<Vec<&'a str>, String> {
        let patterns = match &self.wanted {
            Wanted::File(path) => std::slice::from_ref(path),
            Wanted::Files(patterns) => patterns,
        };
        let mut chosen = BTreeSet::new();
        for pattern in patterns {
            let before = chosen.len();
            chosen.extend(names.iter().map(String::as_str).filter(|name| fits(pattern, name)));
            if chosen.len() == before && !names.iter().any(|name| fits(pattern, name)) {
                return Err(pattern.clone());
            }
        }
        Ok(chosen.into_iter().collect())
    }

    /// Whether a folder has all files that are wanted, as far as names say: every pattern is met, and of `…-00001-of-00005…`
    /// there are five.
    pub fn is_whole_in(&self, folder: &Path) -> bool {
        let Ok(entries) = folder.read_dir() else { return false };
        let files = entries.flatten().filter(|entry| entry.path().is_file());
        let names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        self.choose(&names).is_ok_and(|chosen| shards_are_whole(&chosen))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wanted {
            Wanted::File(path) => write!(f, "{}/{path}", self.repository),
            Wanted::Files(_) => write!(f, "{}", self.repository),
        }
    }
}

/// Whether a name is one that the pattern stands for; `*` is any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| fits(tail, &rest[at..]))
}

pub(crate) fn shards_are_whole(names: &[&str]) -> bool {
    let place = |name: &str| {
        let (before, after) = name.rsplit_once("-of-")?;
        let (head, number) = before.rsplit_once('-')?;
        let digits = after.chars().take_while(char::is_ascii_digit).count();
        let of: u32 = after[..digits].parse().ok()?;
        let number: u32 = number.parse().ok()?;
        Some((head.to_owned(), of, number))
    };
    let found: BTreeSet<_> = names.iter().filter_map(|name| place(name)).collect();
    let sets: BTreeSet<_> = found.iter().map(|(head, of, _)| (head.clone(), *of)).collect();
    sets.iter().all(|(head, of)| {
        let here = found.iter().filter(|(h, o, n)| h == head && o == of && (1..=*of).contains(n)).count();
        here == *of as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fit) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("model*.safetensors", "model-00001-of-00002.safetensors", true),
            ("model*.safetensors", "model.safetensors.index.json", false),
            ("*b*", "abc", true),
            ("*é", "né", true),
            ("**", "", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }

    #[test]
    fn a_folder_is_whole_when_every_shard_is_there() {
        let source = Source::folder("o/n", "main", vec!["config.json".into(), "model*.safetensors".into()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut expected = [false, false, false, true].into_iter();
        for name in [
            "config.json",
            "model-00001-of-00003.safetensors",
            "model-00003-of-00003.safetensors",
            "model-00002-of-00003.safetensors",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
            assert_eq!(source.is_whole_in(folder.path()), expected.next().unwrap(), "{name}");
        }
    }

    #[test]
    fn a_pattern_that_nothing_fits_is_named() {
        let source = Source::folder("o/n", "main", vec!["a*".into(), "b".into()]).unwrap();
        let names = ["a1".to_owned(), "a2".to_owned(), "c".to_owned()];
        assert_eq!(source.choose(&names), Err("b".to_owned()));
        assert!(Source::folder("o/n", "main", vec!["../x".into()]).is_err());
        assert!(Source::folder("o/n", "main", vec![]).is_err());
        assert!(Source::file("o/n", "main", "/etc/passwd").is_err());
    }
}
