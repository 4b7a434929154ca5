//! What a process holds beside the weights and activations of its stages. On a GPU, CUDA's own context and the kernels' code
//! are not in it: they lie there before anybody asks what is free.
//!
//! Must not know stages.

use crate::Engine;
use ltx_model::footprint::DeviceKind;

/// What the process needs before any weight: code, FFmpeg's libraries, threads, headers of files.
const PROCESS: u64 = 52 << 20;
/// What the tokenizer keeps of every word: the word twice, its merges, and what reading them left.
const WORD: u64 = 900;
/// Of what a stage holds at its peak, one part in so many waits to be used again, up to a bound: blocks that were freed and do
/// not fit what is asked for next (`ltxd`'s allocator).
const WAITING_SHARE: u64 = 16;
const WAITING: u64 = 64 << 20;
/// What cuBLASLt (`ltx-nn`) and cuBLAS (candle) work in on a GPU.
const WORKSPACES: u64 = 64 << 20;

/// Bytes of freed blocks that wait beside such activations on the CPU.
pub(super) fn waiting_bytes(activations: u64) -> u64 {
    (activations / WAITING_SHARE).min(WAITING)
}

impl Engine {
    /// Bytes that are there in every stage, without weights and activations.
    pub(super) fn process_bytes(&self) -> u64 {
        match self.placement.device {
            DeviceKind::Cpu => PROCESS + WORD * self.prompts().words() as u64 + self.options.beside_bytes,
            DeviceKind::Gpu => WORKSPACES + self.sizes.larger.small,
        }
    }
}
