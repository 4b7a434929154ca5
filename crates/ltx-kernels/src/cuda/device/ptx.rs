//! The kernels' PTX, as `scripts/build-cuda` compiled it; the driver makes machine code of it when a module is first used.
//!
//! Must not know what the kernels compute.

use super::super::launch::Module;
use candle_core::{Error, Result};

/// A module's text for an architecture.
macro_rules! module {
    ($arch:literal, $module:literal) => {
        include_str!(concat!(env!("LTXD_PTX"), "/sm_", $arch, "/", $module, ".ptx"))
    };
}

/// The texts of one architecture, in the order of `Module`; empty where it has none.
macro_rules! architecture {
    ($arch:literal, $attention_hopper:expr, $conv3d_hopper:expr) => {
        [
            module!($arch, "attention"),
            $attention_hopper,
            module!($arch, "conv3d"),
            $conv3d_hopper,
            module!($arch, "fp8"),
            module!($arch, "gate"),
            module!($arch, "norm"),
            module!($arch, "pixel_norm"),
            module!($arch, "rope"),
        ]
    };
}

/// By compute capability, the newest first. Text for 9.0 runs there alone.
static TEXTS: [((i32, i32), [&str; 9]); 4] = [
    ((10, 0), architecture!("100", "", "")),
    ((9, 0), architecture!("90", module!("90", "attention_hopper"), module!("90", "conv3d_hopper"))),
    ((8, 9), architecture!("89", "", "")),
    ((8, 0), architecture!("80", "", "")),
];

/// The newest text that a GPU of that compute capability runs.
pub(super) fn text(module: Module, capability: (i32, i32)) -> Result<&'static str> {
    let found = TEXTS.iter().find(|(needed, _)| *needed <= capability);
    let (_, texts) = found.ok_or_else(|| Error::msg(format!("no kernels for compute capability {capability:?}")))?;
    match texts[module as usize] {
        "" => Err(Error::msg(format!("no kernels of {module:?} for compute capability {capability:?}"))),
        text => Ok(text),
    }
}

/// A module's name among a device's modules.
pub(super) fn name(module: Module) -> &'static str {
    match module {
        Module::Attention => "ltx-attention",
        Module::AttentionHopper => "ltx-attention-hopper",
        Module::Conv3d => "ltx-conv3d",
        Module::Conv3dHopper => "ltx-conv3d-hopper",
        Module::Fp8 => "ltx-fp8",
        Module::Gate => "ltx-gate",
        Module::Norm => "ltx-norm",
        Module::PixelNorm => "ltx-pixel-norm",
        Module::Rope => "ltx-rope",
    }
}
