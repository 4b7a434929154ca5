//! `ltxd verify`: what files say of themselves, and whether it is so.
//!
//! Must not know how it is found out.

use crate::{exit, exit::BadInput};
use anyhow::{Result, anyhow};
use ltx_provenance::{Against, Report, Signer, Trust, Verdict, verify};
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
    /// A sidecar that tells of the pictures of MP4s, where they no longer do so themselves.
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
    /// Print what was found as JSON: an object, or a list of them for several files.
    #[arg(long)]
    json: bool,
}

/// What a verdict exits with; of several files, the worst.
const HELP: &str = "Exit codes: 0 signed, unchanged, and a root of --trust vouches for the signer; 10 signed and unchanged, and \
none of the given roots vouches for the signer, or its certificate does not hold (expired); 11 no signature and no mark; 12 the signature \
was taken out: a mark that anybody can write is left; 13 the signature was taken out and the pictures are others: encoded anew or \
edited; 14 signed, and changed since; 1 a file cannot be looked at; 2 bad input. Of several files the worst counts: 1 before all, then the \
highest.";

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
        match verify(file, &against) {
            Ok(report) => {
                worst = worst.max(code(report.verdict));
                if !arguments.json {
                    print_report(&report, "");
                }
                reports.push(report);
            }
            Err(error) => {
                let name = shown(&file.display().to_string());
                exit::print(&anyhow!("{name}: cannot be looked at: {}", shown(&ltx_types::sentence(&error))));
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
    for line in lines(report) {
        println!("{indent}{}", shown(&line));
    }
    for file in &report.files {
        print_report(file, &format!("{indent}  "));
    }
}

/// A line without what would move a terminal's cursor, colour it or turn the direction of its text: a file may come from anybody.
fn shown(line: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    line.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// What people are told of a file.
fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", report.file.display(), sentence(report))];
    if let Some(signer) = &report.signer {
        let trust = match &signer.trust {
            Trust::By(root) => format!("vouched for by {}", root.display()),
            Trust::ByNone => "not vouched for".to_owned(),
        };
        let time = signer.time.as_ref().map(|time| format!(", at {time}")).unwrap_or_default();
        let Signer { subject, issuer, until, .. } = signer;
        lines.push(format!("  signed by {subject} (issued by {issuer}, until {until}){time}; {trust}"));
    }
    match (&report.usage_class, report.output_of_ltxd) {
        (Some(class), true) => {
            let by = if report.mark_is_signed { "its signed mark" } else { "a mark that anybody could have written" };
            lines.push(format!("  an output of ltxd of the class {class}, says {by}"));
        }
        _ => lines.push("  not an output of ltxd, as far as it says".to_owned()),
    }
    let pictures = &report.pictures;
    if let (Some(same), Some(by)) = (pictures.same, pictures.expected_by) {
        let by = match by {
            "signature" => "as signed",
            "sidecar" => "as the sidecar says",
            _ => "as its metadata says",
        };
        lines.push(format!("  its pictures are {}{by}", if same { "" } else { "not " }));
    }
    lines.extend(report.found.iter().map(|found| format!("  {}: {}", found.code, found.what)));
    lines
}

fn sentence(report: &Report) -> &'static str {
    match report.verdict {
        Verdict::Trusted => "signed by a known signer, and unchanged since",
        Verdict::Untrusted => "signed, and unchanged since; nobody vouches for the signer",
        Verdict::Unsigned => "neither signed nor marked; nothing is known of it",
        Verdict::Stripped => "its signature was taken out",
        Verdict::Reencoded => "its signature was taken out, and its pictures are others",
        Verdict::Changed => "changed since it was signed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        let line = "a\u{1b}[2J\u{9b}1m\r\n\u{7f}\u{202e}\u{2066}b – ß 中";
        assert_eq!(shown(line), "a\u{fffd}[2J\u{fffd}1m\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}b – ß 中");
    }
}
