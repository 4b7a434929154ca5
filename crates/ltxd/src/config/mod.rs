//! The node's configuration: defaults, file, environment and flags, laid over each other, then checked as a whole.
//!
//! Must not know how a node is put together from it.

mod error;
#[cfg(test)]
mod fuzz_tests;
mod layers;
mod otel;
mod settings;
mod tokens;

pub(crate) use error::ConfigError;
pub(crate) use settings::{Log, LogFormat, NodeConfig};
pub(crate) use tokens::{Token, hash_token};

use crate::compute::CudaOptions;
use layers::Layers;
use ltx_jobs::CacheSettings;
use ltx_provenance::ProvenanceSettings;
use ltx_types::FieldError;
use settings::{CacheSection, CudaSection, ProvenanceSection};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The most bytes of a file of configuration or of tokens.
const FILE_BYTES: u64 = 1 << 20;

/// Where a configuration comes from.
#[derive(clap::Args)]
pub(crate) struct Sources {
    /// The configuration (TOML). `ltxd config print` shows every key.
    #[arg(long, env = "LTXD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any key of the configuration, such as limits.queued=100; goes over file and environment.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The address for Prometheus metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// Where everything is kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Folder of model manifests.
    #[arg(long, value_name = "DIR")]
    models_dir: Option<String>,
    /// A model to serve; the first is the default.
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// The most memory a generation may take, such as 12GiB: weights that do not fit are streamed from the files, what does not
    /// fit even then is refused (limits.memory_bytes).
    #[arg(long, value_name = "SIZE", value_parser = crate::memory::parse_bytes)]
    memory: Option<u64>,
    /// Listen beyond loopback without tokens or TLS.
    #[arg(long)]
    allow_insecure: bool,
}

impl Sources {
    /// The effective configuration, unchecked, as a table.
    ///
    /// # Errors
    /// A source that cannot be read, a key nobody knows, a value of another kind.
    pub(crate) fn effective(&self) -> Result<toml::Table, ConfigError> {
        self.layers()?.extract()
    }

    /// The effective configuration, checked.
    ///
    /// # Errors
    /// As [`Sources::effective`]; a value that cannot be, by its key and its source.
    pub(crate) fn load(&self) -> Result<NodeConfig, ConfigError> {
        NodeConfig::of(&self.layers()?)
    }

    /// The same for whoever may leave `data_dir` unsaid, and whether it was said.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub(crate) fn load_for_doctor(&self) -> Result<(NodeConfig, bool), ConfigError> {
        let layers = self.layers()?;
        let said = layers.extract::<toml::Table>()?.get("data_dir").and_then(toml::Value::as_str) != Some("");
        let layers = if said { layers } else { layers.set([("data_dir", ".")])? };
        Ok((NodeConfig::of(&layers)?, said))
    }

    fn layers(&self) -> Result<Layers, ConfigError> {
        let layers = Layers::defaults()?;
        let layers = match &self.config {
            Some(file) => layers.file(file)?,
            None => layers,
        };
        let assigned = self.set.iter().map(|assignment| {
            let (key, value) = assignment.split_once('=').ok_or_else(|| ConfigError::NoValue(assignment.clone()))?;
            Ok((key.trim(), value.trim()))
        });
        let (flags, assigned) = (self.flags(), assigned.collect::<Result<Vec<_>, _>>());
        let flags = flags.iter().map(|(key, value)| (*key, value.as_str()));
        layers.environment(std::env::vars_os())?.set(flags.chain(assigned?))
    }

    /// What the flags that have a name of their own say of their keys.
    fn flags(&self) -> Vec<(&'static str, String)> {
        let mut said = Vec::new();
        let texts = [
            ("listen", &self.listen),
            ("metrics_listen", &self.metrics_listen),
            ("data_dir", &self.data_dir),
            ("models_dir", &self.models_dir),
        ];
        said.extend(texts.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
        said.extend(self.memory.map(|bytes| ("limits.memory_bytes", bytes.to_string())));
        said.extend((!self.model.is_empty()).then(|| ("models", self.model.join(","))));
        said.extend(self.allow_insecure.then(|| ("allow_insecure", "true".to_owned())));
        said
    }
}

/// What the environment says of a GPU's way of computing, for commands that read no other key.
///
/// # Errors
/// A value that cannot be, by its key.
pub(crate) fn cuda_of_environment() -> Result<CudaOptions, ConfigError> {
    let variables = std::env::vars_os().filter(|(name, _)| layers::is_of_cuda(name));
    let CudaSection { cuda } = Layers::defaults()?.environment(variables)?.extract()?;
    Ok(cuda)
}

/// The section `provenance` for commands that read no other.
pub(crate) struct ProvenanceSource;

impl ProvenanceSource {
    /// What the environment says, and the command line over it.
    ///
    /// # Errors
    /// A value that cannot be, by its key.
    pub(crate) fn of_environment<'a>(
        said: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<ProvenanceSettings, ConfigError> {
        let variables = std::env::vars_os().filter(|(name, _)| layers::is_of_provenance(name));
        let layers = Layers::defaults()?.environment(variables)?.set(said)?;
        let ProvenanceSection { provenance } = layers.extract()?;
        provenance.validate().map_err(|FieldError { field, rule, .. }| layers.refuse(field, rule))?;
        Ok(provenance)
    }
}

/// How much a node keeps of what it computes, unless it is told otherwise.
///
/// # Errors
/// None with the defaults of this program.
pub(crate) fn default_cache() -> Result<CacheSettings, ConfigError> {
    let CacheSection { cache } = Layers::defaults()?.extract()?;
    Ok(cache)
}

/// A file's text, if it is not too long: an endless one ends here.
fn read_text(path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_string(&mut text));
    let read = read.and_then(|bytes| match bytes as u64 > FILE_BYTES {
        true => Err(io::Error::other(format!("it is over {FILE_BYTES} bytes"))),
        false => Ok(text),
    });
    read.map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}
