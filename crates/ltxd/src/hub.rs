//! The hub and its cache as the environment's variables describe them, by the names that `huggingface_hub` has for them.
//!
//! Must not know what is fetched.

use anyhow::Result;
use ltx_catalog::{CatalogError, Places};
use ltx_hub::{Cache, HubError, HubSettings, Patience, Proxies, Token};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The variables, or what stands for them in a test.
struct Variables<F>(F);

fn environment() -> Variables<impl Fn(&str) -> Option<String>> {
    Variables(|name: &str| std::env::var_os(name)?.into_string().ok())
}

/// Where the user's programs keep what they can make again; nothing where there is no home folder and no variable names one.
pub(crate) fn caches() -> Option<PathBuf> {
    environment().caches()
}

/// Where a user's programs keep what they write for themselves; nothing where there is no home folder.
pub(crate) fn data() -> Option<PathBuf> {
    environment().data()
}

/// The cache that downloads are kept in; nothing where there is no home folder and no variable names one.
pub(crate) fn cache() -> Option<Cache> {
    environment().cache().map(Cache::new)
}

/// How the hub is reached.
///
/// # Errors
/// A variable that cannot be used.
pub(crate) fn settings() -> Result<HubSettings> {
    Ok(environment().settings()?)
}

/// Folders of lock files and records of found files, the first one's going over the others': the user's, if there is one and it may
/// be entered, and that of the manifests.
pub(crate) fn folders_of_records(manifests: &Path) -> Vec<PathBuf> {
    environment().data().filter(|folder| folder.exists()).into_iter().chain([manifests.to_owned()]).collect()
}

/// Changes a record in the folder of the manifests or, where that may not be written, in the user's; in both where the user has one.
///
/// # Errors
/// It can be written in none.
pub(crate) fn write_record(manifests: &Path, write: impl Fn(&Path) -> Result<(), CatalogError>) -> Result<()> {
    let users = environment().data();
    let written = match (write(manifests), &users) {
        (Err(CatalogError::Write { source, .. }), Some(users)) if is_forbidden(&source) => return Ok(write(users)?),
        (written, _) => written,
    };
    if let Some(users) = users.filter(|users| users.exists()) {
        write(&users)?;
    }
    Ok(written?)
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The lock file of a folder.
pub(crate) fn lock_in(folder: &Path) -> PathBuf {
    Places::lock_in(folder)
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// A variable that says something.
    fn said(&self, names: &[&str]) -> Option<String> {
        names.iter().filter_map(|name| (self.0)(name)).map(|text| text.trim().to_owned()).find(|text| !text.is_empty())
    }

    fn path(&self, names: &[&str]) -> Option<PathBuf> {
        let text = self.said(names)?;
        let Some(rest) = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return Some(text.into());
        };
        Some(self.user_folder()?.join(rest.trim_start_matches('/')))
    }

    fn user_folder(&self) -> Option<PathBuf> {
        self.said(&["HOME"]).map(PathBuf::from)
    }

    fn is_on(&self, names: &[&str]) -> bool {
        let yes = |text: String| ["1", "ON", "YES", "TRUE"].contains(&text.to_uppercase().as_str());
        names.iter().any(|name| self.said(&[name]).is_some_and(yes))
    }

    /// `$HF_HOME`.
    fn home(&self) -> Option<PathBuf> {
        self.path(&["HF_HOME"]).or_else(|| Some(self.caches()?.join("huggingface")))
    }

    /// Where a user's programs keep what they can make again.
    fn caches(&self) -> Option<PathBuf> {
        self.path(&["XDG_CACHE_HOME"]).or_else(|| Some(self.user_folder()?.join(".cache")))
    }

    fn cache(&self) -> Option<PathBuf> {
        self.path(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]).or_else(|| Some(self.home()?.join("hub")))
    }

    /// Where a user's programs keep what they write for themselves.
    fn data(&self) -> Option<PathBuf> {
        let all = self.path(&["XDG_DATA_HOME"]).or_else(|| Some(self.user_folder()?.join(".local/share")));
        all.map(|all| all.join("ltxd"))
    }

    fn token(&self) -> Result<Option<Token>, HubError> {
        if self.is_on(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]) {
            return Ok(None);
        }
        let in_file = || {
            let file = self.path(&["HF_TOKEN_PATH"]).or_else(|| Some(self.home()?.join("token")))?;
            let text = std::fs::read_to_string(file).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        self.said(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]).or_else(in_file).map(|text| Token::new(&text)).transpose()
    }

    fn seconds(&self, name: &'static str) -> Result<Option<Duration>, HubError> {
        let Some(text) = self.said(&[name]) else { return Ok(None) };
        let seconds = text.parse().ok().filter(|seconds| (0.1..=86400.0).contains(seconds));
        let rule = "not a number of seconds between 0.1 and 86400".to_owned();
        let seconds = seconds.ok_or(HubError::Setting { name, value: text, rule })?;
        Ok(Some(Duration::from_secs_f64(seconds)))
    }

    fn settings(&self) -> Result<HubSettings, HubError> {
        let usual = HubSettings::default();
        let patience = Patience {
            stall: self.seconds("HF_HUB_DOWNLOAD_TIMEOUT")?.unwrap_or(usual.patience.stall),
            answer: self.seconds("HF_HUB_ETAG_TIMEOUT")?.unwrap_or(usual.patience.answer),
            ..usual.patience
        };
        Ok(HubSettings {
            endpoint: self.said(&["HF_ENDPOINT"]).unwrap_or(usual.endpoint),
            token: self.token()?,
            offline: self.is_on(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]),
            proxies: Proxies {
                http: self.said(&["http_proxy", "HTTP_PROXY"]),
                https: self.said(&["https_proxy", "HTTPS_PROXY"]),
                all: self.said(&["all_proxy", "ALL_PROXY"]),
                none: self.said(&["no_proxy", "NO_PROXY"]),
            },
            patience,
            ..usual
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(set: &'a [(&'a str, &'a str)]) -> Variables<impl Fn(&str) -> Option<String> + 'a> {
        Variables(move |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        for (set, cache) in [
            (&[("HOME", "/h")][..], Some("/h/.cache/huggingface/hub")),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")], Some("/c/huggingface/hub")),
            (&[("HOME", "/h"), ("HF_HOME", "~/hf")], Some("/h/hf/hub")),
            (&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/x")], Some("/x")),
            (&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", " ")], Some("/hf/hub")),
            (&[], None),
        ] {
            assert_eq!(of(set).cache(), cache.map(PathBuf::from), "{set:?}");
        }
    }

    #[test]
    fn settings_by_their_usual_names() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        assert!(of(&[("HF_HOME", home)]).settings().unwrap().token.is_none());
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        assert!(of(&[("HF_HOME", home)]).settings().unwrap().token.is_some());
        let off = [("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert!(of(&off).settings().unwrap().token.is_none());
        let set =
            [("HF_ENDPOINT", "http://hub"), ("HF_HUB_OFFLINE", "true"), ("HTTPS_PROXY", "p:1"), ("no_proxy", "a")];
        let settings = of(&set).settings().unwrap();
        assert!(settings.offline && settings.endpoint == "http://hub");
        assert_eq!((settings.proxies.https.as_deref(), settings.proxies.none.as_deref()), (Some("p:1"), Some("a")));
        let settings = of(&[("HF_HUB_DOWNLOAD_TIMEOUT", "2.5")]).settings().unwrap();
        assert_eq!(settings.patience.stall, Duration::from_millis(2500));
        for bad in [("HF_HUB_DOWNLOAD_TIMEOUT", "soon"), ("HF_HUB_ETAG_TIMEOUT", "-1"), ("HF_TOKEN", "a b")] {
            let error = of(&[bad]).settings().unwrap_err().to_string();
            assert!(error.contains(bad.0), "{error}");
            assert!(!error.contains("a b"), "a token is shown");
        }
    }
}
