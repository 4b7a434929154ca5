//! Turns proto/ltx/v1 into Rust, and into the descriptor set that server reflection serves. Needs `protoc`.
//!
//! Must not know what the messages mean.

use std::{env, io, path::PathBuf};

fn main() -> io::Result<()> {
    let root = PathBuf::from("../../proto");
    println!("cargo::rerun-if-changed={}", root.join("ltx").display());
    let mut files = Vec::new();
    for entry in root.join("ltx/v1").read_dir()? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets no OUT_DIR"))?);
    tonic_prost_build::configure()
        .file_descriptor_set_path(out.join("ltx_v1.bin"))
        .bytes(".ltx.v1")
        .compile_protos(&files, &[root])
}
