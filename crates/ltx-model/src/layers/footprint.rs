//! What a stack of layers holds while some of them are streamed.
//!
//! Must not know how large a layer is.

use crate::footprint::{DeviceKind, Placement};

/// What the allocator keeps, at most, of the buffers that layers were read through: 63 to 71 MiB were measured, whatever the
/// clip's size.
const READING: u64 = 64 << 20;

/// Whether layer `i` of `count` is streamed where `held` stay: those that do are spread evenly.
pub fn is_streamed(i: usize, (count, held): (usize, usize)) -> bool {
    let streamed = count.saturating_sub(held);
    let before = |i: usize| i * streamed / count.max(1);
    before(i + 1) > before(i)
}

/// Bytes of `count` layers that are streamed, each of `layer` bytes: the one in use and the next are in memory.
pub fn streamed_bytes(layer: u64, count: usize) -> u64 {
    layer * count.min(2) as u64
}

/// Bytes that stay behind the reading of layers of so many bytes together. To a GPU they are not read through its own memory.
pub fn reading_bytes(layers: u64, placement: Placement) -> u64 {
    match placement.device {
        DeviceKind::Cpu => READING.min(layers),
        DeviceKind::Gpu => 0,
    }
}
