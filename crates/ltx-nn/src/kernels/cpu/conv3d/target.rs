//! Where results go: bias, sum with a skip, and unfolding of channels into space and time, as a result is written.
//!
//! Must not know how results are computed.
#![allow(unsafe_code)]

use super::packed::PackedConv;
use std::marker::PhantomData;

/// Results written together.
pub(super) const LANES: usize = 16;

/// One clip's output, `[frames, height, width, channels]`, that several threads write disjoint positions of.
pub(super) struct Target<'a> {
    first: *mut f32,
    len: usize,
    add: bool,
    conv: &'a PackedConv,
    /// Channels of an unfolded position.
    channels: usize,
    /// Height and width after unfolding.
    size: [usize; 2],
    data: PhantomData<&'a mut [f32]>,
}

/// Up to [`LANES`] outputs side by side, and where they unfold to.
pub(super) struct Outputs<'a> {
    first: usize,
    count: usize,
    /// Whether they are [`LANES`] channels of one unfolded position.
    bias: Option<&'a [f32; LANES]>,
    place: Place,
}

/// A channel, and the unfolded position within the convolution's own.
#[derive(Clone, Copy)]
struct Place {
    part: [usize; 3],
    channel: usize,
}

// SAFETY: `write` touches the elements of one convolution output alone, and its callers write each output once.
unsafe impl Sync for Target<'_> {}

impl<'a> Target<'a> {
    /// `add`: onto what is there. `[height, width]` are the input's.
    pub(super) fn new(data: &'a mut [f32], conv: &'a PackedConv, [height, width]: [usize; 2], add: bool) -> Self {
        let [time, rows, columns] = conv.unfold;
        Self {
            first: data.as_mut_ptr(),
            len: data.len(),
            add,
            conv,
            channels: conv.outputs / (time * rows * columns),
            size: [height * rows, width * columns],
            data: PhantomData,
        }
    }

    /// The outputs from `first` on.
    pub(super) fn outputs(&self, first: usize) -> Outputs<'_> {
        let count = LANES.min(self.conv.outputs.saturating_sub(first));
        let place = self.place(first);
        let whole = count == LANES && place.channel + LANES <= self.channels;
        let bias = if whole { self.conv.bias[first..].first_chunk() } else { None };
        Outputs { first, count, bias, place }
    }

    /// Writes outputs of one position, `[frame, row, column]` of the convolution.
    ///
    /// # Safety
    /// No other thread writes these outputs of this position meanwhile.
    #[inline(always)]
    pub(super) unsafe fn write(&self, position: [usize; 3], outputs: &Outputs<'_>, values: &[f32; LANES]) {
        if let Some(bias) = outputs.bias {
            let Some(start) = self.start(position, outputs.place) else { return };
            assert!(start + LANES <= self.len, "conv3d: a result lies outside the output");
            // SAFETY: inside the output, as just asserted; nobody else has these elements, as the caller promises.
            let out = unsafe { &mut *self.first.add(start).cast::<[f32; LANES]>() };
            let mut sums = *bias;
            if self.add {
                sums.iter_mut().zip(*out).for_each(|(sum, before)| *sum += before);
            }
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            *out = sums;
            return;
        }
        for (i, value) in values[..outputs.count].iter().enumerate() {
            let output = outputs.first + i;
            let Some(start) = self.start(position, self.place(output)) else { continue };
            assert!(start < self.len, "conv3d: a result lies outside the output");
            // SAFETY: as above.
            let out = unsafe { &mut *self.first.add(start) };
            let value = value + self.conv.bias[output];
            *out = if self.add { *out + value } else { value };
        }
    }

    fn place(&self, output: usize) -> Place {
        let [_, rows, columns] = self.conv.unfold;
        let (part, channel) = (output / self.channels, output % self.channels);
        Place { part: [part / (rows * columns), part / columns % rows, part % columns], channel }
    }

    /// Where an output lies; `None` in a frame that is left out: unfolding time drops the first frames it makes.
    #[inline(always)]
    fn start(&self, [frame, row, column]: [usize; 3], place: Place) -> Option<usize> {
        let ([time, rows, columns], [t, y, x], [height, width]) = (self.conv.unfold, place.part, self.size);
        let frame = (frame * time + t).checked_sub(time - 1)?;
        Some(((frame * height + row * rows + y) * width + column * columns + x) * self.channels + place.channel)
    }
}
