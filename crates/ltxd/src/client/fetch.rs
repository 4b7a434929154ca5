//! Fetching an output: into a hidden file beside its place, resumable, checked by SHA-256, and there all at once.
//!
//! Must not know what the file holds.

use super::{Node, fault::Fault};
use anyhow::{Context, Result};
use ltx_proto::v1::{DownloadOutputRequest, Output, OutputFile, download_output_response::Part};
use sha2::{Digest, Sha256};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Time between attempts after a broken connection.
const PAUSE: Duration = Duration::from_millis(500);

/// What is fetched, and where to.
pub(crate) struct Fetch<'a> {
    pub(crate) id: &'a str,
    pub(crate) output: Output,
    pub(crate) to: &'a Path,
    /// For how long a node that is away is tried again.
    pub(crate) patience: Duration,
}

/// What has arrived so far.
struct Partial {
    path: PathBuf,
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl Fetch<'_> {
    /// Goes on where an earlier attempt stopped. Stopped itself, it leaves what it has for the next one.
    pub(crate) async fn run(&self, node: &Node) -> Result<OutputFile> {
        let mut partial = Partial::open(self.partial_path()?)?;
        let mut resumed = partial.bytes > 0;
        loop {
            let promised = match self.complete(node, &mut partial).await {
                Ok(promised) => Some(promised),
                // What lies here is longer than the file: it is of something else.
                Err(error) if resumed && is_out_of_range(&error) => None,
                Err(error) => {
                    if partial.bytes == 0 {
                        let _ = fs::remove_file(&partial.path);
                    }
                    return Err(error);
                }
            };
            if let Some(promised) = promised {
                if partial.is(&promised) {
                    partial.publish(self.to)?;
                    return Ok(promised);
                }
                if !resumed {
                    let _ = fs::remove_file(&partial.path);
                    let line = format!("{}: SHA-256 of what arrived is not what the node promised", self.to.display());
                    return Err(Fault::failed(line).into());
                }
            }
            resumed = false;
            partial.restart()?;
        }
    }

    fn partial_path(&self) -> Result<PathBuf> {
        let name = self.to.file_name().with_context(|| format!("{}: is not the name of a file", self.to.display()))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.partial", self.id));
        Ok(self.to.with_file_name(hidden))
    }

    /// Everything from where the partial file ends to the end, over broken connections.
    async fn complete(&self, node: &Node, partial: &mut Partial) -> Result<OutputFile> {
        let mut away_since: Option<Instant> = None;
        loop {
            let before = partial.bytes;
            let error = match self.once(node, partial).await {
                Ok(promised) if partial.bytes >= promised.total_bytes => return Ok(promised),
                Ok(_) => anyhow::Error::new(Fault::failed("the node sent less than it promised".into())),
                Err(error) => error,
            };
            if partial.bytes != before {
                away_since = None;
            }
            let passing = error.downcast_ref::<Fault>().is_some_and(|fault| fault.passing);
            if !passing || away_since.get_or_insert_with(Instant::now).elapsed() >= self.patience {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn once(&self, node: &Node, partial: &mut Partial) -> Result<OutputFile> {
        let request =
            DownloadOutputRequest { id: self.id.to_owned(), output: self.output.into(), offset: partial.bytes };
        let mut stream = node.generations().download_output(request).await.map_err(Fault::from)?.into_inner();
        let mut promised = None;
        while let Some(message) = stream.message().await.map_err(Fault::from)? {
            match message.part {
                Some(Part::File(file)) => promised = Some(file),
                Some(Part::Chunk(chunk)) => partial.add(&chunk)?,
                None => {}
            }
        }
        promised.ok_or_else(|| Fault::nonsense("file").into())
    }
}

fn is_out_of_range(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Fault>().is_some_and(|fault| fault.to_string().starts_with("OFFSET_OUT_OF_RANGE"))
}

impl Partial {
    fn open(path: PathBuf) -> Result<Self> {
        let failed = || format!("{}: cannot be written", path.display());
        let options = OpenOptions::new().read(true).append(true).create(true).clone();
        let mut file = options.open(&path).with_context(failed)?;
        let (mut digest, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            match file.read(&mut chunk).with_context(failed)? {
                0 => break,
                count => {
                    digest.update(&chunk[..count]);
                    bytes += count as u64;
                }
            }
        }
        Ok(Self { path, file, digest, bytes })
    }

    fn add(&mut self, chunk: &[u8]) -> Result<()> {
        self.file.write_all(chunk).with_context(|| format!("{}: cannot be written", self.path.display()))?;
        self.digest.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).with_context(|| format!("{}: cannot be written", self.path.display()))?;
        (self.digest, self.bytes) = (Sha256::new(), 0);
        Ok(())
    }

    fn is(&self, promised: &OutputFile) -> bool {
        self.bytes == promised.total_bytes && format!("{:x}", self.digest.clone().finalize()) == promised.sha256
    }

    fn publish(&self, to: &Path) -> Result<()> {
        let failed = || format!("{}: cannot be written", to.display());
        self.file.sync_all().with_context(failed)?;
        fs::rename(&self.path, to).with_context(failed)
    }
}
