//! The rates of the machine that a model computes on, measured piece by piece with the kernels and threads of a run: a product for
//! every form of its matrices, an attention, convolutions, what is bound by memory, reading, encoding. About a second in all.
//!
//! Must not know requests, where rates are kept, or when there is time to measure them.

mod operators;
mod products;

use crate::{Engine, PipelineError, PlanShape, Result, work::Recipe};
use ltx_nn::{Compute, synchronize};
use ltx_types::{Generation, Rates, StageWork, Unit};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A piece is repeated until it has taken so long, or so often, and the shortest counts: what tells two units apart must not be other
/// work on the machine. By how much longer all of a piece's repetitions took, for that other work, its rates are less.
const LONG_ENOUGH: Duration = Duration::from_millis(40);
const TIMES: usize = 15;
const LEAST_TIMES: usize = 4;
/// What is read to see how fast files are: pieces of a file, evenly spread.
const PIECES: u64 = 16;
const PIECE: u64 = 1 << 20;

/// What the name of the clip begins with that the encoder is measured by.
const CLIP: &str = ".rates-";

/// What is measured at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    /// Products with matrices of a form.
    Matrix(String),
    Attention,
    /// Convolutions of about so many channels, of one frame or of several.
    Convolution(u32, bool),
    Packing,
    Moves,
    Calls,
    Reading,
    Encoding,
}

impl Piece {
    /// The piece that tells the rate of a unit.
    fn of(unit: &Unit) -> Self {
        match unit {
            Unit::Layout(form) if form == Unit::CONVOLUTIONS => Self::Packing,
            Unit::Product(form) | Unit::Matrix(form) | Unit::Layout(form) => Self::Matrix(form.clone()),
            Unit::Attention | Unit::Score => Self::Attention,
            Unit::Convolution(channels) => Self::Convolution(*channels, false),
            Unit::FlatConvolution(channels) => Self::Convolution(*channels, true),
            Unit::Value => Self::Moves,
            Unit::Call => Self::Calls,
            Unit::Read => Self::Reading,
            Unit::Pixel => Self::Encoding,
        }
    }
}

/// Measures what is not known yet.
pub struct RateMeter {
    compute: Compute,
    recipes: BTreeMap<String, Recipe>,
    /// A file of a model's weights.
    file: Option<PathBuf>,
    /// A folder for a clip that is begun and not kept.
    folder: PathBuf,
    left: Vec<Piece>,
    known: Rates,
    /// Seconds that repetitions of a piece took, and that they would have taken at their fastest.
    taken: Cell<[f64; 2]>,
}

impl RateMeter {
    /// Of what the work of some stages on an engine lacks among `known` rates. In `folder` a clip is begun, and removed.
    pub fn new(engine: &Engine, shape: &PlanShape, stages: &[StageWork], (known, folder): (&Rates, &Path)) -> Self {
        let total: Vec<_> = stages.iter().map(StageWork::total).collect();
        let units: BTreeSet<&Unit> = total.iter().flat_map(|work| work.counts().map(|(unit, _)| unit)).collect();
        // One that stands in for another is no measurement of it.
        let lacking = units.into_iter().filter(|unit| !known.all().any(|(there, _)| there == *unit));
        let left: BTreeSet<Piece> = lacking.map(Piece::of).collect();
        Self {
            compute: engine.options.compute.clone(),
            recipes: engine.recipes(shape),
            file: engine.largest_file().map(Path::to_owned),
            folder: folder.to_owned(),
            left: left.into_iter().rev().collect(),
            known: known.clone(),
            taken: Cell::new([0.0; 2]),
        }
    }

    /// Of what a request of an engine needs, with parts still to be read.
    pub fn of_request(engine: &Engine, request: &Generation, (known, folder): (&Rates, &Path)) -> Self {
        let shape = PlanShape::of(request, engine.prompts());
        Self::new(engine, &shape, &engine.work(request, &shape, false), (known, folder))
    }

    /// Of what either lacks; both are of one engine, or of engines that compute alike.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let left: BTreeSet<Piece> = self.left.into_iter().chain(other.left).collect();
        self.recipes.extend(other.recipes);
        Self { left: left.into_iter().rev().collect(), ..self }
    }

    /// Whether a file of this name is a clip that was measured with, or what a measurement that was killed has left of one.
    pub fn is_clip(name: &OsStr) -> bool {
        let name = name.to_string_lossy();
        let behind_dots = name.trim_start_matches('.');
        name.starts_with('.') && behind_dots.starts_with(CLIP.trim_start_matches('.')) && behind_dots.contains(".mp4")
    }

    /// Measures a piece, a few hundredths of a second; says whether anything is left.
    ///
    /// # Errors
    /// The device failed. The piece is not tried again.
    pub fn measure_next(&mut self) -> Result<bool> {
        if let Some(piece) = self.left.pop() {
            self.taken.set([0.0; 2]);
            let found = self.measured(&piece)?;
            let slowness = self.slowness();
            let known = std::mem::take(&mut self.known);
            self.known = found.into_iter().fold(known, |rates, (unit, rate)| rates.and(unit, rate / slowness));
        }
        Ok(!self.left.is_empty())
    }

    /// Measures all that is left.
    ///
    /// # Errors
    /// The device failed.
    pub fn measure_all(mut self) -> Result<Rates> {
        while self.measure_next()? {}
        Ok(self.rates())
    }

    /// Whether there is nothing to measure.
    pub fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// What is known so far.
    pub fn rates(&self) -> Rates {
        self.known.clone()
    }

    /// How many times longer the repetitions of the last piece took together than at their fastest: 1 on a machine that does nothing
    /// else, and for what is measured as it goes.
    fn slowness(&self) -> f64 {
        let [all, fastest] = self.taken.get();
        if fastest > 0.0 { (all / fastest).max(1.0) } else { 1.0 }
    }

    fn measured(&self, piece: &Piece) -> Result<Vec<(Unit, f64)>> {
        match piece {
            Piece::Matrix(form) => match self.recipes.get(form) {
                Some(recipe) => self.matrix(form, recipe),
                None => Ok(Vec::new()),
            },
            Piece::Attention => self.attention(),
            Piece::Convolution(channels, flat) => self.convolution(*channels, *flat),
            Piece::Packing => self.packing(),
            Piece::Moves => self.moves(),
            Piece::Calls => self.calls(),
            Piece::Reading => Ok(self.reading().map(|rate| vec![(Unit::Read, rate)]).unwrap_or_default()),
            Piece::Encoding => self.encoding(),
        }
    }

    /// Seconds that `work` takes at its fastest, done some times, once ahead of them.
    fn seconds(&self, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        let device = &self.compute.device;
        let mut once = || {
            let began = Instant::now();
            work()?;
            synchronize(device)?;
            Ok::<_, PipelineError>(began.elapsed())
        };
        once()?;
        let mut taken: Vec<Duration> = Vec::new();
        let enough = |taken: &[Duration]| taken.len() >= TIMES || taken.iter().sum::<Duration>() >= LONG_ENOUGH;
        while taken.len() < LEAST_TIMES || !enough(&taken) {
            taken.push(once()?);
        }
        let all: f64 = taken.iter().map(Duration::as_secs_f64).sum();
        let fastest = taken.iter().map(Duration::as_secs_f64).fold(f64::INFINITY, f64::min);
        let [before, before_fastest] = self.taken.get();
        self.taken.set([before + all, before_fastest + fastest * taken.len() as f64]);
        Ok(fastest)
    }

    /// Bytes a second of the model's file: of what the system holds of it, as fast as memory. It is read once: again it would be there.
    fn reading(&self) -> io::Result<f64> {
        let none = || io::Error::from(io::ErrorKind::NotFound);
        let file = File::open(self.file.as_deref().ok_or_else(none)?)?;
        let length = file.metadata()?.len();
        let pieces = PIECES.min(length / PIECE).max(1);
        let mut buffer = vec![0u8; PIECE.min(length) as usize];
        let last = length - buffer.len() as u64;
        let began = Instant::now();
        for piece in 0..pieces {
            file.read_exact_at(&mut buffer, last * piece / pieces.max(2))?;
        }
        Ok((pieces * buffer.len() as u64) as f64 / began.elapsed().as_secs_f64().max(1e-9))
    }
}

/// From what two measurements took, with so much of two units each, the seconds that one of each takes. The first decides alone
/// where the second has nothing left to say.
fn solved(large: ([f64; 2], f64), small: ([f64; 2], f64)) -> [f64; 2] {
    let (([a, b], seconds), ([c, d], other)) = (large, small);
    let determinant = a * d - b * c;
    let first = (seconds * d - other * b) / determinant;
    if !(first > 0.0 && first.is_finite()) {
        return [seconds / a, 0.0];
    }
    [first, ((other - c * first) / d).max(0.0)]
}

/// A rate from seconds a unit; one that takes nothing is very fast.
fn rate(seconds: f64) -> f64 {
    1.0 / seconds.max(1e-15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_tell_what_each_unit_takes() {
        let seconds = |[a, b]: [f64; 2]| 2.0 * a + 3.0 * b;
        let (large, small) = ([100.0, 1.0], [4.0, 1.0]);
        let found = solved((large, seconds(large)), (small, seconds(small)));
        assert!((found[0] - 2.0).abs() < 1e-9 && (found[1] - 3.0).abs() < 1e-9, "{found:?}");
        // The small one took as long: nobody knows how it is shared.
        assert_eq!(solved((large, 50.0), (small, 60.0)), [0.5, 0.0]);
    }
}
