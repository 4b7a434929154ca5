//! The dry run: what policy says of a request, what it would take, and what is wrong with it.
//!
//! Must not keep anything: nothing is stored, decoded or counted.

use super::{
    Node, Problem, Request, Specification,
    judge::{Judged, add_faults},
};
use ltx_jobs::{ClientId, Estimate, PromptTokens, memory};
use ltx_policy::{Eligibility, admit};
use ltx_types::FieldError;

/// What came of a dry run.
#[derive(Debug)]
pub(crate) struct Checked {
    /// What policy says.
    pub(crate) verdict: Eligibility,
    /// What the request would take, with the memory that there is; only where policy lets it through and no field is wrong.
    pub(crate) estimate: Option<Estimate>,
    /// What is wrong with its fields; empty where policy refuses it.
    pub(crate) faults: Vec<FieldError>,
    /// How long its prompts are for the model that it would run on.
    pub(crate) lengths: Lengths,
}

/// How long the prompts of a request are. What nothing reads, and what is not looked at because it is wrong already, is not
/// counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// The prompt.
    pub(crate) prompt: Option<PromptTokens>,
    /// The negative prompt, the model's own included.
    pub(crate) negative_prompt: Option<PromptTokens>,
}

impl Lengths {
    /// Each prompt that has more tokens than the model takes, as its field's fault.
    fn too_long(self) -> impl Iterator<Item = FieldError> {
        let named = [("prompt", self.prompt), ("negative_prompt", self.negative_prompt)];
        named.into_iter().filter_map(|(field, tokens)| tokens?.check(field).err())
    }
}

impl Node {
    /// Judges a request without images, and estimates it.
    ///
    /// # Errors
    /// The jobs' own: `NoModel`, `ModelUnavailable`, `Database`, `Corrupt`.
    pub(crate) async fn check(&self, client: ClientId, asked: &impl Specification) -> Result<Checked, Problem> {
        let policy = self.policy().for_new();
        let Judged { mut request, verdict, rules } = self.judge(asked, &policy, false);
        if verdict.method().is_none() {
            return Ok(Checked { verdict, estimate: None, faults: vec![], lengths: Lengths::default() });
        }
        let lengths = self.lengths(verdict.model(), &request).await?;
        request.faults.extend(lengths.too_long());
        let Request { ask, draft, mut faults, .. } = request;
        let checked = admit(&ask, draft, &policy)?.check(&rules);
        let admitted = match checked {
            Ok(admitted) if faults.is_empty() => admitted,
            Ok(_) => return Ok(Checked { verdict, estimate: None, faults, lengths }),
            Err(found) => {
                add_faults(&mut faults, found);
                return Ok(Checked { verdict, estimate: None, faults, lengths });
            }
        };
        let estimate = self.read(move |jobs| jobs.estimate(&client, &admitted)).await?;
        let available_bytes = estimate.available_bytes.or_else(memory::available_bytes);
        Ok(Checked { verdict, estimate: Some(Estimate { available_bytes, ..estimate }), faults, lengths })
    }

    /// Counts the tokens of a request's prompts.
    async fn lengths(&self, model: Option<&str>, request: &Request) -> Result<Lengths, Problem> {
        let Some(model) = model.map(str::to_owned) else { return Ok(Lengths::default()) };
        let draft = &request.draft;
        let whole = |field: &str| request.faults.iter().all(|fault| fault.field != field);
        let prompt = whole("prompt").then(|| draft.prompt.clone());
        let negative = (draft.uses_cfg() && whole("negative_prompt")).then(|| draft.negative_prompt.clone());
        self.read(move |jobs| {
            let count = |text: Option<String>| jobs.prompt_tokens(&model, &text?);
            Ok(Lengths { prompt: count(prompt), negative_prompt: count(negative) })
        })
        .await
    }
}
