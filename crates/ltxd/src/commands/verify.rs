//! `ltxd verify`: what files say of themselves, and whether it is so.
//!
//! Must not know how it is found out.

use crate::{exit, exit::BadInput};
use anyhow::{Context, Result};
use ltx_provenance::{Against, Report, Trust, Verdict, verify};
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// MP4s, PNGs, and sidecars (which are held against the files beside them).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Certificates of roots that vouch for signers, PEM; a node's own is DATA_DIR/provenance/authority.pem. Can be given more than once.
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// A sidecar that tells of the pictures of the files, where they no longer do so themselves.
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
    /// Print what was found as JSON: an object, or a list of them for several files.
    #[arg(long)]
    json: bool,
}

/// What a verdict exits with; of several files, the highest.
const HELP: &str = "Exit codes: 0 signed, unchanged, and a root of --trust vouches for the signer; 10 signed and unchanged, and \
none of the given roots vouches for the signer; 11 no signature and no mark; 12 the signature was taken out: a mark that anybody can \
write is left; 13 the signature was taken out and the pictures are others: encoded anew or edited; 14 signed, and changed since; 1 a file \
cannot be read; 2 bad input.";

fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Trusted => 0,
        Verdict::Untrusted => 10,
        Verdict::Unsigned => 11,
        Verdict::Stripped => 12,
        Verdict::Reencoded => 13,
        Verdict::Changed => 14,
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let against = Against::roots_of(&arguments.trust)
        .map_err(|(file, error)| BadInput(format!("trust: {}: {error}", file.display())))?;
    let against = Against { sidecar: arguments.sidecar.clone(), ..against };
    let (mut reports, mut worst, mut unread) = (Vec::new(), 0, false);
    for file in &arguments.files {
        match verify(file, &against).with_context(|| format!("{}: cannot be looked at", file.display())) {
            Ok(report) => {
                worst = worst.max(code(report.verdict));
                if !arguments.json {
                    print_report(&report, "");
                }
                reports.push(report);
            }
            Err(error) => {
                exit::print(&error);
                unread = true;
            }
        }
    }
    if arguments.json {
        match (reports.as_slice(), arguments.files.len()) {
            ([only], 1) => println!("{}", serde_json::to_string_pretty(only)?),
            _ => println!("{}", serde_json::to_string_pretty(&reports)?),
        }
    }
    Ok(if unread { exit::Code::Failed.into() } else { worst.into() })
}

fn print_report(report: &Report, indent: &str) {
    println!("{indent}{}: {}", report.file.display(), sentence(report));
    if let Some(signer) = &report.signer {
        let trust = match &signer.trust {
            Trust::By(root) => format!("vouched for by {}", root.display()),
            Trust::ByNone => "vouched for by none of the roots that were given".to_owned(),
        };
        let time = signer.time.as_ref().map(|time| format!(", at {time}")).unwrap_or_default();
        println!(
            "{indent}  signed by {} (issued by {}, until {}){time}; {trust}",
            signer.subject, signer.issuer, signer.until
        );
    }
    match (&report.usage_class, report.output_of_ltxd) {
        (Some(class), true) => {
            let by = if report.mark_is_signed { "its signed mark" } else { "a mark that anybody could have written" };
            println!("{indent}  an output of ltxd of the class {class}, says {by}");
        }
        _ => println!("{indent}  not an output of ltxd, as far as it says"),
    }
    let pictures = &report.pictures;
    if let (Some(same), Some(by)) = (pictures.same, pictures.expected_by) {
        let by = match by {
            "signature" => "as signed",
            "sidecar" => "as the sidecar says",
            _ => "as its metadata says",
        };
        println!("{indent}  its pictures are {}{by}", if same { "" } else { "not " });
    }
    for found in &report.found {
        println!("{indent}  {}: {}", found.code, found.what);
    }
    for file in &report.files {
        print_report(file, &format!("{indent}  "));
    }
}

fn sentence(report: &Report) -> &'static str {
    match report.verdict {
        Verdict::Trusted => "signed by a known signer, and unchanged since",
        Verdict::Untrusted => "signed, and unchanged since; the signer is not known",
        Verdict::Unsigned => "neither signed nor marked; nothing is known of it",
        Verdict::Stripped => "its signature was taken out",
        Verdict::Reencoded => "its signature was taken out, and its pictures are others",
        Verdict::Changed => "changed since it was signed",
    }
}
