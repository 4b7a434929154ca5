//! What kernels on every device are told beside their tensors: heads and masks, padding and unfolding, rows of a modulation.
//!
//! Must not know tensors.

/// Who may see whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Every query sees every key.
    Full,
    /// A query sees itself and the keys before it, at most `window` of them.
    Causal {
        /// How many keys back, the query's own included.
        window: usize,
    },
}

impl Mask {
    /// Whether query `q` sees key `k`.
    pub fn allows(self, q: usize, k: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Causal { window } => k <= q && q - k < window,
        }
    }
}

/// Heads and scale of an attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Multiplies the scores; usually `1/√head_dim`.
    pub scale: f64,
    /// Who may see whom.
    pub mask: Mask,
}

/// An attention in which positions of a clip see those around them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighbourhoodShape {
    /// Heads.
    pub heads: usize,
    /// Values of a head.
    pub head_dim: usize,
    /// Frames, rows and columns that a position sees; odd.
    pub kernel: [usize; 3],
    /// Frames, rows and columns of the clip, each as many as the kernel has at least.
    pub clip: [usize; 3],
    /// What is seen near the left and right side.
    pub sides: Sides,
}

/// What positions see that are nearer to the left or right side than half a kernel. Of frames and rows the window always moves inwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// The window moves inwards.
    Shifted,
    /// The window stays, and sees the outermost column again beyond the side, rotated as if it stood there.
    Repeated,
}

impl NeighbourhoodShape {
    /// How many values of a head are rotated by frame, row and column; `None` of one that does not split into pairs for all of them.
    pub fn split(head_dim: usize) -> Option<[usize; 3]> {
        if !head_dim.is_multiple_of(8) {
            return None;
        }
        let time = head_dim / 4;
        let time = if ((head_dim - time) / 2).is_multiple_of(2) { time } else { time.checked_sub(2)? };
        let space = (head_dim - time) / 2;
        (time > 0 && space > 0).then_some([time, space, space])
    }
}

/// What stands before the first and after the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimePadding {
    /// The first frame, repeated in front: a frame sees itself and the past.
    Causal,
    /// The first frame in front and the last one behind.
    Replicate,
    /// Zeros on both sides.
    Zeros,
}

/// Sizes of a 3-D convolution with stride 1, and what it is joined with. Space is always padded with zeros.
#[derive(Debug, Clone, Copy)]
pub struct Conv3dConfig {
    /// Channels in.
    pub inputs: usize,
    /// Channels out, before unfolding.
    pub outputs: usize,
    /// Frames, rows and columns of the kernel; odd.
    pub kernel: [usize; 3],
    /// Padding in time.
    pub time: TimePadding,
    /// The epsilon of a pixel norm, followed by SiLU, before the convolution.
    pub norm: Option<f64>,
    /// Channels, ordered (c, time, row, column), unfold by these factors after it; the first `time − 1` frames are dropped.
    pub unfold: [usize; 3],
    /// Whether rows and columns beyond the sides are reflections of those within, and not zeros.
    pub reflects: bool,
}

impl Conv3dConfig {
    /// A 3×3×3 kernel with nothing around it.
    pub fn cube(inputs: usize, outputs: usize, time: TimePadding) -> Self {
        Self { inputs, outputs, kernel: [3, 3, 3], time, norm: None, unfold: [1, 1, 1], reflects: false }
    }

    /// This convolution behind a pixel norm and SiLU.
    #[must_use]
    pub fn normed(self, eps: f64) -> Self {
        Self { norm: Some(eps), ..self }
    }

    /// This convolution, its channels unfolded by (time, rows, columns) after it.
    #[must_use]
    pub fn unfolded(self, unfold: [usize; 3]) -> Self {
        Self { unfold, ..self }
    }

    /// This convolution, its input reflected beyond its sides.
    #[must_use]
    pub fn reflecting(self, reflects: bool) -> Self {
        Self { reflects, ..self }
    }

    /// Frames, rows, columns and channels of the result for a clip of `[frames, rows, columns]`; `unfold` holds no zero.
    pub fn result(&self, [frames, rows, columns]: [usize; 3]) -> [usize; 4] {
        let [t, r, c] = self.unfold;
        [(frames * t).saturating_sub(t - 1), rows * r, columns * c, self.outputs / (t * r * c)]
    }
}

/// The rows of a modulation that shift and scale.
#[derive(Debug, Clone, Copy)]
pub struct ShiftScale {
    /// Added.
    pub shift: usize,
    /// Multiplies, one added to it.
    pub scale: usize,
}

/// How rows are normalised before they are modulated; numbers as in `norm.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalize {
    /// By their root mean square.
    Rms = 0,
    /// By their mean and deviation.
    Layer = 1,
    /// Not at all.
    Not = 2,
}
