//! 3-D convolution as a matrix product: panels of unrolled input, times the weights in the file's own layout. Where there are
//! many positions, each thread unrolls a panel that its own cache holds and multiplies it at once; where there are few, one
//! bounded panel is shared. Which way is taken follows from sizes alone.
//!
//! Must not know whether it encodes or decodes.

use super::{
    ensure, f32_slice,
    matmul::{Mat, MatMut, for_each_columns, matmul},
};
use crate::TimePadding;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

/// A shared panel's size at most, in values: 8 Mi, 32 MiB.
const PANEL: usize = 8 << 20;
/// A thread's own panel: positions, about, and values, at most.
const COLUMNS: usize = 512;
const OWN_PANEL: usize = 1 << 17;
/// Own panels are worth it from so many blocks of positions on.
const BLOCKS: usize = 12;

/// `[B, I, F, H, W]` with `weight [O, I, kt, kh, kw]` and `bias [O]` → `[B, O, F, H, W]`; stride 1.
pub(crate) struct Conv3d {
    pub(crate) kernel: [usize; 3],
    pub(crate) time: TimePadding,
}

/// Sizes of one sample.
struct Sizes {
    frames: usize,
    height: usize,
    width: usize,
}

impl CustomOp3 for Conv3d {
    fn name(&self) -> &'static str {
        "conv3d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, inputs, frames, height, width) = x_layout.shape().dims5()?;
        let (outputs, weight_inputs, kt, kh, kw) = weight_layout.shape().dims5()?;
        ensure(inputs == weight_inputs && [kt, kh, kw] == self.kernel && bias_layout.dims() == [outputs], "conv3d")?;
        let x = f32_slice(x, x_layout)?;
        let (weight, bias) = (f32_slice(weight, weight_layout)?, f32_slice(bias, bias_layout)?);
        let sizes = Sizes { frames, height, width };
        let positions = frames * height * width;
        let mut out = vec![0f32; batch * outputs * positions];
        let samples = x.chunks((inputs * positions).max(1)).zip(out.chunks_mut((outputs * positions).max(1)));
        for (x, out) in samples {
            if positions >= BLOCKS * COLUMNS {
                self.by_positions(out, x, &sizes, (weight, bias))?;
            } else {
                self.shared_panel(out, x, &sizes, (weight, bias))?;
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, outputs, frames, height, width))))
    }
}

impl Conv3d {
    /// Blocks of whole lines side by side, each on its own thread.
    fn by_positions(&self, out: &mut [f32], x: &[f32], sizes: &Sizes, (weight, bias): (&[f32], &[f32])) -> Result<()> {
        let &Sizes { frames, height, width } = sizes;
        let depth = weight.len() / bias.len().max(1);
        let lines = (COLUMNS / width).max(1);
        let slice = (OWN_PANEL / (lines * width)).clamp(1, depth);
        let init = || vec![0f32; slice * lines * width];
        for_each_columns(out, frames * height * width, lines * width, init, |panel, block, mut out| {
            out.fill(bias);
            let (first, columns) = (block * lines, out.len());
            for taps in (0..depth).step_by(slice) {
                let count = slice.min(depth - taps);
                let panel = &mut panel[..count * columns];
                for (i, row) in panel.chunks_mut(columns).enumerate() {
                    self.fill_row(row, taps + i, x, sizes, first..first + columns / width);
                }
                let weight = Mat { data: &weight[taps..], row_stride: depth, column_stride: 1 };
                out.add_product(count, weight, Mat { data: panel, row_stride: columns, column_stride: 1 })?;
            }
            Ok(())
        })
    }

    /// One panel after the other, all threads on each.
    fn shared_panel(&self, out: &mut [f32], x: &[f32], sizes: &Sizes, (weight, bias): (&[f32], &[f32])) -> Result<()> {
        let &Sizes { frames, height, width } = sizes;
        let positions = frames * height * width;
        let depth = weight.len() / bias.len().max(1);
        for (out, bias) in out.chunks_mut(positions.max(1)).zip(bias) {
            out.fill(*bias);
        }
        let lines_per_panel = (PANEL / (depth * width).max(1)).clamp(1, (frames * height).max(1));
        let mut panel = vec![0f32; depth * lines_per_panel * width];
        for first in (0..frames * height).step_by(lines_per_panel) {
            let lines = first..(first + lines_per_panel).min(frames * height);
            let columns = lines.len() * width;
            let panel = &mut panel[..depth * columns];
            panel.par_chunks_mut(columns).enumerate().for_each(|(tap, row)| {
                self.fill_row(row, tap, x, sizes, lines.clone());
            });
            let target = MatMut { data: &mut out[first * width..], row_stride: positions };
            let weight = Mat { data: weight, row_stride: depth, column_stride: 1 };
            let panel = Mat { data: panel, row_stride: columns, column_stride: 1 };
            matmul((bias.len(), columns, depth), target, true, (weight, panel), Parallelism::Rayon(0))?;
        }
        Ok(())
    }

    /// Row `(i, kt, kh, kw)` of a panel holds, for every position of `lines`, the input value under that tap.
    /// Lines are numbered over frames and rows together.
    fn fill_row(&self, row: &mut [f32], tap: usize, x: &[f32], sizes: &Sizes, lines: std::ops::Range<usize>) {
        let &Sizes { frames, height, width } = sizes;
        let [kt, kh, kw] = self.kernel;
        let (channel, tap) = (tap / (kt * kh * kw), tap % (kt * kh * kw));
        let (tap_frame, tap_row, tap_column) = (tap / (kh * kw), tap / kw % kh, tap % kw);
        let channel = &x[channel * frames * height * width..];
        for (line, target) in lines.zip(row.chunks_mut(width)) {
            let frame = self.source_frame(line / height, tap_frame, frames);
            let source_row = (line % height + tap_row).checked_sub(kh / 2).filter(|r| *r < height);
            match (frame, source_row) {
                (Some(frame), Some(source_row)) => {
                    let source = &channel[(frame * height + source_row) * width..][..width];
                    copy_shifted(target, source, tap_column as isize - (kw / 2) as isize);
                }
                _ => target.fill(0.0),
            }
        }
    }

    /// The input frame under a tap; `None` is a frame of zeros.
    fn source_frame(&self, frame: usize, tap: usize, frames: usize) -> Option<usize> {
        let front = match self.time {
            TimePadding::Causal => self.kernel[0] - 1,
            TimePadding::Replicate | TimePadding::Zeros => self.kernel[0] / 2,
        };
        match self.time {
            TimePadding::Causal | TimePadding::Replicate => Some((frame + tap).saturating_sub(front).min(frames - 1)),
            TimePadding::Zeros => (frame + tap).checked_sub(front).filter(|f| *f < frames),
        }
    }
}

/// `target[i] = source[i + shift]`, zero outside.
fn copy_shifted(target: &mut [f32], source: &[f32], shift: isize) {
    let width = target.len();
    let by = shift.unsigned_abs().min(width);
    if shift >= 0 {
        target[..width - by].copy_from_slice(&source[by..]);
        target[width - by..].fill(0.0);
    } else {
        target[by..].copy_from_slice(&source[..width - by]);
        target[..by].fill(0.0);
    }
}
