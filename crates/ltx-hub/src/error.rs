//! What can go wrong between a hub and the disk.
//!
//! Must not know exit codes.

use std::{io, path::PathBuf, time::Duration};

/// Result of fetching.
pub type Result<T, E = HubError> = std::result::Result<T, E>;

/// A file that cannot be fetched or kept, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A setting that cannot be used.
    #[error("{name} = {value}: {rule}")]
    Setting {
        /// As people know it, such as `HF_ENDPOINT`.
        name: &'static str,
        /// What was found; never a token.
        value: String,
        /// What is legal.
        rule: String,
    },
    /// A repository, revision or path that no hub can have.
    #[error("{what} {found:?}: {rule}")]
    Name {
        /// Which of them.
        what: &'static str,
        /// What was found.
        found: String,
        /// What is legal.
        rule: &'static str,
    },
    /// The network may not be used, and the file is not here.
    #[error("{file} is not here, and HF_HUB_OFFLINE forbids to fetch it; unset it, or bring the file by --from DIR")]
    Offline {
        /// Repository and path.
        file: String,
    },
    /// The hub did not answer, or broke off, as often as patience goes.
    #[error("{host} cannot be reached, or breaks off{}", tried(*attempts))]
    Unreachable {
        /// The server.
        host: String,
        /// How often.
        attempts: u32,
        /// What happened at last.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// 401 or 403.
    #[error(
        "{file}: the hub refuses access ({status}{}). Open {page}, accept the model's terms there, and {}",
        said.as_deref().map(|said| format!(": {said}")).unwrap_or_default(),
        if *with_token { "check that the token (HF_TOKEN, or the file that `hf auth login` writes) is of that account and may read the repository" }
        else { "give a token of that account: set HF_TOKEN, or run `hf auth login`. A repository that does not exist answers the same" }
    )]
    Denied {
        /// Repository and path.
        file: String,
        /// Where the terms are.
        page: String,
        /// The HTTP status.
        status: u16,
        /// What the hub said.
        said: Option<String>,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// 404.
    #[error("the hub has no {path} in {repository} at revision {revision}{}", said.as_deref().map(|said| format!(" ({said})")).unwrap_or_default())]
    NotFound {
        /// `OWNER/NAME`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// Path in the repository.
        path: String,
        /// What the hub said.
        said: Option<String>,
    },
    /// 429, for longer than patience goes.
    #[error("{host} takes no more requests now{}; a token (HF_TOKEN) raises the limit", wait.map(|wait| format!(" and asks to wait {} s", wait.as_secs())).unwrap_or_default())]
    TooMany {
        /// The server.
        host: String,
        /// As the server asked.
        wait: Option<Duration>,
    },
    /// Another status than can be dealt with.
    #[error("{host} answers {status} to a request for {file}")]
    Status {
        /// The server.
        host: String,
        /// Repository and path.
        file: String,
        /// The HTTP status.
        status: u16,
    },
    /// An answer that is not a hub's.
    #[error("{host} answers for {file} {what}")]
    Nonsense {
        /// The server.
        host: String,
        /// Repository and path.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// The file that came is not the file that the hub or the lock names.
    #[error("{file}: wrong bytes: {kind} should be {expected}, found {found}; nothing of it was kept")]
    WrongBytes {
        /// Repository and path.
        file: String,
        /// What was compared.
        kind: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The disk has less room than the files take.
    #[error("{}: {needed} bytes are to be fetched and {free} are free; make room, or set HF_HUB_CACHE to a folder on another disk", folder.display())]
    NoSpace {
        /// The cache.
        folder: PathBuf,
        /// Bytes still to come.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// The disk filled while the file came.
    #[error("{}: no space left; what is here stays, and the next pull goes on", file.display())]
    Full {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A file or folder of the cache that cannot be read or written.
    #[error("{}: cannot be read or written", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

fn tried(attempts: u32) -> String {
    match attempts {
        0 | 1 => String::new(),
        more => format!(", {more} times in a row; what is here stays, and the next pull goes on"),
    }
}

impl HubError {
    /// The error of an operation on a file of the cache; a full disk is told apart.
    pub(crate) fn io(file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { file, source }
            }
            _ => Self::Io { file, source },
        }
    }
}
