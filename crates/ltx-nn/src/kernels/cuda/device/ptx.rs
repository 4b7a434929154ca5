//! The kernels' PTX, as `scripts/build-cuda` compiled it; the driver makes machine code of it when a module is first used.
//!
//! Must not know what the kernels compute.

use super::super::launch::Module;
use candle_core::{Error, Result};

/// The text of one architecture.
macro_rules! architecture {
    ($arch:literal) => {
        [
            include_str!(concat!(env!("LTXD_PTX"), "/sm_", $arch, "/attention.ptx")),
            include_str!(concat!(env!("LTXD_PTX"), "/sm_", $arch, "/conv3d.ptx")),
            include_str!(concat!(env!("LTXD_PTX"), "/sm_", $arch, "/fp8.ptx")),
            include_str!(concat!(env!("LTXD_PTX"), "/sm_", $arch, "/gate.ptx")),
            include_str!(concat!(env!("LTXD_PTX"), "/sm_", $arch, "/norm.ptx")),
            include_str!(concat!(env!("LTXD_PTX"), "/sm_", $arch, "/pixel_norm.ptx")),
            include_str!(concat!(env!("LTXD_PTX"), "/sm_", $arch, "/rope.ptx")),
        ]
    };
}

/// By compute capability, the newest first.
static TEXTS: [((i32, i32), [&str; 7]); 4] = [
    ((10, 0), architecture!("100")),
    ((9, 0), architecture!("90")),
    ((8, 9), architecture!("89")),
    ((8, 0), architecture!("80")),
];

/// The newest text that a GPU of that compute capability runs.
pub(super) fn text(module: Module, capability: (i32, i32)) -> Result<&'static str> {
    let found = TEXTS.iter().find(|(needed, _)| *needed <= capability);
    let (_, texts) = found.ok_or_else(|| Error::msg(format!("no kernels for compute capability {capability:?}")))?;
    Ok(texts[module as usize])
}

/// A module's name among a device's modules.
pub(super) fn name(module: Module) -> &'static str {
    match module {
        Module::Attention => "ltx-attention",
        Module::Conv3d => "ltx-conv3d",
        Module::Fp8 => "ltx-fp8",
        Module::Gate => "ltx-gate",
        Module::Norm => "ltx-norm",
        Module::PixelNorm => "ltx-pixel-norm",
        Module::Rope => "ltx-rope",
    }
}
