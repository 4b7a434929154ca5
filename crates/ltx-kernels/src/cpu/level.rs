//! Which instructions the kernels use: the widest that this processor has, or fewer when somebody says so.
//!
//! Must not know what the kernels compute.
#![allow(unsafe_code)]

use std::{
    str::FromStr,
    sync::atomic::{AtomicU8, Ordering},
};

/// Instruction sets that the CPU kernels are written for, from the narrowest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What every processor has; the compiler vectorises.
    Portable = 1,
    /// AVX2 with fused multiply-add (x86-64-v3).
    Avx2 = 2,
    /// AVX-512 F, BW, CD, DQ and VL (x86-64-v4).
    Avx512 = 3,
    /// The same, and tiles of bf16 (AMX) for weights that are stored as bf16.
    Amx = 4,
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

/// The level in use; 0 until it is asked for.
static CURRENT: AtomicU8 = AtomicU8::new(0);

impl Level {
    /// The levels that this processor has, from the narrowest on.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") && has!("f16c") {
                levels.push(Self::Avx2);
                if has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl") {
                    levels.push(Self::Avx512);
                    if super::amx::granted() {
                        levels.push(Self::Amx);
                    }
                }
            }
        }
        levels
    }

    /// The level in use.
    pub fn current() -> Self {
        match CURRENT.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Amx,
            _ => {
                let widest = Self::available().pop().unwrap_or(Self::Portable);
                CURRENT.store(widest as u8, Ordering::Relaxed);
                widest
            }
        }
    }

    /// Makes the whole process use this level from now on.
    ///
    /// # Errors
    /// This processor does not have it.
    pub fn force(self) -> Result<(), UnknownLevel> {
        if !Self::available().contains(&self) {
            return Err(Self::unknown(self.name()));
        }
        CURRENT.store(self as u8, Ordering::Relaxed);
        Ok(())
    }

    /// Runs `work` once on every level that this processor has, the whole process being on it meanwhile. Tests take turns.
    #[doc(hidden)]
    pub fn on_each(mut work: impl FnMut(Self)) {
        static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = Self::current();
        for level in Self::available() {
            let _ = level.force();
            work(level);
        }
        let _ = before.force();
    }

    /// `portable`, `avx2`, `avx512` or `amx`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }

    fn unknown(found: &str) -> UnknownLevel {
        UnknownLevel { found: found.to_owned(), supported: Self::available().into_iter().map(Self::name).collect() }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        Self::available().into_iter().find(|level| level.name() == name).ok_or_else(|| Self::unknown(name))
    }
}

/// Runs `work` compiled for a level; what it calls has to be inlined into it.
pub(super) fn widest<R>(level: Level, work: impl FnOnce() -> R) -> R {
    match level {
        // SAFETY: nobody has a level that the processor lacks.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx => unsafe { with_avx512(work) },
        // pulp's widest is AVX2: its AVX-512 is a feature of its own that is off.
        Level::Avx2 => pulp::Arch::new().dispatch(work),
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
    if level == Level::Portable {
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
