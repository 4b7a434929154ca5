//! Which instructions the kernels use: the widest that this processor has, or fewer when somebody says so.
//!
//! Must not know what the kernels compute.
#![allow(unsafe_code)]

use std::{fmt, str::FromStr};

/// Instructions that this processor has, and the system lets this process use: nobody has a level that it lacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(Instructions);

/// Instruction sets that the CPU kernels are written for, from the narrowest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Instructions {
    /// What every processor has; the compiler vectorises.
    Portable,
    /// AVX2 with fused multiply-add (x86-64-v3).
    Avx2,
    /// AVX-512 F, BW, CD, DQ and VL (x86-64-v4).
    Avx512,
    /// AVX-512, and tiles of bf16 (AMX) for weights that are stored as bf16.
    Amx,
}

/// A level that is not known, or that this processor does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cpu level: {found} is not one of {}", supported.join(", "))]
pub struct UnknownLevel {
    /// The name given.
    pub found: String,
    /// What this processor has.
    pub supported: Vec<&'static str>,
}

impl Level {
    /// What every processor has.
    pub const PORTABLE: Self = Self(Instructions::Portable);

    /// The levels that this processor has, from the narrowest on.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") && has!("f16c") {
                levels.push(Self(Instructions::Avx2));
                if has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl") {
                    levels.push(Self(Instructions::Avx512));
                    if super::amx::granted() {
                        levels.push(Self(Instructions::Amx));
                    }
                }
            }
        }
        levels
    }

    /// The widest level that this processor has.
    pub fn widest() -> Self {
        Self::available().pop().unwrap_or(Self::PORTABLE)
    }

    /// Whether weights that are stored as bf16 are multiplied in tiles of bf16 (AMX), with activations of 17 bits.
    pub fn has_tiles(self) -> bool {
        self.0 == Instructions::Amx
    }

    /// `portable`, `avx2`, `avx512` or `amx`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Instructions::Portable => "portable",
            Instructions::Avx2 => "avx2",
            Instructions::Avx512 => "avx512",
            Instructions::Amx => "amx",
        }
    }

    pub(super) fn instructions(self) -> Instructions {
        self.0
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        let available = Self::available();
        available.iter().copied().find(|level| level.name() == name).ok_or_else(|| UnknownLevel {
            found: name.to_owned(),
            supported: available.into_iter().map(Self::name).collect(),
        })
    }
}

/// Runs `work` compiled for a level; what it calls has to be inlined into it.
pub(super) fn widest<R>(level: Level, work: impl FnOnce() -> R) -> R {
    match level.0 {
        // SAFETY: a level is only made where the processor has it.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 | Instructions::Amx => unsafe { with_avx512(work) },
        // pulp's widest is AVX2: its AVX-512 is a feature of its own that is off.
        Instructions::Avx2 => pulp::Arch::new().dispatch(work),
        _ => work(),
    }
}

/// Work that is told whether the level has a fused multiply-add.
pub(super) trait Fusing {
    /// Does it; what it calls has to be inlined into it.
    fn run<const FUSED: bool>(self);
}

/// [`widest`] for work that is told.
pub(super) fn widest_fusing(level: Level, work: impl Fusing) {
    if level == Level::PORTABLE {
        return work.run::<false>();
    }
    widest(
        level,
        #[inline(always)]
        || work.run::<true>(),
    );
}

/// # Safety
/// The processor has these features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn with_avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_others_are_refused_by_name() {
        for level in Level::available() {
            assert_eq!(level.name().parse(), Ok(level));
        }
        let refused = "sse9".parse::<Level>().unwrap_err().to_string();
        assert!(refused.starts_with("cpu level: sse9 is not one of portable"), "{refused}");
    }
}
