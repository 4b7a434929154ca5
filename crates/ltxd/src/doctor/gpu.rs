//! The GPU: whether one is there, whether this build can use it, and what stands against it.
//!
//! Must not know what is computed. On a machine with a GPU the device is opened, once, as a node does; beside a node that runs it is not:
//! what that takes of its memory is the node's.

use super::{Findings, Here, data::Folder};
use crate::{
    compute::{self, Asked, Opened},
    config::NodeConfig,
    human::human,
};
use ltx_nn::{Compute, DeviceChoice, gpu_memory, gpu_name};
use std::path::Path;

/// What NVIDIA's driver shows of itself.
const DRIVER: [&str; 2] = ["/proc/driver/nvidia/version", "/dev/nvidiactl"];

/// Says whether the configured device can compute; what computes, if it was opened.
pub(super) fn look(findings: &mut Findings<'_>, config: &NodeConfig, here: &Here) -> Option<Compute> {
    let engine = &config.engine;
    let Here { level, folder } = *here;
    let asked = Asked { device: engine.device, dtype: &engine.dtype, level, cuda: engine.cuda };
    let driver = DRIVER.iter().any(|path| Path::new(path).exists());
    if driver && folder == Folder::Running && engine.device != DeviceChoice::Cpu {
        findings.fine("is left to the node that runs in the data folder; models are not opened either");
        return None;
    }
    let Opened { compute, passed_over } = match compute::open(&asked) {
        Ok(opened) => opened,
        Err(error) => {
            let remedy = match driver {
                true => "see whether nvidia-smi lists it, and whether this ltxd is a build for GPUs (docs/gpu.md)",
                false => "no NVIDIA driver is loaded here: install it, or set device to auto or cpu",
            };
            findings.error(format!("{error:#}"), remedy);
            return None;
        }
    };
    if let Some(name) = gpu_name(&compute.device) {
        let memory =
            gpu_memory(&compute.device).map(|(free, total)| format!(", {} of {} free", human(free), human(total)));
        findings.fine(format!("{name}{}", memory.unwrap_or_default()));
        return Some(compute);
    }
    match passed_over {
        Some(error) if driver => {
            let what = format!("a GPU is here and is not used: {}", ltx_types::sentence(&error));
            findings.warn(what, "see whether nvidia-smi lists it and libcuda.so.1 can be loaded; device = \"cpu\" says that none is meant");
        }
        _ if driver && engine.device == DeviceChoice::Auto => {
            let what = "an NVIDIA driver is here, and this ltxd is a build without GPUs: it computes on the CPU";
            findings.warn(what, "use a build for GPUs (docs/gpu.md), or set device to cpu");
        }
        _ => findings.fine("none is used: it computes on the CPU"),
    }
    Some(compute)
}
