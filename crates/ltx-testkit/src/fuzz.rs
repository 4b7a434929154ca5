//! Campaigns of generated cases: hostile input in, a verdict out, and one line of figures that `scripts/fuzz` collects.
//!
//! Must not know what is tried. `FUZZ_CASES` says how many cases a campaign has, `FUZZ_SEED` which ones: the same
//! seed gives the same cases. (Not LTXD_…: those are a node's configuration.)

use proptest::{
    strategy::{BoxedStrategy, Just, Strategy, Union},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use std::{cell::Cell, env, fmt, time::Instant};

/// Cases of a campaign when nothing else is said: as many as a test run has time for.
const CASES: u32 = 200;
/// The seed when nothing else is said.
const SEED: u64 = 20_261_123;
/// Steps towards a smaller failing case.
const SHRINKS: u32 = 2000;

/// What became of a case that did not break anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Accepted,
    /// It was refused, with an error of the promised kind.
    Refused,
}

impl Verdict {
    /// Of a result whose error was looked at.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Accepted } else { Self::Refused }
    }
}

/// How many cases a campaign has that wants at least so many.
pub fn cases_of(least: u32) -> u32 {
    number("FUZZ_CASES", u64::from(CASES)).max(least.into()) as u32
}

/// Runs a campaign and prints its figures.
///
/// # Panics
/// A case panics, which includes every assertion in `check`; the smallest one found is in the message.
pub fn campaign<S: Strategy>(target: &str, cases: &S, check: impl Fn(S::Value) -> Verdict) {
    campaign_of(0, target, cases, check);
}

/// The same with at least so many cases, whatever is said: for targets where a case costs next to nothing.
///
/// # Panics
/// As [`campaign`].
pub fn campaign_of<S: Strategy>(least: u32, target: &str, cases: &S, check: impl Fn(S::Value) -> Verdict) {
    let (count, seed) = (cases_of(least), number("FUZZ_SEED", SEED));
    let config = Config {
        cases: count,
        max_shrink_iters: SHRINKS,
        failure_persistence: None,
        source_file: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (accepted, refused, began) = (Cell::new(0u64), Cell::new(0u64), Instant::now());
    let ran = runner.run(cases, |case| {
        let counter = match check(case) {
            Verdict::Accepted => &accepted,
            Verdict::Refused => &refused,
        };
        counter.set(counter.get() + 1);
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{target}, seed {seed}: {error}");
    }
    report(target, [accepted.get(), refused.get()], began, seed);
}

/// Prints a campaign's figures, as `scripts/fuzz` collects them: cases that were accepted and refused since it began.
pub fn report(target: &str, [accepted, refused]: [u64; 2], began: Instant, seed: u64) {
    let line = serde_json::json!({
        "target": target,
        "cases": accepted + refused,
        "accepted": accepted,
        "refused": refused,
        "seconds": (began.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        "seed": seed,
    });
    println!("fuzz: {line}");
}

fn number(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text}: is no whole number")),
        Err(_) => default,
    }
}

/// Bytes whose `Debug` can be read: how many, and the first of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4096;
        write!(f, "{} bytes ", self.0.len())?;
        self.0.iter().take(SHOWN).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One way to damage bytes. Places are shares of the length, so that one edit fits bytes of any length.
#[derive(Debug, Clone)]
pub enum Edit {
    /// One bit changes.
    Flip(f64, u8),
    /// These bytes stand there instead.
    Write(f64, Vec<u8>),
    /// These bytes come between.
    Insert(f64, Vec<u8>),
    /// So many are gone.
    Remove(f64, usize),
    /// A part comes a second time, elsewhere.
    Repeat(f64, usize, f64),
    /// All that follows is gone.
    Truncate(f64),
}

impl Edit {
    /// Does it.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |share: f64, length: usize| ((share * length as f64) as usize).min(length);
        let length = bytes.len();
        match self {
            Self::Flip(share, bit) if length > 0 => bytes[at(*share, length - 1)] ^= 1 << (bit % 8),
            Self::Flip(..) => {}
            Self::Write(share, new) => {
                let from = at(*share, length);
                let to = (from + new.len()).min(length);
                bytes[from..to].copy_from_slice(&new[..to - from]);
            }
            Self::Insert(share, new) => {
                let from = at(*share, length);
                bytes.splice(from..from, new.iter().copied());
            }
            Self::Remove(share, count) => {
                let from = at(*share, length);
                bytes.drain(from..(from + count).min(length));
            }
            Self::Repeat(share, count, to) => {
                let from = at(*share, length);
                let part = bytes[from..(from + count).min(length)].to_vec();
                let to = at(*to, length);
                bytes.splice(to..to, part);
            }
            Self::Truncate(share) => bytes.truncate(at(*share, length)),
        }
    }
}

/// Bytes that tend to be read as lengths, counts and sizes.
fn telling() -> BoxedStrategy<Vec<u8>> {
    let number = |value: u32| {
        [
            value.to_be_bytes().to_vec(),
            value.to_le_bytes().to_vec(),
            value.to_be_bytes()[2..].to_vec(),
            vec![value as u8],
        ]
    };
    let numbers = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x4000, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    let numbers: Vec<_> = numbers.into_iter().flat_map(number).collect();
    let any = proptest::collection::vec(proptest::num::u8::ANY, 1..24);
    Union::new([proptest::sample::select(numbers).boxed(), any.boxed()]).boxed()
}

/// Up to `most` edits; none at all is among them.
pub fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    let share = || 0.0..=1.0f64;
    let edit = proptest::prop_oneof![
        4 => (share(), proptest::num::u8::ANY).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        6 => (share(), telling()).prop_map(|(at, bytes)| Edit::Write(at, bytes)),
        2 => (share(), telling()).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (share(), 1..64usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (share(), 1..256usize, share()).prop_map(|(at, count, to)| Edit::Repeat(at, count, to)),
        1 => share().prop_map(Edit::Truncate),
    ];
    proptest::collection::vec(edit, 0..=most)
}

/// Bytes with the edits done.
pub fn damaged(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    edits.iter().for_each(|edit| edit.apply(&mut bytes));
    bytes
}

/// Text that programs stumble over: nothing, very much, other scripts, control characters, marks, what looks like a path.
pub fn odd_text() -> impl Strategy<Value = String> {
    const ODD: [&str; 16] = [
        "",
        " ",
        "\0",
        "\u{feff}a",
        "\u{202e}gnp.exe",
        "e\u{301}\u{301}\u{301}",
        "👩‍👩‍👧‍👦",
        "𝕷𝖙𝖝",
        "ﬀ İ ẞ",
        "../../etc/passwd",
        "%s%n{}",
        "' OR 1=1 --",
        "a\r\nb: c",
        "\u{ffff}\u{10ffff}",
        "٣",
        "-",
    ];
    proptest::prop_oneof![
        4 => proptest::sample::select(&ODD[..]).prop_map(str::to_owned),
        2 => proptest::collection::vec(proptest::char::any(), 0..40).prop_map(|chars| chars.into_iter().collect()),
        1 => (proptest::sample::select(&ODD[..]), proptest::sample::select(vec![128usize, 129, 16_384, 16_385, 70_000]))
            .prop_map(|(text, length)| text.repeat(length / text.len().max(1))),
        1 => Just("x".repeat(16_385)),
    ]
}
