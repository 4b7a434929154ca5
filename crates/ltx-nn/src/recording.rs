//! A computation that is repeated over tensors of the same shapes: a GPU is told its launches once, not every time.
//!
//! Must not know what is computed.

use crate::{Result, profile};
use candle_core::{DType, Tensor};
use ltx_kernels::cuda;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Computations that are remembered at once: two sizes, each with its passes.
const MOST: usize = 4;

/// Shapes and dtypes of inputs, and what else tells computations apart.
type Key = (Vec<(Vec<usize>, DType)>, Vec<usize>);

/// How far a computation is known.
enum Known<R> {
    /// It was computed, so everything it needs once is there.
    Once,
    Recorded(R),
    /// It cannot be recorded.
    Not,
}

/// Records on the second call with the same shapes, and repeats from the third on.
pub struct Recorder {
    recorded: Recorded<Recording>,
    on: bool,
}

impl Recorder {
    /// One that records on a GPU, unless `on` is false: to tell a fault of recordings from others, and to measure what they bring.
    pub fn new(on: bool) -> Self {
        Self { recorded: Recorded::default(), on }
    }

    /// `work` over `inputs`, all contiguous and on one device; its result is like the first input in shape and dtype. `variant` tells
    /// computations over the same shapes apart. On the CPU this is `work` and nothing else.
    ///
    /// # Errors
    /// `work` failed, or the GPU.
    pub fn run(
        &self,
        variant: &[usize],
        inputs: &[Tensor],
        work: impl Fn(&[Tensor]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let on_gpu = inputs.first().is_some_and(|first| first.device().is_cuda());
        if on_gpu && self.on && !profile::is_on() { self.recorded.run(variant, inputs, &work) } else { work(inputs) }
    }

    /// How many computations are repeated as they were recorded.
    pub fn recorded(&self) -> usize {
        let all = self.recorded.0.lock();
        all.iter().filter(|(_, known)| matches!(known, Known::Recorded(_))).count()
    }
}

/// A recorded computation.
trait Replay: Sized {
    /// `None` where it cannot be recorded. Nothing is computed yet.
    fn record(inputs: &[Tensor], work: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Result<Option<Self>>;
    /// Computes it from other inputs of the same shapes.
    fn replay(&mut self, inputs: &[Tensor]) -> Result<Tensor>;
}

/// What was computed, the latest last.
struct Recorded<R>(Mutex<VecDeque<(Key, Known<R>)>>);

impl<R> Default for Recorded<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R: Replay> Recorded<R> {
    fn run(&self, variant: &[usize], inputs: &[Tensor], work: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Result<Tensor> {
        let shapes = inputs.iter().map(|input| (input.dims().to_vec(), input.dtype())).collect();
        let key = (shapes, variant.to_vec());
        let mut all = self.0.lock();
        let known = all.iter().position(|(known, _)| *known == key).and_then(|place| all.remove(place));
        let mut known = known.map_or(Known::Once, |(_, known)| known.recorded(inputs, work));
        let result = match &mut known {
            Known::Recorded(recording) => recording.replay(inputs),
            Known::Once | Known::Not => work(inputs),
        };
        if result.is_ok() {
            all.push_back((key, known));
            while all.len() > MOST {
                all.pop_front();
            }
        }
        result
    }
}

impl<R: Replay> Known<R> {
    /// What is known once a computation was computed and comes again.
    fn recorded(self, inputs: &[Tensor], work: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Self {
        match self {
            // Where recording fails, for want of memory for one, computing may still work.
            Self::Once => R::record(inputs, work).ok().flatten().map_or(Self::Not, Self::Recorded),
            known => known,
        }
    }
}

/// Launches on a GPU, and the tensors they read and write every time.
struct Recording {
    inputs: Vec<Tensor>,
    output: Tensor,
    graph: cuda::Graph,
}

impl Replay for Recording {
    fn record(inputs: &[Tensor], work: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Result<Option<Self>> {
        let inputs = inputs.iter().map(Tensor::copy).collect::<candle_core::Result<Vec<_>>>()?;
        let Some(output) = inputs.first().map(Tensor::zeros_like).transpose()? else { return Ok(None) };
        // A kernel is loaded when it is first launched, which may not be while launches are noted down; `work` was here before.
        cuda::write_into(&inputs[0], &output)?;
        let graph = cuda::capture(output.device(), || {
            let result = work(&inputs)?;
            Ok::<_, crate::NnError>(cuda::write_into(&result, &output)?)
        })?;
        Ok(graph.map(|graph| Self { inputs, output, graph }))
    }

    fn replay(&mut self, inputs: &[Tensor]) -> Result<Tensor> {
        for (given, own) in inputs.iter().zip(&self.inputs) {
            cuda::copy_into(given, own)?;
        }
        self.graph.launch()?;
        // The next replay overwrites the output.
        Ok(self.output.copy()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use std::cell::RefCell;

    thread_local! {
        static DONE: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    fn done() -> Vec<&'static str> {
        DONE.take()
    }

    /// Knows how to double, which is what is recorded here; two values cannot be.
    struct Doubling;

    impl Replay for Doubling {
        fn record(inputs: &[Tensor], _: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Result<Option<Self>> {
            DONE.with_borrow_mut(|done| done.push("record"));
            Ok((inputs[0].elem_count() != 2).then_some(Self))
        }

        fn replay(&mut self, inputs: &[Tensor]) -> Result<Tensor> {
            DONE.with_borrow_mut(|done| done.push("replay"));
            Ok((&inputs[0] * 2.0)?)
        }
    }

    fn double(recorded: &Recorded<Doubling>, variant: usize, values: &[f32]) -> Vec<f32> {
        let inputs = [Tensor::new(values, &Device::Cpu).unwrap()];
        let work = |inputs: &[Tensor]| {
            DONE.with_borrow_mut(|done| done.push("compute"));
            Ok((&inputs[0] * 2.0)?)
        };
        recorded.run(&[variant], &inputs, &work).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_computation_is_recorded_when_it_comes_again() {
        let recorded = Recorded::default();
        for i in 0..4 {
            assert_eq!(double(&recorded, 0, &[i as f32]), [2.0 * i as f32]);
        }
        assert_eq!(done(), ["compute", "record", "replay", "replay", "replay"]);
        // Another variant and another shape are computations of their own; the first is not forgotten.
        double(&recorded, 1, &[1.0]);
        double(&recorded, 0, &[1.0, 2.0, 3.0]);
        double(&recorded, 0, &[5.0]);
        assert_eq!(done(), ["compute", "compute", "replay"]);
    }

    #[test]
    fn what_cannot_be_recorded_is_tried_once_and_computed() {
        let recorded = Recorded::default();
        for _ in 0..3 {
            assert_eq!(double(&recorded, 0, &[1.0, 2.0]), [2.0, 4.0]);
        }
        assert_eq!(done(), ["compute", "record", "compute", "compute"]);
    }

    #[test]
    fn the_longest_unused_is_forgotten_first() {
        let recorded = Recorded::default();
        for variant in [0, 1, 2, 3, 0, 4] {
            double(&recorded, variant, &[1.0]);
        }
        assert_eq!(recorded.0.lock().len(), MOST);
        done();
        double(&recorded, 0, &[1.0]);
        double(&recorded, 1, &[1.0]);
        assert_eq!(done(), ["replay", "compute"], "the second was forgotten");
    }

    #[test]
    fn a_failed_computation_is_not_remembered() {
        let recorded = Recorded::<Doubling>::default();
        let inputs = [Tensor::new(&[1f32], &Device::Cpu).unwrap()];
        let fails = |_: &[Tensor]| Err(crate::NnError::unsupported("input", 1, "another"));
        assert!(recorded.run(&[], &inputs, &fails).is_err());
        assert!(recorded.0.lock().is_empty());
    }

    #[test]
    fn on_the_cpu_nothing_is_recorded() -> Result<()> {
        let (recorder, inputs) = (Recorder::new(true), [Tensor::new(&[1f32], &Device::Cpu)?]);
        for _ in 0..3 {
            recorder.run(&[], &inputs, |inputs| Ok(inputs[0].clone()))?;
        }
        assert_eq!(recorder.recorded(), 0);
        Ok(())
    }
}
