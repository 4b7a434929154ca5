//! The dry run, and the operations that policy excludes.
//!
//! Must not judge; the application does.

use crate::{
    app::Checked,
    face::FaceContext,
    grpc::{caller::caller, from_proto, to_proto},
};
use ltx_policy::{Eligibility, refuse_edit_elements, refuse_generate_audio};
use ltx_proto::v1::{self, policy_service_server::PolicyService};
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub(crate) struct Policy(pub(crate) FaceContext);

#[async_trait]
impl PolicyService for Policy {
    async fn check_eligibility(
        &self,
        request: Request<v1::CheckEligibilityRequest>,
    ) -> Result<Response<v1::CheckEligibilityResponse>, Status> {
        let client = caller(&request)?;
        let spec = request.into_inner().spec.unwrap_or_default();
        let Checked { verdict, estimate, faults, lengths } = self.0.node.check(client, &spec).await?;
        let mut answer = judged(&verdict);
        answer.estimate = estimate.map(to_proto::estimate);
        answer.violations = faults.into_iter().map(to_proto::violation).collect();
        answer.prompt_tokens = lengths.prompt.map(to_proto::tokens);
        answer.negative_prompt_tokens = lengths.negative_prompt.map(to_proto::tokens);
        Ok(Response::new(answer))
    }

    async fn edit_elements(
        &self,
        request: Request<v1::EditElementsRequest>,
    ) -> Result<Response<v1::EditElementsResponse>, Status> {
        let request = request.into_inner();
        let ask = from_proto::operation(&request.model, request.caller.as_ref(), None);
        Err(self.0.node.refuse(&ask, refuse_edit_elements).into())
    }

    async fn generate_audio(
        &self,
        request: Request<v1::GenerateAudioRequest>,
    ) -> Result<Response<v1::GenerateAudioResponse>, Status> {
        let request = request.into_inner();
        let ask = from_proto::operation(&request.model, request.caller.as_ref(), request.audio.as_ref());
        Err(self.0.node.refuse(&ask, refuse_generate_audio).into())
    }
}

/// The verdict alone.
fn judged(verdict: &Eligibility) -> v1::CheckEligibilityResponse {
    let answer = v1::CheckEligibilityResponse {
        verdict: v1::Verdict::Refused.into(),
        grounds: verdict.grounds().map(to_proto::ground).collect(),
        sentence: verdict.sentence(),
        ..v1::CheckEligibilityResponse::default()
    };
    let Some(method) = verdict.method() else { return answer };
    v1::CheckEligibilityResponse {
        verdict: v1::Verdict::Unlimited.into(),
        method: to_proto::method(method).into(),
        model: verdict.model().unwrap_or_default().to_owned(),
        ..answer
    }
}
