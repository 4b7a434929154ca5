//! Digests as a hub names files by: SHA-256 of what lies in large-file storage, the Git blob's SHA-1 of everything else.
//!
//! Must not know where a digest came from.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// What a file's bytes must add up to; lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256 of the bytes.
    Sha256(String),
    /// SHA-1 of `blob <length>\0` and the bytes.
    GitSha1(String),
}

impl Digest {
    /// The digest that an etag is; nothing where it is another kind of etag.
    pub fn of_etag(etag: &str) -> Option<Self> {
        let hexadecimal = etag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match etag.len() {
            64 if hexadecimal => Some(Self::Sha256(etag.to_owned())),
            40 if hexadecimal => Some(Self::GitSha1(etag.to_owned())),
            _ => None,
        }
    }

    /// Its digits.
    pub fn hex(&self) -> &str {
        let (Self::Sha256(hex) | Self::GitSha1(hex)) = self;
        hex
    }

    /// What it is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::GitSha1(_) => "the Git blob's SHA-1",
        }
    }
}

enum Sum {
    Sha256(Sha256),
    GitSha1(Sha1),
}

/// The digest of a file, of the same kind as `like`. `read` is told of the bytes as they are read.
///
/// # Errors
/// The file cannot be read.
pub fn digest_of(path: &Path, like: &Digest, read: &dyn Fn(u64)) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut sum = match like {
        Digest::Sha256(_) => Sum::Sha256(Sha256::new()),
        Digest::GitSha1(_) => {
            let head = format!("blob {}\0", file.metadata()?.len());
            Sum::GitSha1(Sha1::new_with_prefix(head))
        }
    };
    let mut buffer = vec![0; 1 << 20];
    loop {
        let bytes = file.read(&mut buffer)?;
        if bytes == 0 {
            break;
        }
        match &mut sum {
            Sum::Sha256(sum) => sum.update(&buffer[..bytes]),
            Sum::GitSha1(sum) => sum.update(&buffer[..bytes]),
        }
        read(bytes as u64);
    }
    Ok(match sum {
        Sum::Sha256(sum) => Digest::Sha256(format!("{:x}", sum.finalize())),
        Sum::GitSha1(sum) => Digest::GitSha1(format!("{:x}", sum.finalize())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are `sha256sum`'s and `git hash-object`'s.
    #[test]
    fn as_the_tools_of_the_system_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "hello\n").unwrap();
        for etag in [
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            "ce013625030ba8dba906f756967f9e9ca394464a",
        ] {
            let digest = Digest::of_etag(etag).unwrap();
            assert_eq!(digest_of(&path, &digest, &|_| {}).unwrap(), digest);
        }
        assert_eq!(Digest::of_etag("5f3a-2"), None);
    }
}
