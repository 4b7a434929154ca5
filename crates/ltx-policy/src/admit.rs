//! Admission: a request becomes evidence that it may run, or a refusal.
//!
//! Must not know how a generation is made.

use crate::{
    Reason, Refusal,
    mark::{ModelIdentity, UsageMark},
    names::{Meaning, ModelNames},
};
use ltx_types::{FieldError, Generation, GenerationDraft, Method};

/// What policy looks at beside the images of the draft.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The model named in the request; `None` is the node's default, which is LTX.
    pub model: Option<String>,
}

/// A request that policy let through. Only this crate makes one; it cannot be deserialised.
#[derive(Debug, Clone)]
pub struct Admitted<T> {
    method: Method,
    request: T,
}

impl<T> Admitted<T> {
    /// The method it was admitted under.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The request.
    pub fn request(&self) -> &T {
        &self.request
    }
}

impl Admitted<GenerationDraft> {
    /// Checks the fields, now that policy has no objection.
    ///
    /// # Errors
    /// The first field that is wrong, with the nearest legal value.
    pub fn check(self) -> Result<Admitted<Generation>, FieldError> {
        let request = self.request.check(self.method)?;
        Ok(Admitted { method: self.method, request })
    }
}

impl Admitted<Generation> {
    /// The mark of what this generation will produce.
    pub fn mark(&self, model: &ModelIdentity, node: &str) -> UsageMark {
        UsageMark::new(self.method, model, self.request.seed, node)
    }
}

/// Judges a request by the policy table. Every reason that holds is in the refusal, the first in table order first.
///
/// # Errors
/// The request is not of the unlimited class.
pub fn admit(ask: &Ask, draft: GenerationDraft, names: &ModelNames) -> Result<Admitted<GenerationDraft>, Refusal> {
    let method = method_of(&draft);
    let mut grounds = Vec::new();
    if method.is_none() {
        let remedy = "attach an image, or a start and an end image";
        grounds.push((Reason::NotAnUnlimitedMethod, remedy.to_owned()));
    }
    grounds.extend(ask.model.as_deref().and_then(|name| judge_model(name, names)));
    match (Refusal::from_grounds(grounds), method) {
        (None, Some(method)) => Ok(Admitted { method, request: draft }),
        (refusal, _) => Err(refusal.unwrap_or_else(|| unreachable!("no method is a ground"))),
    }
}

/// One image at frame 0, or one at frame 0 and one at the last frame; anything else is no unlimited method.
fn method_of(draft: &GenerationDraft) -> Option<Method> {
    let mut frames: Vec<usize> = draft.images.iter().map(|image| image.frame_index).collect();
    frames.sort_unstable();
    match frames[..] {
        [0] => Some(Method::ImageToVideo),
        [0, end] if end == draft.frames.saturating_sub(1) => Some(Method::StartEndFrames),
        _ => None,
    }
}

fn judge_model(name: &str, names: &ModelNames) -> Option<(Reason, String)> {
    match names.meaning(name) {
        Meaning::Known(_) => None,
        Meaning::External(external) => {
            let remedy = format!("{external} would deduct credits; say “Use Carat Basic Video (LTX 2.3)”");
            Some((Reason::ExternalModelNotCovered, remedy))
        }
        Meaning::Unknown => {
            let known: Vec<_> = names.known().iter().map(|model| model.name.as_str()).collect();
            Some((Reason::UnknownModel, format!("“{name}” is not known here; known: {}", known.join(", "))))
        }
    }
}
