//! A launch: which kernel, how many blocks of how many threads, how much shared memory, which arguments.
//!
//! Must not know who performs it.

use candle_core::{DType, Error, Result};

/// The `.cu` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Module {
    Attention,
    AttentionHopper,
    Conv3d,
    Conv3dHopper,
    Fp8,
    Gate,
    Norm,
    PixelNorm,
    Rope,
}

/// What a kernel computes in; the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    Bf16,
}

impl Element {
    /// The element of tensors that a kernel exists for.
    pub(super) fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => Some(Self::F32),
            DType::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Values in 16 bytes.
    pub(super) fn pack(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 8,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Argument {
    /// The next tensor; inputs first, then outputs.
    Tensor,
    /// An `int`.
    Int(i32),
    /// A `long`.
    Long(i64),
    /// A `float`.
    Float(f32),
}

/// One launch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Launch {
    pub(super) module: Module,
    pub(super) kernel: String,
    pub(super) grid: [u32; 3],
    /// Threads a block.
    pub(super) block: u32,
    /// Bytes of shared memory a block.
    pub(super) shared: u32,
    pub(super) arguments: Vec<Argument>,
}

/// Threads a block of every kernel that walks over values.
pub(super) const THREADS: u32 = 256;
/// The most threads a block of a kernel that takes a row a block: one for each pack of 8 values in a row of 4096.
const ROW_THREADS: usize = 512;
/// Bytes of a multiple of which Hopper's tiles begin in shared memory; whoever has such tiles asks for so much more.
pub(super) const PANEL_ALIGNMENT: usize = 1024;
/// Bytes that `block_sum` needs: a float a warp, 32 at most.
pub(super) const SUMS: u32 = 32 * 4;

impl Launch {
    /// A kernel for tensors of one element.
    pub(super) fn new(module: Module, name: &str, element: Element, grid: [usize; 3]) -> Result<Self> {
        let [x, y, z] = grid;
        let limits = [(x, i32::MAX as usize), (y, 65_535), (z, 65_535)];
        if let Some((blocks, limit)) = limits.into_iter().find(|(blocks, limit)| *blocks == 0 || blocks > limit) {
            return Err(Error::msg(format!("{name}: a grid of {blocks} blocks, possible are 1 to {limit}")));
        }
        let kernel = format!("{name}_{}", element.suffix());
        let grid = [x as u32, y as u32, z as u32];
        Ok(Self { module, kernel, grid, block: THREADS, shared: 0, arguments: vec![] })
    }

    /// So many tensors come next.
    pub(super) fn tensors(mut self, count: usize) -> Self {
        self.arguments.extend(std::iter::repeat_n(Argument::Tensor, count));
        self
    }

    /// Sizes, as `int`s.
    pub(super) fn ints(mut self, values: &[usize]) -> Result<Self> {
        for value in values {
            let value = i32::try_from(*value);
            let value = value.map_err(|_| Error::msg(format!("{}: a size does not fit 31 bits", self.kernel)))?;
            self.arguments.push(Argument::Int(value));
        }
        Ok(self)
    }

    /// A size, as a `long`.
    pub(super) fn long(mut self, value: usize) -> Self {
        self.arguments.push(Argument::Long(value as i64));
        self
    }

    pub(super) fn float(mut self, value: f32) -> Self {
        self.arguments.push(Argument::Float(value));
        self
    }

    /// As many threads as there are works, in whole warps, of a kernel of which each block takes a row.
    pub(super) fn row_of(mut self, works: usize) -> Self {
        self.block = works.div_ceil(32).clamp(1, ROW_THREADS / 32) as u32 * 32;
        self
    }

    pub(super) fn shared(mut self, bytes: u32) -> Self {
        self.shared = bytes;
        self
    }
}

/// Blocks for `count` values that each thread takes `each` of at a time, as many as keep a large GPU busy; threads go round.
pub(super) fn blocks(count: usize, each: usize) -> usize {
    count.div_ceil(THREADS as usize * each).clamp(1, 4096)
}
