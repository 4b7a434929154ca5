//! The files of the page as they are in the binary, each with what its answer needs: media type, tag, the bytes as they are and
//! compressed.
//!
//! Must not know requests.

use flate2::{Compression, write::GzEncoder};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, io::Write};
use tonic::codegen::{Bytes, http::HeaderValue};

/// What the page was built into.
static BUILT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../web/dist");
/// The folder of files whose names have a digest of what is in them.
const HASHED: &str = "assets/";

/// Every file by its path, `index.html` and `assets/…`.
pub(super) struct Bundle(HashMap<&'static str, File>);

/// A file of the page.
pub(super) struct File {
    pub(super) plain: Bytes,
    /// Where it is smaller so.
    pub(super) gzip: Option<Bytes>,
    pub(super) media_type: &'static str,
    pub(super) etag: HeaderValue,
    /// Whether its name changes with what is in it.
    pub(super) hashed: bool,
}

impl Bundle {
    /// The files that were built in. Compresses them; once is enough.
    pub(super) fn built() -> Self {
        let mut files = HashMap::new();
        let mut folders = vec![&BUILT];
        while let Some(folder) = folders.pop() {
            folders.extend(folder.dirs());
            for file in folder.files() {
                let Some(path) = file.path().to_str() else { continue };
                if let Some(file) = File::new(path, file.contents()) {
                    files.insert(path, file);
                }
            }
        }
        Self(files)
    }

    /// The file of exactly this path.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.0.get(path)
    }
}

impl File {
    /// `None` for a file of a kind that no page has.
    fn new(path: &str, bytes: &'static [u8]) -> Option<Self> {
        let media_type = media_type(path)?;
        let digest = format!("\"{:x}\"", Sha256::digest(bytes));
        Some(Self {
            plain: Bytes::from_static(bytes),
            gzip: compressed(bytes),
            media_type,
            etag: HeaderValue::from_str(&digest).ok()?,
            hashed: path.starts_with(HASHED),
        })
    }
}

fn media_type(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

/// The bytes in gzip, where that saves a tenth at least.
fn compressed(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    let gzip = encoder.finish().ok()?;
    (gzip.len() * 10 < bytes.len() * 9).then(|| gzip.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that the page may have on the wire.
    const MOST: usize = 200 << 10;

    fn built() -> Vec<(&'static str, &'static [u8])> {
        let (mut files, mut folders) = (Vec::new(), vec![&BUILT]);
        while let Some(folder) = folders.pop() {
            folders.extend(folder.dirs());
            files.extend(folder.files().map(|file| (file.path().to_str().unwrap(), file.contents())));
        }
        files
    }

    #[test]
    fn every_file_is_served_and_all_are_small() {
        let bundle = Bundle::built();
        let files = built();
        assert!(bundle.file("index.html").is_some());
        let unknown: Vec<_> = files.iter().filter(|(path, _)| bundle.file(path).is_none()).collect();
        assert!(unknown.is_empty(), "files of unknown kinds: {unknown:?}");
        let sent = |file: &File| file.gzip.as_ref().unwrap_or(&file.plain).len();
        let all: usize = bundle.0.values().map(sent).sum();
        assert!(all <= MOST, "{all} bytes compressed");
    }

    #[test]
    fn names_of_files_that_never_change_have_a_digest() {
        for (path, _) in built().into_iter().filter(|(path, _)| path.starts_with(HASHED)) {
            let stem = path.rsplit_once('.').unwrap().0;
            let digest = stem.get(stem.len().saturating_sub(9)..).unwrap();
            assert!(digest.starts_with('-') && !digest.contains('/'), "{path}: the name ends in no digest of eight");
        }
    }

    #[test]
    fn the_document_has_no_script_or_style_of_its_own() {
        let bundle = Bundle::built();
        let html = String::from_utf8(bundle.file("index.html").unwrap().plain.to_vec()).unwrap();
        for tag in html.split('<').filter(|tag| tag.starts_with("script")) {
            assert!(tag.contains("src=\"") && tag.ends_with('>'), "the policy of the page forbids <{tag}");
        }
        assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("http://"), "{html}");
    }
}
