//! A clip's seal: what signs its outputs as they are finished, and remembers what it signed.
//!
//! Must not know writers or jobs.

use crate::{
    Credentials, Input, signing,
    usage::{PICTURES, Ties, UNKNOWN},
};
use ltx_media::{Seal, SealError};
use ltx_policy::UsageMark;
use serde::Serialize;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// What a signature of an MP4 ties to it, for those who keep records beside the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// The signer, as its certificate names it.
    pub signed_by: String,
    /// SHA-256 of that certificate.
    pub certificate_sha256: String,
    /// Pictures of the video.
    pub pictures: usize,
    /// SHA-256 of those pictures as a decoder gets them.
    pub pictures_sha256: String,
}

/// Signs the outputs of one clip.
#[derive(Debug)]
pub struct ClipSeal {
    credentials: Arc<Credentials>,
    inputs: Vec<Input>,
    sealed: Mutex<Option<Sealed>>,
}

impl ClipSeal {
    /// The seal of a clip that is made from these images.
    pub fn new(credentials: Arc<Credentials>, inputs: Vec<Input>) -> Self {
        Self { credentials, inputs, sealed: Mutex::new(None) }
    }

    /// What was signed with the MP4; `None` before.
    pub fn sealed(&self) -> Option<Sealed> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Seal for ClipSeal {
    fn entries(&self) -> Vec<(&'static str, String)> {
        vec![(PICTURES, UNKNOWN.to_owned())]
    }

    fn mp4(&self, file: &Path, mark: &UsageMark) -> Result<(), SealError> {
        let Ties { pictures_sha256, pictures, .. } = signing::sign_mp4(&self.credentials, file, mark, &self.inputs)?;
        let certificate = self.credentials.certificate();
        *self.sealed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Sealed {
            signed_by: certificate.subject.clone(),
            certificate_sha256: certificate.sha256.clone(),
            pictures,
            pictures_sha256,
        });
        Ok(())
    }

    fn png(&self, png: Vec<u8>, rgb: &[u8], mark: &UsageMark) -> Result<Vec<u8>, SealError> {
        Ok(signing::sign_png(&self.credentials, (&png, rgb), mark, &self.inputs)?)
    }
}
