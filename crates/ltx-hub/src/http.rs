//! The client of every request: no redirection is followed by itself, no proxy is taken but those of the settings.
//!
//! Must not know what is asked, nor of whom.

use crate::{HubSettings, Result};
use reqwest::{Client, ClientBuilder, redirect};

/// Builds a client.
///
/// # Errors
/// `Setting`: a proxy that is none; or what `bad` makes of it where no client can be made.
pub(crate) fn client(settings: &HubSettings, bad: impl FnOnce(String) -> crate::HubError) -> Result<Client> {
    let agent = concat!("ltxd/", env!("CARGO_PKG_VERSION"));
    let builder = Client::builder().user_agent(agent).redirect(redirect::Policy::none()).referer(false).no_proxy();
    let builder = builder.connect_timeout(settings.patience.answer).http1_only();
    let builder = settings.proxies.list()?.into_iter().fold(builder, ClientBuilder::proxy);
    builder.build().map_err(|error| bad(format!("no HTTP client can be made: {error}")))
}
