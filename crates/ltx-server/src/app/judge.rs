//! Judging a request: what a client asks for, read with the defaults of the model that it will run on.
//!
//! Must not know how a request is written; a face reads it through [`Specification`]. Nothing is refused for a field here: what
//! is wrong with fields is collected, because policy comes first.

use super::{ModelCard, Node, Problem};
use ltx_jobs::{ClientId, JobsError, NamedImage, UploadId};
use ltx_policy::{Ask, Eligibility, PolicyConfig, Refusal};
use ltx_types::{Defaults, Faults, FieldError, FieldErrors, GenerationDraft, LoraUse, ModelRules};

/// A generation as a client specifies it, its silent fields not filled in yet: they depend on the model, and the model on
/// policy. Each face implements it for its own kind of request.
pub(crate) trait Specification: Send + Sync {
    /// The model it names, as the client wrote it; blank for none.
    fn model(&self) -> &str;

    /// The request as a whole, silent fields filled in.
    fn read(&self, rules: &Rules<'_>) -> Request;
}

/// What fields of a request are held against.
pub(crate) struct Rules<'a> {
    /// What a silent field means.
    pub(crate) defaults: &'a Defaults,
    /// The most bytes of a prompt.
    pub(crate) prompt_bytes: usize,
    /// The most bytes of an image.
    pub(crate) image_bytes: u64,
    /// Whether images must be there: not in a dry run.
    pub(crate) images: bool,
}

/// A request, read.
#[derive(Debug)]
pub(crate) struct Request {
    /// What policy is asked.
    pub(crate) ask: Ask,
    /// The draft. Images that were uploaded before have no bytes yet.
    pub(crate) draft: GenerationDraft,
    /// How each of the draft's images was given.
    pub(crate) images: Vec<Given>,
    /// Everything that is wrong with single fields.
    pub(crate) faults: Vec<FieldError>,
}

/// How an image of a request was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The name of its field.
    pub(crate) field: &'static str,
    /// The upload that it is, where it is one.
    pub(crate) upload: Option<UploadId>,
}

impl Given {
    /// Whether one of these faults is of what was given, rather than of how it is used.
    fn is_wrong(&self, faults: &[FieldError]) -> bool {
        let own = |fault: &FieldError| {
            let rest = fault.field.strip_prefix(self.field);
            rest.is_some_and(|rest| matches!(rest, "" | ".data" | ".upload_id"))
        };
        faults.iter().any(own)
    }

    /// The fault of an upload that is not there, or no longer.
    pub(super) fn not_found(&self, upload: UploadId) -> FieldError {
        FieldError::new(self.field, format!("upload {upload}"), "is not there, or no longer")
    }
}

/// A request and what policy says of it.
pub(super) struct Judged {
    pub(super) request: Request,
    pub(super) verdict: Eligibility,
    /// What the model that it will run on says of requests.
    pub(super) rules: ModelRules,
}

impl Node {
    /// Reads a request with the defaults of the model it will run on, and judges it. `images` says whether they must be there.
    pub(super) fn judge(&self, asked: &impl Specification, policy: &PolicyConfig, images: bool) -> Judged {
        let catalog = self.catalog();
        let read = |model: Option<&str>| {
            let card = catalog.card_or_default(model);
            let rules = Rules {
                defaults: card.defaults(),
                prompt_bytes: self.config.limits.prompt_bytes.get(),
                image_bytes: self.config.jobs.limits.image_bytes.get(),
                images,
            };
            let mut request = asked.read(&rules);
            // Settled now, so that the frames stay what they are whatever is listed later.
            let (stages, listed) = (request.draft.stages, card.manifest.loras_by_name().collect::<Vec<_>>());
            match LoraUse::settled(request.draft.loras.clone(), &listed, stages) {
                Ok(loras) => request.draft.loras = loras,
                Err(faults) => request.faults.extend(faults),
            }
            let verdict = Eligibility::of(&request.ask, &request.draft, policy);
            let rules = self.rules_of(card).unwrap_or(ModelRules::LTX);
            (Judged { request, verdict, rules }, card.manifest.name.clone())
        };
        let guess = Some(asked.model()).filter(|name| !name.trim().is_empty());
        let guess = guess.and_then(|name| policy.names().find(name)).map(|model| model.name());
        let (judged, used) = read(guess.or(policy.loaded().first().copied()));
        match judged.verdict.model() {
            // Several models answer to the name; policy took another one than the first.
            Some(model) if model != used => read(Some(model)).0,
            _ => judged,
        }
    }

    /// What requests for a model are held against; `None` for one that is not served, of which nothing but its manifest is known.
    pub(crate) fn rules_of(&self, card: &ModelCard) -> Option<ModelRules> {
        let rules = self.jobs().rules(&card.manifest.name).ok()?;
        Some(ModelRules { two_stages: rules.two_stages.or(Some(card.has_upscaler())), ..rules })
    }

    /// Adds to a request that is wrong anyway the faults that take work to see: of prompts that have more tokens than the model takes,
    /// and of what is in its images. What is wrong already is not looked at.
    ///
    /// # Errors
    /// The jobs' own.
    pub(super) async fn add_slow_faults(
        &self,
        client: ClientId,
        model: Option<&str>,
        request: &mut Request,
    ) -> Result<(), Problem> {
        let Some(model) = model.map(str::to_owned) else { return Ok(()) };
        let draft = GenerationDraft { faults: request.faults.clone(), ..request.draft.clone() };
        let right = request.images.iter().zip(&draft.images).filter(|(given, _)| !given.is_wrong(&request.faults));
        let given: Vec<_> = right.map(|(given, condition)| (given.clone(), condition.source.clone())).collect();
        let found = self.write(move |jobs| {
            let (mut images, mut missing) = (Vec::new(), Vec::new());
            for (given, source) in given {
                let source = match given.upload.map(|upload| (upload, jobs.uploaded(&client, upload))) {
                    None => source,
                    Some((_, Ok(source))) => source,
                    Some((upload, Err(JobsError::UploadNotFound { .. }))) => {
                        missing.push(given.not_found(upload));
                        continue;
                    }
                    Some((_, Err(error))) => return Err(error.into()),
                };
                images.push(NamedImage { field: given.field, source });
            }
            let faults = jobs.faults_of_refused(&client, (&model, &draft), &images)?;
            Ok([faults, missing].concat())
        });
        let found = found.await?;
        let mut faults = Faults::after(std::mem::take(&mut request.faults));
        faults.append(found);
        request.faults = faults.into();
        Ok(())
    }

    /// A refusal by policy as it is answered; it is counted.
    pub(super) fn refused(&self, refusal: Refusal) -> Problem {
        self.metrics.refused(&refusal);
        refusal.into()
    }

    /// Refuses one of the operations that policy excludes; `refuse` says why.
    pub(crate) fn refuse(&self, ask: &Ask, refuse: fn(&Ask, &PolicyConfig) -> Refusal) -> Problem {
        self.refused(refuse(ask, &self.policy().for_new()))
    }
}

/// Adds what shows only when the draft is looked at as a whole, but for fields that have a fault already.
pub(super) fn add_faults(known: &mut Vec<FieldError>, found: FieldErrors) {
    let mut faults = Faults::after(std::mem::take(known));
    faults.append(found.map(in_request));
    *known = faults.into();
}

/// A fault of a draft's field under the name that the field has in a request.
pub(super) fn in_request(error: FieldError) -> FieldError {
    let field = match error.field {
        "guidance_scale" => "guidance.cfg_scale",
        "stg_scale" => "guidance.stg_scale",
        "guidance_rescale" => "guidance.rescale_scale",
        "stg_blocks" => "guidance.stg_blocks",
        other => other,
    };
    FieldError { field, ..error }
}
