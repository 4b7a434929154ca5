//! What a hub's answers say of a file.
//!
//! Must not know how it is asked.

use crate::{HubError, Remote, RepoFile, Result, names};
use reqwest::{
    Url,
    header::{CONTENT_LENGTH, ETAG, HeaderMap, LOCATION},
};

/// No file is larger; memory is taken for every so many bytes that a hub speaks of.
const MOST_BYTES: u64 = 1 << 44;

/// Headers of the hub's answers to one question, the last one first.
pub(crate) struct Answers {
    pub(crate) host: String,
    pub(crate) headers: Vec<HeaderMap>,
    /// Where the last one was asked.
    pub(crate) asked: Url,
}

impl Remote {
    pub(crate) fn of(file: &RepoFile, answers: &Answers) -> Result<Self> {
        let nonsense = |what: &str| HubError::Nonsense {
            host: answers.host.clone(),
            file: file.to_string(),
            what: what.to_owned(),
        };
        let text = |names: &[&str]| {
            let all = names.iter().flat_map(|name| answers.headers.iter().map(move |headers| headers.get(*name)));
            all.flatten().next().and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let commit = text(&["x-repo-commit"]).filter(|commit| names::is_commit(commit));
        let commit = commit.or_else(|| file.revision.is_commit().then(|| file.revision.as_str().to_owned()));
        let commit = commit.ok_or_else(|| nonsense("without the commit (X-Repo-Commit); is HF_ENDPOINT a hub?"))?;
        let etag = text(&["x-linked-etag", ETAG.as_str()]).map(|etag| plain(&etag)).filter(|etag| names::is_etag(etag));
        let etag = etag.ok_or_else(|| nonsense("without an etag that can name the file (X-Linked-Etag, ETag)"))?;
        // The length of a redirection is not the file's.
        let own = answers.headers.first().filter(|headers| !headers.contains_key(LOCATION));
        let own = || own.and_then(|headers| headers.get(CONTENT_LENGTH)?.to_str().ok().map(str::to_owned));
        let bytes = text(&["x-linked-size"]).or_else(own).and_then(|size| size.parse().ok());
        let bytes = bytes.filter(|bytes| *bytes <= MOST_BYTES);
        let bytes = bytes.ok_or_else(|| nonsense("without a size (X-Linked-Size, Content-Length)"))?;
        let onward = answers.headers.first().and_then(|headers| headers.get(LOCATION));
        let location = match onward.map(|to| to.to_str().ok().and_then(|to| answers.asked.join(to).ok())) {
            None => answers.asked.clone(),
            Some(Some(to)) => to,
            Some(None) => return Err(nonsense("with a redirection to nowhere")),
        };
        Ok(Self { file: file.clone(), commit, bytes, etag, location })
    }
}

/// `W/"abc"` as `abc`.
fn plain(etag: &str) -> String {
    etag.trim().trim_start_matches("W/").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Repository, Revision};

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn remote(headers: &[&[(&'static str, &str)]]) -> Result<Remote> {
        let file = RepoFile::new(Repository::new("o/n")?, Revision::new("main")?, "a.bin")?;
        let map = |pairs: &&[(&'static str, &str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let asked = Url::parse("https://hub/o/n/resolve/main/a.bin").unwrap();
        Remote::of(&file, &Answers { host: "hub".into(), headers: headers.iter().map(map).collect(), asked })
    }

    #[test]
    fn linked_values_go_over_those_of_the_redirection() {
        let found = remote(&[&[
            ("x-repo-commit", COMMIT),
            ("x-linked-etag", "\"abc\""),
            ("etag", "\"of-the-redirection\""),
            ("x-linked-size", "7"),
            ("content-length", "1000"),
            ("location", "https://elsewhere/x?signature=1"),
        ]])
        .unwrap();
        assert_eq!((found.etag.as_str(), found.bytes, found.commit.as_str()), ("abc", 7, COMMIT));
        assert_eq!(found.location.as_str(), "https://elsewhere/x?signature=1");
        // Of a file that the hub sends itself, after a move within the hub that said the commit.
        let found = remote(&[&[("etag", "W/\"d\""), ("content-length", "3")], &[("x-repo-commit", COMMIT)]]).unwrap();
        assert_eq!((found.etag.as_str(), found.bytes), ("d", 3));
        assert_eq!(found.location.as_str(), "https://hub/o/n/resolve/main/a.bin");
    }

    #[test]
    fn what_is_no_hub_is_said() {
        let good = [("x-repo-commit", COMMIT), ("etag", "\"e\""), ("content-length", "1")];
        assert!(remote(&[&good]).is_ok());
        for without in 0..good.len() {
            let rest: Vec<_> =
                good.iter().enumerate().filter(|(at, _)| *at != without).map(|(_, pair)| *pair).collect();
            assert!(matches!(remote(&[&rest]), Err(HubError::Nonsense { .. })), "without {}", good[without].0);
        }
        for (name, value) in [
            ("etag", "\"../../x\""),
            ("content-length", "-1"),
            ("content-length", "99999999999999"),
            ("x-repo-commit", "main"),
        ] {
            let bad = good.map(|pair| if pair.0 == name { (name, value) } else { pair });
            assert!(remote(&[&bad]).is_err(), "{name}: {value}");
        }
    }
}
