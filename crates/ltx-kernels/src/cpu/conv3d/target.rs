//! Where results go: bias, sum with a skip, and unfolding of channels into space and time, as a result is written. Threads write
//! parts of one output, which are disjoint because they are a grid's.
//!
//! Must not know how results are computed.
#![allow(unsafe_code)]

use super::{super::gemm::COLUMNS, packed::PackedConv, patch::Region, plan::Grid};
use rayon::prelude::*;
use std::{marker::PhantomData, ops::Range};

/// Results written together.
pub(super) const LANES: usize = 16;

/// One clip's output, `[frames, height, width, channels]`.
pub(super) struct Target<'a> {
    first: *mut f32,
    add: bool,
    conv: &'a PackedConv,
    /// Frames, height and width before unfolding.
    size: [usize; 3],
    data: PhantomData<&'a mut [f32]>,
}

/// The outputs of some panels at some positions, for one thread.
pub(super) struct Part<'a> {
    target: &'a Target<'a>,
    region: Region,
    panels: Range<usize>,
}

/// Up to [`LANES`] outputs side by side, and where they unfold to.
pub(super) struct Outputs {
    first: usize,
    count: usize,
    /// There where they are [`LANES`] channels of one unfolded position.
    bias: Option<[f32; LANES]>,
    place: Place,
}

/// A channel, and the unfolded position within the convolution's own.
#[derive(Clone, Copy)]
struct Place {
    part: [usize; 3],
    channel: usize,
}

// SAFETY: only `Part` writes through it, and no two parts of a grid share an output.
unsafe impl Sync for Target<'_> {}

impl<'a> Target<'a> {
    /// `add`: onto what is there; `size` is the input's frames, height and width. `None` if `data` is not as long as the output.
    pub(super) fn new(data: &'a mut [f32], conv: &'a PackedConv, size: [usize; 3], add: bool) -> Option<Self> {
        let ([frames, height, width], [time, rows, columns]) = (size, conv.unfold);
        let len =
            (frames * time - (time - 1)) * height * rows * width * columns * (conv.outputs / (time * rows * columns));
        (data.len() == len).then_some(Self { first: data.as_mut_ptr(), add, conv, size, data: PhantomData })
    }

    /// Hands every part of a grid to `work`, side by side.
    ///
    /// # Panics
    /// The grid reaches past the output, or its ranges overlap: a mistake of the caller's, that unsafe code must not see.
    pub(super) fn for_each_part(&mut self, grid: &Grid, work: impl Fn(Part<'_>) + Sync + Send) {
        let [frames, height, width] = self.size;
        let axes =
            [(&grid.frames, frames), (&grid.rows, height), (&grid.columns, width), (&grid.panels, self.conv.panels())];
        for (ranges, end) in axes {
            let apart = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
            let inside = ranges.iter().all(|range| range.start <= range.end && range.end <= end);
            assert!(apart && inside, "conv3d: parts of the output overlap");
        }
        let target = &*self;
        (0..grid.len()).into_par_iter().with_max_len(1).for_each(|i| {
            let (region, panels) = grid.part(i);
            work(Part { target, region, panels });
        });
    }

    fn place(&self, output: usize) -> Place {
        let ([_, rows, columns], channels) = (self.conv.unfold, self.channels());
        let (part, channel) = (output / channels, output % channels);
        Place { part: [part / (rows * columns), part / columns % rows, part % columns], channel }
    }

    /// Channels of an unfolded position.
    fn channels(&self) -> usize {
        self.conv.outputs / self.conv.unfold.iter().product::<usize>()
    }

    /// Where an output lies; `None` in a frame that is left out: unfolding time drops the first frames it makes.
    #[inline(always)]
    fn start(&self, [frame, row, column]: [usize; 3], place: Place) -> Option<usize> {
        let ([time, rows, columns], [t, y, x], [_, height, width]) = (self.conv.unfold, place.part, self.size);
        let frame = (frame * time + t).checked_sub(time - 1)?;
        let line = (frame * height + row) * rows + y;
        Some(((line * width + column) * columns + x) * self.channels() + place.channel)
    }
}

impl Part<'_> {
    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    pub(super) fn panels(&self) -> Range<usize> {
        self.panels.clone()
    }

    /// The outputs from `first` on.
    pub(super) fn outputs(&self, first: usize) -> Outputs {
        let conv = self.target.conv;
        let end = conv.outputs.min(self.panels.end * COLUMNS);
        let (count, place) = (LANES.min(end.saturating_sub(first)), self.target.place(first));
        let whole = count == LANES && place.channel + LANES <= self.target.channels();
        let bias = if whole { conv.bias[first..].first_chunk().copied() } else { None };
        Outputs { first, count, bias, place }
    }

    /// Writes outputs of `N × N` positions of the convolution from `[frame, row, column]` on; what lies outside the part's region
    /// is left out.
    ///
    /// # Panics
    /// The first position or the outputs are not the part's.
    #[inline(always)]
    pub(super) fn write<const N: usize>(
        &mut self,
        [frame, row, column]: [usize; 3],
        outputs: &Outputs,
        values: &[[[f32; LANES]; N]; N],
    ) {
        let Region { frames, rows, columns } = &self.region;
        let mine =
            outputs.first >= self.panels.start * COLUMNS && outputs.first + outputs.count <= self.panels.end * COLUMNS;
        let inside = frames.contains(&frame) && rows.contains(&row) && columns.contains(&column);
        assert!(mine && inside, "conv3d: a result lies outside its part");
        for (y, values) in values.iter().enumerate().take(rows.end - row) {
            for (x, values) in values.iter().enumerate().take(columns.end - column) {
                // SAFETY: the position and the outputs are this part's own, as just asserted and cut.
                unsafe { self.put([frame, row + y, column + x], outputs, values) };
            }
        }
    }

    /// # Safety
    /// Position and outputs are this part's.
    #[inline(always)]
    unsafe fn put(&self, position: [usize; 3], outputs: &Outputs, values: &[f32; LANES]) {
        let target = self.target;
        if let Some(bias) = outputs.bias {
            let Some(start) = target.start(position, outputs.place) else { return };
            // SAFETY: the position is inside the output, as grid and region are, and so are its channels, as `outputs` found;
            // the output is as long as its sizes say. No other part has these elements.
            let out = unsafe { &mut *target.first.add(start).cast::<[f32; LANES]>() };
            let mut sums = bias;
            if target.add {
                sums.iter_mut().zip(*out).for_each(|(sum, before)| *sum += before);
            }
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            *out = sums;
            return;
        }
        for (i, value) in values[..outputs.count].iter().enumerate() {
            let output = outputs.first + i;
            let Some(start) = target.start(position, target.place(output)) else { continue };
            // SAFETY: as above.
            let out = unsafe { &mut *target.first.add(start) };
            let before = if target.add { *out } else { 0.0 };
            *out = target.conv.bias[output] + before + value;
        }
    }
}
