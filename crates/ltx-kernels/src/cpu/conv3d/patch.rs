//! A patch of the input with the frame of values around it that the kernel sees: padding in time and space, and pixel norm with
//! SiLU where the layer wants them, are made while it is copied.
//!
//! Must not know how it is multiplied.

use super::super::math::{silu, sum};
use crate::TimePadding;
use std::ops::Range;

/// Channels of a copied position are padded to whole groups of so many.
pub(super) const GROUP: usize = 16;

/// One clip, `[frames, height, width, channels]`.
#[derive(Clone, Copy)]
pub(super) struct Clip<'a> {
    pub(super) data: &'a [f32],
    pub(super) frames: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// Factor and summand of every channel, between a pixel norm and its SiLU.
#[derive(Clone, Copy)]
pub struct ChannelAffine<'a> {
    /// Multiplies.
    pub scale: &'a [f32],
    /// Is added.
    pub shift: &'a [f32],
}

/// How a clip is continued around itself and prepared.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Frames, rows and columns of the kernel.
    pub(super) kernel: [usize; 3],
    pub(super) time: TimePadding,
    /// Pixel norm with this epsilon, then SiLU.
    pub(super) norm: Option<f32>,
    /// What stands between the two.
    pub(super) affine: Option<ChannelAffine<'a>>,
}

/// Output positions: frames, rows, columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) frames: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Around<'_> {
    /// The clip's frame under tap `tap` of output frame `frame`; `None` is a frame of zeros.
    pub(super) fn source_frame(&self, frame: usize, tap: usize, frames: usize) -> Option<usize> {
        let front = match self.time {
            TimePadding::Causal => self.kernel[0] - 1,
            TimePadding::Replicate | TimePadding::Zeros => self.kernel[0] / 2,
        };
        match self.time {
            TimePadding::Causal | TimePadding::Replicate => Some((frame + tap).saturating_sub(front).min(frames - 1)),
            TimePadding::Zeros => (frame + tap).checked_sub(front).filter(|f| *f < frames),
        }
    }

    /// Copies what one frame of `region` sees under temporal tap `tap` of output frame `frame`: `rows + kh − 1` lines of
    /// `columns + kw − 1` positions of `stride` channels. Returns false, and copies nothing, where all of it is zero.
    #[inline(always)]
    pub(super) fn copy(&self, out: &mut [f32], clip: &Clip<'_>, region: &Region, (frame, tap): (usize, usize)) -> bool {
        let Some(source) = self.source_frame(frame, tap, clip.frames) else { return false };
        let [_, kh, kw] = self.kernel;
        let stride = clip.channels.next_multiple_of(GROUP);
        let positions = region.columns.len() + kw - 1;
        let lines = region.rows.start..region.rows.end + kh - 1;
        for (line, out) in lines.zip(out.chunks_mut(positions * stride)) {
            let row = line.checked_sub(kh / 2).filter(|row| *row < clip.height);
            let Some(row) = row else {
                out.fill(0.0);
                continue;
            };
            let before = (kw / 2).saturating_sub(region.columns.start).min(positions);
            let first = (region.columns.start + before).saturating_sub(kw / 2);
            let inside = clip.width.saturating_sub(first).min(positions - before);
            out[..before * stride].fill(0.0);
            out[(before + inside) * stride..].fill(0.0);
            let start = ((source * clip.height + row) * clip.width + first) * clip.channels;
            let values = &clip.data[start..][..inside * clip.channels];
            let out = &mut out[before * stride..][..inside * stride];
            self.copy_positions(out, values, clip.channels);
        }
        true
    }

    #[inline(always)]
    fn copy_positions(&self, out: &mut [f32], values: &[f32], channels: usize) {
        let stride = channels.next_multiple_of(GROUP);
        let Some(eps) = self.norm else {
            if stride == channels {
                out.copy_from_slice(values);
                return;
            }
            for (out, values) in out.chunks_exact_mut(stride).zip(values.chunks_exact(channels)) {
                out[..channels].copy_from_slice(values);
                out[channels..].fill(0.0);
            }
            return;
        };
        // Some positions at a time, so that roots and quotients are taken side by side.
        for (out, values) in out.chunks_mut(GROUP * stride).zip(values.chunks(GROUP * channels)) {
            let mut inverse = [0f32; GROUP];
            for (inverse, values) in inverse.iter_mut().zip(values.chunks_exact(channels)) {
                *inverse = sum(values, |x| x * x);
            }
            inverse.iter_mut().for_each(|sum| *sum = 1.0 / (*sum / channels as f32 + eps).sqrt());
            let positions = out.chunks_exact_mut(stride).zip(values.chunks_exact(channels));
            for ((out, values), inverse) in positions.zip(inverse) {
                match self.affine {
                    None => out.iter_mut().zip(values).for_each(|(out, x)| *out = silu(x * inverse)),
                    Some(ChannelAffine { scale, shift }) => {
                        let by = scale.iter().zip(shift);
                        let each = out.iter_mut().zip(values.iter().zip(by));
                        each.for_each(|(out, (x, (scale, shift)))| *out = silu(x * inverse * scale + shift));
                    }
                }
                out[channels..].fill(0.0);
            }
        }
    }
}
