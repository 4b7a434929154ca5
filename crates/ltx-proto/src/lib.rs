//! The contract of `proto/ltx/v1` as Rust: messages, clients and servers. Generated code only.
//!
//! Must not know: any other crate. Conversions live in `ltx-server` (`from_proto`, `to_proto`), so that nothing but the
//! wire depends on the wire.
#![forbid(unsafe_code)]

/// Package `ltx.v1`.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    tonic::include_proto!("ltx.v1");

    /// The compiled contract, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("ltx_v1");
}
