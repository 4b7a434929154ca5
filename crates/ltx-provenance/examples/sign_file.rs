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
    let (before, began) = (peak(), Instant::now());
    let decoded = Instant::now();
    let pictures = ltx_media::decode_pictures(file, |_| {})?;
    println!("decoding alone: {:.2} s, {pictures} pictures, peak {}", decoded.elapsed().as_secs_f64(), peak());
    let began_signing = Instant::now();
    seal.mp4(file, &common::mark()).map_err(|error| error as Box<dyn Error>)?;
    println!("signing: {:.2} s, peak {} (before {before})", began_signing.elapsed().as_secs_f64(), peak());
    let checking = Instant::now();
    let report = verify(file, &Against::default())?;
    println!("checking: {:.2} s, {:?}, peak {}", checking.elapsed().as_secs_f64(), report.verdict, peak());
    println!("{} bytes, {:.2} s in all", fs::metadata(file)?.len(), began.elapsed().as_secs_f64());
    Ok(())
}

/// The most resident memory so far, as the kernel prints it.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map(|line| line.trim().to_owned()).unwrap_or_default()
}
