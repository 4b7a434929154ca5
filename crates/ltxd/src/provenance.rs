//! Content credentials of commands and of a node: the section `provenance`, and what signs by it.
//!
//! Must not know how an output is signed.

use crate::{
    config::{ConfigError, ProvenanceSource},
    exit::BadInput,
    hub,
};
use anyhow::{Context, Result};
use ltx_hub::{HubSettings, Question, post};
use ltx_provenance::{Credentials, Mode, ProvenanceSettings, TimeAuthority};
use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The folder under a node's data, or under the user's own, for a certificate that is made.
const FOLDER: &str = "provenance";

/// How outputs of a command are signed. The environment says the same by LTXD_PROVENANCE_MODE and the like.
#[derive(clap::Args)]
pub(crate) struct ProvenanceFlags {
    /// Whether outputs carry signed content credentials (C2PA): required, the default, or off. Without a certificate that is given, one
    /// is made and kept in $XDG_DATA_HOME/ltxd/provenance or ~/.local/share/ltxd/provenance.
    #[arg(long, value_name = "MODE")]
    provenance: Option<String>,
    /// The certificate to sign by and those that vouch for it, PEM.
    #[arg(long, value_name = "FILE")]
    certificate: Option<String>,
    /// Its private key, PEM, PKCS#8; nobody but its owner may read it.
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
}

impl ProvenanceFlags {
    /// What signs; nothing where that is off.
    pub(crate) fn open(&self) -> Result<Option<Arc<Credentials>>> {
        let said = [
            ("provenance.mode", &self.provenance),
            ("provenance.certificate", &self.certificate),
            ("provenance.key", &self.key),
        ];
        let said = said.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        let settings = settings(said)?;
        if settings.mode == Mode::Off {
            return Ok(None);
        }
        let folder = match hub::data() {
            Some(folder) => folder.join(FOLDER),
            None if settings.is_given() || !settings.folder.as_os_str().is_empty() => PathBuf::new(),
            None => {
                let rule = "there is no home folder to keep a certificate in; name one by provenance.dir, give one, or say --provenance off";
                return Err(BadInput(format!("provenance.dir = \"\": {rule}")).into());
            }
        };
        open(&settings, (&folder, "ltxd on the command line"))
    }
}

fn settings<'a>(said: impl Iterator<Item = (&'a str, &'a str)>) -> Result<ProvenanceSettings, ConfigError> {
    ProvenanceSource::of_environment(said)
}

/// What a node of this id signs by.
///
/// # Errors
/// [`ltx_provenance::KeyError`], which names the configuration's key.
pub(crate) fn of_node(settings: &ProvenanceSettings, data: &Path, id: &str) -> Result<Option<Arc<Credentials>>> {
    open(settings, (&data.join(FOLDER), &format!("ltxd {id}")))
}

/// A pair that is given, tried without touching a data folder.
pub(crate) fn look(settings: &ProvenanceSettings) -> Result<()> {
    if settings.is_given() { open(settings, (Path::new(""), "")).map(drop) } else { Ok(()) }
}

fn open(settings: &ProvenanceSettings, (folder, name): (&Path, &str)) -> Result<Option<Arc<Credentials>>> {
    if settings.mode == Mode::Off {
        return Ok(None);
    }
    let folder = Some(settings.folder.as_path()).filter(|said| !said.as_os_str().is_empty()).unwrap_or(folder);
    let authority =
        (!settings.timestamp_url.is_empty()).then(|| Authority::new(&settings.timestamp_url)).transpose()?;
    let authority = authority.map(|authority| Arc::new(authority) as Arc<dyn TimeAuthority>);
    Ok(Some(Arc::new(Credentials::open(settings, (folder, name), authority)?)))
}

/// A time-stamp authority, asked by the client that fetches files.
struct Authority {
    settings: HubSettings,
    url: String,
}

impl Authority {
    fn new(url: &str) -> Result<Self> {
        Ok(Self { settings: hub::settings()?, url: url.to_owned() })
    }
}

impl TimeAuthority for Authority {
    fn ask(&self, query: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let question = Question {
            setting: "provenance.timestamp_url",
            url: &self.url,
            content_type: "application/timestamp-query",
            accept: "application/timestamp-reply",
            body: query,
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime can be started")?;
        Ok(runtime.block_on(post(&self.settings, question))?)
    }
}
