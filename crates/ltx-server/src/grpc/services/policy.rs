//! The dry run, and the operations that policy excludes.
//!
//! Must not keep anything: nothing is stored, decoded or looked up here.

use super::judge;
use crate::{
    app::{node::Node, problem::Problem},
    grpc::{from_proto, to_proto},
    transport::auth::caller,
};
use ltx_jobs::{ClientId, Estimate, memory};
use ltx_policy::{Ask, PolicyConfig, Refusal, admit, refuse_edit_elements, refuse_generate_audio};
use ltx_proto::v1::{self, policy_service_server::PolicyService};
use ltx_types::GenerationDraft;
use std::sync::Arc;
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub(crate) struct Policy(pub(crate) Arc<Node>);

#[async_trait]
impl PolicyService for Policy {
    async fn check_eligibility(
        &self,
        request: Request<v1::CheckEligibilityRequest>,
    ) -> Result<Response<v1::CheckEligibilityResponse>, Status> {
        let client = caller(&request)?;
        let spec = request.into_inner().spec.unwrap_or_default();
        Ok(Response::new(self.verdict(client, &spec).await?))
    }

    async fn edit_elements(
        &self,
        request: Request<v1::EditElementsRequest>,
    ) -> Result<Response<v1::EditElementsResponse>, Status> {
        let request = request.into_inner();
        let ask = from_proto::operation(&request.model, request.caller.as_ref(), None);
        Err(self.refused(&ask, refuse_edit_elements))
    }

    async fn generate_audio(
        &self,
        request: Request<v1::GenerateAudioRequest>,
    ) -> Result<Response<v1::GenerateAudioResponse>, Status> {
        let request = request.into_inner();
        let ask = from_proto::operation(&request.model, request.caller.as_ref(), request.audio.as_ref());
        Err(self.refused(&ask, refuse_generate_audio))
    }
}

impl Policy {
    fn refused(&self, ask: &Ask, refuse: fn(&Ask, &PolicyConfig) -> Refusal) -> Status {
        let refusal = refuse(ask, &self.0.policy());
        self.0.metrics.refused(&refusal);
        Problem::from(refusal).into()
    }

    async fn verdict(
        &self,
        client: ClientId,
        spec: &v1::GenerationSpec,
    ) -> Result<v1::CheckEligibilityResponse, Problem> {
        let policy = self.0.policy();
        let (request, verdict) = judge(&self.0, spec, &policy, false);
        let mut answer = v1::CheckEligibilityResponse {
            verdict: v1::Verdict::Refused.into(),
            grounds: verdict.grounds().map(to_proto::ground).collect(),
            sentence: verdict.sentence(),
            ..v1::CheckEligibilityResponse::default()
        };
        let Some(method) = verdict.method() else { return Ok(answer) };
        answer.verdict = v1::Verdict::Unlimited.into();
        answer.method = to_proto::method(method).into();
        answer.model = verdict.model().unwrap_or_default().to_owned();
        let mut faults = request.faults;
        match self.estimate(client, (&request.ask, request.draft), &policy).await? {
            Ok(estimate) => answer.estimate = Some(estimate).filter(|_| faults.is_empty()),
            Err(fault) => faults.extend((!faults.iter().any(|known| known.field == fault.field)).then_some(fault)),
        }
        answer.violations = faults.into_iter().map(to_proto::violation).collect();
        Ok(answer)
    }

    /// The estimate, or the field that is wrong.
    async fn estimate(
        &self,
        client: ClientId,
        (ask, draft): (&Ask, GenerationDraft),
        policy: &PolicyConfig,
    ) -> Result<Result<v1::Estimate, ltx_types::FieldError>, Problem> {
        let checked = match admit(ask, draft, policy)?.check() {
            Ok(checked) => checked,
            Err(field) => return Ok(Err(from_proto::in_spec(field))),
        };
        let estimate = self.0.read(move |jobs| jobs.estimate(&client, &checked)).await?;
        let Estimate { predicted, available_bytes, fits, largest, wait_seconds } = estimate;
        Ok(Ok(v1::Estimate {
            resources: Some(to_proto::predicted(&predicted)),
            available_memory_bytes: available_bytes.or_else(memory::available_bytes).unwrap_or(0),
            fits,
            largest: largest.map(to_proto::shape),
            wait_seconds,
        }))
    }
}
