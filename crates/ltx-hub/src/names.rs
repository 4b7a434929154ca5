//! Names on a hub: repositories, revisions, paths in them; checked, because they become names of files here.
//!
//! Must not know where a cache lies.

use crate::{HubError, Result};
use std::fmt;

const LONGEST: usize = 500;

/// `OWNER/NAME`, or `NAME` of the few repositories without an owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

/// A branch, a tag or a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(String);

/// One file of a repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepoFile {
    /// The repository.
    pub repository: Repository,
    /// The revision.
    pub revision: Revision,
    /// The path in it, with `/`.
    pub path: String,
}

fn is_word(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty()
        && !text.starts_with('.')
        && !text.contains("..")
        && !text.contains("--")
        && text.chars().all(legal)
}

/// Whether a text is a path of a file in a repository: relative, of plain components, without `..`.
pub fn is_file_path(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0', ':']);
    path.len() <= LONGEST && path.split('/').all(plain) && !path.chars().any(char::is_control)
}

impl Repository {
    /// # Errors
    /// It is no `OWNER/NAME`.
    pub fn new(text: &str) -> Result<Self> {
        let legal = text.len() <= LONGEST && text.split('/').count() <= 2 && text.split('/').all(is_word);
        let rule = "not a repository; one is called OWNER/NAME";
        let bad = || HubError::Name { what: "repository", found: text.to_owned(), rule };
        legal.then(|| Self(text.to_owned())).ok_or_else(bad)
    }

    /// `OWNER/NAME`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `NAME`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder's name in a cache: `models--OWNER--NAME`.
    pub fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }
}

impl Revision {
    /// # Errors
    /// It is no name of a branch, a tag or a commit.
    pub fn new(text: &str) -> Result<Self> {
        let plain = |part: &str| is_word(&part.replace("--", "-"));
        let legal = text.len() <= LONGEST && text.split('/').all(plain);
        let rule = "not a revision; one is a branch (main), a tag, or a commit of 40 hexadecimal digits";
        let bad = || HubError::Name { what: "revision", found: text.to_owned(), rule };
        legal.then(|| Self(text.to_owned())).ok_or_else(bad)
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names one state for ever.
    pub fn is_commit(&self) -> bool {
        is_commit(&self.0)
    }
}

/// Whether a text is a commit's full name.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether an etag can be the name of a blob.
#[cfg(any(feature = "client", test))]
pub(crate) fn is_etag(text: &str) -> bool {
    text.len() <= 200 && is_word(&text.replace("--", "-"))
}

impl RepoFile {
    /// # Errors
    /// The path is none.
    pub fn new(repository: Repository, revision: Revision, path: &str) -> Result<Self> {
        if !is_file_path(path) {
            let rule = "not a path in a repository; one is relative, with / between plain names";
            return Err(HubError::Name { what: "path", found: path.to_owned(), rule });
        }
        Ok(Self { repository, revision, path: path.to_owned() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RepoFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.repository, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_cache_are_refused() {
        for good in ["Lightricks/LTX-2.3", "gpt2", "a_b/c.d-e"] {
            assert!(Repository::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "../x", "a/../b", "a/b/c", "a//b", "a b/c", "a/.b", "a--b/c", "a\\b/c", "é/x"] {
            assert!(Repository::new(bad).is_err(), "{bad}");
        }
        for good in ["main", "refs/pr/1", "v1.0", "d62fe4f1995ade703b49a0f3c0d0f161237ef437", "a--b"] {
            assert!(Revision::new(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/../b", "/main", "main/", "a b", "~x", ".git"] {
            assert!(Revision::new(bad).is_err(), "{bad}");
        }
        for bad in ["", "/a", "a/", "../a", "a/../b", "a//b", "./a", "a\\b", "a\nb", "c:d"] {
            assert!(!is_file_path(bad), "{bad}");
        }
        for good in ["a", "a b/c.safetensors", "vae/é.gguf", ".gitattributes"] {
            assert!(is_file_path(good), "{good}");
        }
        assert!(is_etag("e3b0c442") && is_etag("5f-2") && !is_etag("../x") && !is_etag("") && !is_etag("a/b"));
    }
}
