//! One clip through a convolution: weights made ready, patches shared out to threads.
//!
//! Must not know tensors.

use super::{
    super::{gemm::COLUMNS, level::Level},
    direct,
    packed::PackedConv,
    patch::{Around, ChannelAffine, Clip},
    plan::{Method, Sizes},
    scratch::room,
    target::Target,
    winograd,
};
use crate::TimePadding;
use rayon::prelude::*;
use std::ops::Range;

/// A convolution and what stands before it.
pub(super) struct Convolution<'a> {
    pub(super) packed: &'a PackedConv,
    pub(super) time: TimePadding,
    pub(super) norm: Option<f32>,
    pub(super) affine: Option<ChannelAffine<'a>>,
    pub(super) level: Level,
}

impl Convolution<'_> {
    pub(super) fn run(&self, clip: Clip<'_>, target: &mut Target<'_>) {
        let mut kernel = self.packed.kernel;
        // All kernel frames see the same frame: their weights are summed, and it is seen once.
        let merged = clip.frames == 1 && kernel[0] > 1 && self.time != TimePadding::Zeros;
        if merged {
            kernel[0] = 1;
        }
        let around = Around { kernel, time: self.time, norm: self.norm, affine: self.affine };
        let (inputs, outputs) = (self.packed.inputs, self.packed.outputs);
        let sizes = Sizes { inputs, outputs, kernel, frames: clip.frames, height: clip.height, width: clip.width };
        let method = sizes.method();
        let taps = match method {
            Method::Direct => kernel.iter().product::<usize>(),
            Method::Winograd => winograd::POINTS * kernel[0],
        };
        let each = taps * inputs * COLUMNS;
        let at_once =
            if method == Method::Direct && !merged { self.packed.panels() } else { sizes.panels_at_once(each) };
        let mut buffer = self.packed.scratch.take_weights();
        for first in (0..self.packed.panels()).step_by(at_once.max(1)) {
            let panels = first..self.packed.panels().min(first + at_once);
            let weights = self.ready(&mut buffer, method, merged, (panels.clone(), each));
            let grid = sizes.grid(method, panels, rayon::current_num_threads());
            let (level, scratch) = (self.level, &self.packed.scratch);
            match method {
                Method::Direct => {
                    let shared = direct::Shared { level, around, clip, weights, first_panel: first };
                    target.for_each_part(&grid, |part| scratch.with_buffers(|buffers| shared.run(buffers, part)));
                }
                Method::Winograd => {
                    let shared = winograd::Shared { level, around, clip, weights, first_panel: first };
                    target.for_each_part(&grid, |part| scratch.with_buffers(|buffers| shared.run(buffers, part)));
                }
            }
        }
        self.packed.scratch.give_weights(buffer);
    }

    /// The weights of some panels as a method wants them, `each` values a panel.
    fn ready<'b>(
        &'b self,
        buffer: &'b mut Vec<f32>,
        method: Method,
        merged: bool,
        (panels, each): (Range<usize>, usize),
    ) -> &'b [f32] {
        if method == Method::Direct && !merged {
            return &self.packed.weight[panels.start * each..panels.end * each];
        }
        let ready = room(buffer, panels.len() * each);
        let frame = self.packed.kernel[1] * self.packed.kernel[2] * self.packed.inputs * COLUMNS;
        ready.par_chunks_mut(each.max(1)).zip(panels).for_each(|(ready, panel)| {
            let weights = self.packed.panel(panel);
            match (method, merged) {
                (Method::Direct, _) => sum_frames(ready, weights),
                (Method::Winograd, false) => {
                    winograd::transform_weights(self.level, ready, weights, self.packed.inputs)
                }
                (Method::Winograd, true) => {
                    let mut sum = vec![0f32; frame];
                    sum_frames(&mut sum, weights);
                    winograd::transform_weights(self.level, ready, &sum, self.packed.inputs);
                }
            }
        });
        ready
    }
}

/// The sum of kernel frames, each as long as `sum`.
fn sum_frames(sum: &mut [f32], weights: &[f32]) {
    let mut frames = weights.chunks_exact(sum.len().max(1));
    if let Some(first) = frames.next() {
        sum.copy_from_slice(first);
    }
    for frame in frames {
        sum.iter_mut().zip(frame).for_each(|(sum, weight)| *sum += weight);
    }
}
