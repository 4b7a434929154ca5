//! The settings of a node that is configured with nothing: ltxd's defaults.toml, as every part reads its own keys of it.
//!
//! Must not know which keys there are.

use serde::de::DeserializeOwned;

/// A part's settings with every key at its default.
///
/// # Panics
/// The defaults lack a key of that part.
pub fn default_settings<T: DeserializeOwned>() -> T {
    let defaults = include_str!("../../ltxd/src/config/defaults.toml");
    toml::from_str(defaults).unwrap_or_else(|error| panic!("defaults.toml: {error}"))
}
