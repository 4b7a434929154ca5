//! What a signature costs: signs an MP4 that is there, in its file, and checks it; prints seconds and the most memory that the process had.
//!
//!     cargo run --release -p ltx-provenance --example sign_file -- FILE.mp4 FOLDER_FOR_KEYS

#[path = "../tests/common/mod.rs"]
mod common;

use ltx_media::Seal;
use ltx_provenance::{Against, ClipSeal, verify};
use std::{env, error::Error, fs, path::PathBuf, sync::Arc, time::Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [file, keys] = words.as_slice() else { return Err("FILE.mp4 and a folder for keys".into()) };
    let seal = ClipSeal::new(Arc::new(common::credentials(keys)), Vec::new());
    let measured = |what: &str, began: (Instant, f64)| {
        let (seconds, busy) = (began.0.elapsed().as_secs_f64(), busy_seconds() - began.1);
        println!("{what}: {seconds:.2} s, {busy:.2} s of a processor, peak {}", peak());
    };
    let now = || (Instant::now(), busy_seconds());
    println!("{} bytes, peak before {}", fs::metadata(file)?.len(), peak());
    let began = now();
    let pictures = ltx_media::decode_pictures(file, |_| {})?;
    measured(&format!("decoding {pictures} pictures alone"), began);
    let began = now();
    seal.mp4(file, &common::mark()).map_err(|error| error as Box<dyn Error>)?;
    measured("signing, decoding included", began);
    let began = now();
    let report = verify(file, &Against::default())?;
    measured(&format!("checking ({:?})", report.verdict), began);
    println!("{} bytes", fs::metadata(file)?.len());
    Ok(())
}

/// Seconds that processors have worked for this process: the kernel counts hundredths.
fn busy_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The most resident memory so far, as the kernel prints it.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map(|line| line.trim().to_owned()).unwrap_or_default()
}
