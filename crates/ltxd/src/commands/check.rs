//! `ltxd check`: what `submit` would be told, without making anything.
//!
//! Must not know the rules.

use crate::{
    client::{Connection, fault::Fault, json, spec::SpecFlags, text},
    exit::Code,
};
use anyhow::Result;
use ltx_proto::v1::{CheckEligibilityRequest, CheckEligibilityResponse, Verdict};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = "Exits with 0 if it would be made, 3 if it would be refused, 2 if a field is wrong or it does \
not fit into the node's memory. Images are not sent.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    spec: SpecFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.connection.run(async |node| {
        let request = CheckEligibilityRequest { spec: Some(arguments.spec.without_images()) };
        let answer = node.policy().check_eligibility(request).await.map_err(Fault::from)?.into_inner();
        match arguments.json {
            true => println!("{}", json::eligibility(&answer)),
            false => println!("{}", text::eligibility(&answer)),
        }
        Ok(code_of(&answer).into())
    })
}

fn code_of(answer: &CheckEligibilityResponse) -> Code {
    let fits = answer.estimate.as_ref().is_none_or(|estimate| estimate.fits);
    match answer.verdict() {
        Verdict::Refused => Code::Refused,
        _ if !answer.violations.is_empty() || !fits => Code::BadInput,
        Verdict::Unlimited => Code::Done,
        Verdict::Unspecified => Code::Failed,
    }
}
