//! What a pull tells while it goes on.
//!
//! Must not know how it is shown.

use crate::HubError;
use std::time::Duration;

/// Something that happened to a file that is fetched.
#[derive(Debug)]
pub enum News<'a> {
    /// Another process fetches the same file; its end is waited for.
    Waiting,
    /// So many bytes of the file are here from an earlier time.
    Resumed(u64),
    /// So many more bytes have come.
    Came(u64),
    /// So many bytes that were here are fetched again: the server has no ranges.
    Lost(u64),
    /// A request failed and is made again after a wait.
    Again {
        /// What happened.
        why: &'a HubError,
        /// How long until the next try.
        wait: Duration,
    },
    /// So many more bytes have been checked.
    Checked(u64),
}

/// Who is told.
pub trait Watch: Send + Sync {
    /// Takes the news.
    fn tell(&self, news: News<'_>);
}
