//! The latest preview in a file: replaced whole, so that a viewer never sees half a picture.
//!
//! Must not know how previews are asked for.

use anyhow::{Context, Result};
use ltx_files::{Durable, PartialFile};
use ltx_proto::v1::watch_generation_response::News;
use std::{
    cell::RefCell,
    io::Write,
    path::{Path, PathBuf},
};

/// A file that is wanted, or none.
pub(crate) struct PreviewFile {
    to: Option<PathBuf>,
    /// Of the latest preview: a full disk does not stop the following.
    written: RefCell<Result<()>>,
}

impl PreviewFile {
    pub(crate) fn new(to: Option<&Path>) -> Self {
        Self { to: to.map(Path::to_owned), written: RefCell::new(Ok(())) }
    }

    /// Whether previews are to be asked for.
    pub(crate) fn is_wanted(&self) -> bool {
        self.to.is_some()
    }

    /// Keeps the preview of an event that has one.
    pub(crate) fn see(&self, news: &News) {
        if let (Some(to), News::Event(event)) = (&self.to, news)
            && !event.preview_png.is_empty()
        {
            let failed = || format!("{}: cannot be written", to.display());
            *self.written.borrow_mut() = replace(to, &event.preview_png).with_context(failed);
        }
    }

    /// Whether the latest is there.
    pub(crate) fn finish(self) -> Result<()> {
        self.written.into_inner()
    }
}

fn replace(to: &Path, bytes: &[u8]) -> Result<()> {
    let partial = PartialFile::beside(to)?;
    partial.file().write_all(bytes)?;
    Ok(partial.publish(Durable::Nothing)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_proto::v1::GenerationEvent;
    use std::fs;

    #[test]
    fn the_latest_replaces_the_one_before_and_leaves_nothing_beside_it() {
        let folder = std::env::temp_dir().join(format!("ltxd-preview-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let to = folder.join("preview.png");
        let news = |bytes: &'static [u8]| {
            News::Event(GenerationEvent { preview_png: bytes.into(), ..GenerationEvent::default() })
        };
        let file = PreviewFile::new(Some(&to));
        for bytes in [&b"first"[..], b"", b"second"] {
            file.see(&news(bytes));
        }
        assert!(file.is_wanted() && file.finish().is_ok());
        assert_eq!(fs::read(&to).unwrap(), b"second");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let nowhere = PreviewFile::new(Some(&folder.join("missing/preview.png")));
        nowhere.see(&news(b"x"));
        assert!(nowhere.finish().unwrap_err().to_string().contains("missing/preview.png"));
        assert!(!PreviewFile::new(None).is_wanted());
        fs::remove_dir_all(&folder).unwrap();
    }
}
