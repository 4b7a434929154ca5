//! How often a client may submit and upload.
//!
//! Must not know what it asks for.

use crate::{ClientId, JobsError, RateLimit, Result};

/// The share of every client, over all nodes of a service.
pub trait Shares: Send + Sync {
    /// Counts one submission or upload of a client.
    ///
    /// # Errors
    /// `RateLimited`, `Unavailable`.
    fn take(&self, client: &ClientId) -> Result<()>;
}

impl Shares for RateLimit {
    fn take(&self, client: &ClientId) -> Result<()> {
        RateLimit::take(self, client).map_err(|retry_after| JobsError::RateLimited { retry_after })
    }
}
