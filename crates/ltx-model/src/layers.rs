//! The layers of a deep stack, used one after another: some stay in memory, the others are loaded ahead of their use while the
//! layer before computes, and dropped behind it: on the CPU by a reader thread, to a GPU by copies that are begun beside its
//! work.
//!
//! Must not know what a layer computes, or where its weights lie.

pub(crate) mod footprint;

use ltx_nn::{Arrival, NnError, Result, Staging, Vb, matrix::Use};
use std::{
    panic,
    sync::{
        OnceLock,
        mpsc::{self, SyncSender},
    },
    thread::{self, ScopedJoinHandle},
};

/// A stack of layers, all loaded by one function.
pub(crate) struct Layers<T> {
    slots: Vec<Slot<T>>,
    vb: Vb,
    load: Load<T>,
}

/// Loads a layer from its own position.
type Load<T> = Box<dyn Fn(&Vb, usize) -> Result<T> + Send + Sync>;

/// A layer's place in memory.
enum Slot<T> {
    /// It stays once it was loaded.
    Held(OnceLock<T>),
    /// It is loaded for every pass.
    Streamed,
}

impl<T: Send + Sync> Layers<T> {
    /// A stack of `count` layers at `vb`, by number, of which `held` stay in memory once a pass has used them, spread evenly so
    /// that the reader has time for the others. Nothing is loaded yet.
    pub(crate) fn new(
        vb: Vb,
        (count, held): (usize, usize),
        load: impl Fn(&Vb, usize) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let slot = |i: usize| {
            if footprint::is_streamed(i, (count, held)) { Slot::Streamed } else { Slot::Held(OnceLock::new()) }
        };
        Self { slots: (0..count).map(slot).collect(), vb, load: Box::new(load) }
    }

    /// Loads the layers that stay.
    ///
    /// # Errors
    /// As the function that loads.
    pub(crate) fn load_held(&self) -> Result<()> {
        for (i, slot) in self.slots.iter().enumerate() {
            if let Slot::Held(cell) = slot
                && cell.get().is_none()
            {
                // Another pass may have been faster; its layer is the same.
                let _ = cell.set(self.load(i)?);
            }
        }
        Ok(())
    }

    /// All layers, if all of them stay and were loaded.
    pub(crate) fn all(&self) -> Option<Vec<&T>> {
        (0..self.slots.len()).map(|i| self.held(i)).collect()
    }

    /// One pass: `before` is told each layer's number and may stop it; `each` is given the layer. At most two layers that do
    /// not stay are in memory, the one in use and the next. No thread is left when this returns.
    ///
    /// # Errors
    /// As `before`, `each` and the function that loads.
    pub(crate) fn for_each<E: From<NnError>>(
        &self,
        mut before: impl FnMut(usize) -> Result<(), E>,
        mut each: impl FnMut(usize, &T) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(staging) = self.vb.staging() {
            return self.for_each_staged(staging, before, each);
        }
        let absent: Vec<usize> = (0..self.slots.len()).filter(|i| self.held(*i).is_none()).collect();
        thread::scope(|scope| {
            let (ready, layers) = mpsc::sync_channel(0);
            // To another device, layers are loaded by the thread that computes.
            let reader = if absent.is_empty() || !self.vb.compute().device.is_cpu() {
                None
            } else {
                // Where the system gives no thread, layers are loaded when they are needed.
                thread::Builder::new()
                    .name("reader".into())
                    .spawn_scoped(scope, move || self.read(&absent, &ready))
                    .ok()
            };
            for (i, slot) in self.slots.iter().enumerate() {
                before(i)?;
                if let Some(layer) = self.held(i) {
                    each(i, layer)?;
                    continue;
                }
                let layer = match &reader {
                    None => self.load(i)?,
                    Some(_) => match layers.recv() {
                        Ok(layer) => layer?,
                        Err(_) => break,
                    },
                };
                match slot {
                    Slot::Streamed => each(i, &layer)?,
                    Slot::Held(cell) => each(i, cell.get_or_init(|| layer))?,
                }
            }
            drop(layers);
            // It has sent all it was to send, unless it panicked.
            if let Some(Err(panicked)) = reader.map(ScopedJoinHandle::join) {
                panic::resume_unwind(panicked);
            }
            Ok(())
        })
    }

    /// A pass whose streamed layers come through a staging. The device runs behind this thread, so a layer's work is given to
    /// it before the next layer's copies are begun, and those before the layer's own memory is given back: the copies then go
    /// on beside the work, into the memory of the layer before.
    fn for_each_staged<E: From<NnError>>(
        &self,
        staging: &Staging,
        mut before: impl FnMut(usize) -> Result<(), E>,
        mut each: impl FnMut(usize, &T) -> Result<(), E>,
    ) -> Result<(), E> {
        let streamed = |from: usize| (from..self.slots.len()).find(|i| matches!(self.slots[*i], Slot::Streamed));
        let copying = |i: usize| Copied::begin(staging, || self.load(i));
        let mut next: Option<Copied<'_, T>> = None;
        for (i, slot) in self.slots.iter().enumerate() {
            before(i)?;
            match slot {
                Slot::Streamed => {
                    let copied = match next.take() {
                        Some(copied) => copied,
                        None => copying(i)?,
                    };
                    each(i, copied.arrived()?)?;
                    next = streamed(i + 1).map(copying).transpose()?;
                    drop(copied);
                }
                Slot::Held(cell) => {
                    let layer = match cell.get() {
                        Some(layer) => layer,
                        None => {
                            let layer = self.load(i)?;
                            cell.get_or_init(|| layer)
                        }
                    };
                    each(i, layer)?;
                }
            }
        }
        Ok(())
    }

    /// The reader: every absent layer in turn, each handed over before the next is begun. Ends early when nobody takes them.
    fn read(&self, absent: &[usize], ready: &SyncSender<Result<T>>) {
        for i in absent {
            let layer = self.load(*i);
            let failed = layer.is_err();
            if ready.send(layer).is_err() || failed {
                return;
            }
        }
    }

    fn load(&self, i: usize) -> Result<T> {
        let vb = match self.slots[i] {
            Slot::Held(_) => self.vb.pp(i.to_string()),
            Slot::Streamed => self.vb.pp(i.to_string()).used(Use::Streamed),
        };
        (self.load)(&vb, i)
    }

    fn held(&self, i: usize) -> Option<&T> {
        match &self.slots[i] {
            Slot::Held(cell) => cell.get(),
            Slot::Streamed => None,
        }
    }
}

/// A streamed layer from the beginning of its copies to the end of its memory.
struct Copied<'a, T> {
    layer: T,
    arrival: Box<dyn Arrival>,
    staging: &'a Staging,
}

impl<'a, T> Copied<'a, T> {
    fn begin(staging: &'a Staging, load: impl FnOnce() -> Result<T>) -> Result<Self> {
        let layer = load()?;
        Ok(Self { layer, arrival: staging.arrival()?, staging })
    }

    /// The layer, for work that the device does once the copies are done.
    fn arrived(&self) -> Result<&T> {
        self.arrival.wait()?;
        Ok(&self.layer)
    }
}

impl<T> Drop for Copied<'_, T> {
    /// Ahead of the layer itself, whether it was used or not.
    fn drop(&mut self) {
        // A device that can neither be given an order nor be waited for does no work either.
        let _ = self.staging.give_back();
    }
}

#[cfg(test)]
mod staged;

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use ltx_nn::{Compute, Weights};
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    /// Nothing in it is asked for.
    struct Nothing;

    impl Weights for Nothing {
        fn tensor(&self, key: &str, _: &[usize], _: &Compute) -> Result<Tensor> {
            Err(NnError::unsupported("key", key, "none"))
        }
        fn rows(&self, key: &str, _: [usize; 2], _: &[u32], _: &Compute) -> Result<Tensor> {
            Err(NnError::unsupported("key", key, "none"))
        }
        fn check(&self, key: &str, _: &[usize]) -> Result<()> {
            Err(NnError::unsupported("key", key, "none"))
        }
    }

    fn nothing() -> Vb {
        Vb::new(Arc::new(Nothing), Compute::cpu_f32())
    }

    /// Counts itself while it lives.
    struct Layer(usize, Arc<AtomicUsize>);

    impl Drop for Layer {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A stack, its living layers, the most of them that ever lived at once, and what was loaded.
    struct Stack {
        layers: Layers<Layer>,
        alive: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        loads: Arc<Mutex<Vec<usize>>>,
    }

    fn stack(count: usize, held: usize, fails: Option<usize>) -> Stack {
        let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let loads = Arc::new(Mutex::new(Vec::new()));
        let (a, m, l) = (Arc::clone(&alive), Arc::clone(&most), Arc::clone(&loads));
        let load = move |_: &Vb, i| {
            let now = a.fetch_add(1, Ordering::SeqCst) + 1;
            m.fetch_max(now, Ordering::SeqCst);
            l.lock().unwrap().push(i);
            let layer = Layer(i, Arc::clone(&a));
            if fails == Some(i) { Err(NnError::unsupported("layer", i, "another")) } else { Ok(layer) }
        };
        Stack { layers: Layers::new(nothing(), (count, held), load), alive, most, loads }
    }

    fn pass(stack: &Stack) -> Result<Vec<usize>> {
        let mut seen = Vec::new();
        stack.layers.for_each(
            |_| Ok(()),
            |i, layer| {
                assert_eq!(layer.0, i);
                seen.push(i);
                Ok::<_, NnError>(())
            },
        )?;
        Ok(seen)
    }

    #[test]
    fn every_layer_comes_in_its_turn_and_only_those_that_stay_stay() {
        for held in 0..=7 {
            let stack = stack(7, held, None);
            for round in 0..3 {
                assert_eq!(pass(&stack).unwrap(), (0..7).collect::<Vec<_>>());
                assert_eq!(stack.alive.load(Ordering::SeqCst), held, "held {held}, round {round}");
            }
            assert!(stack.most.load(Ordering::SeqCst) <= (held + 2).min(7));
            assert_eq!(stack.loads.lock().unwrap().len(), 7 + 2 * (7 - held));
        }
    }

    #[test]
    fn what_stays_can_be_loaded_beforehand() {
        let stack = stack(5, 5, None);
        assert!(stack.layers.all().is_none(), "none is loaded");
        stack.layers.load_held().unwrap();
        assert_eq!(*stack.loads.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(stack.layers.all().unwrap().iter().map(|layer| layer.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        pass(&stack).unwrap();
        assert_eq!(stack.loads.lock().unwrap().len(), 5);
    }

    #[test]
    fn a_pass_that_is_stopped_or_fails_leaves_neither_layer_nor_thread() {
        let stopped = stack(9, 0, None);
        let stop = |i| if i == 4 { Err(NnError::unsupported("stop", i, "no stop")) } else { Ok(()) };
        let error = stopped.layers.for_each(stop, |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("stop is 4"), "{error}");
        // The scope has joined the reader, so what is alive now stays alive.
        assert_eq!(stopped.alive.load(Ordering::SeqCst), 0);
        assert!(stopped.loads.lock().unwrap().len() <= 6);

        let broken = stack(9, 2, Some(3));
        assert!(pass(&broken).unwrap_err().to_string().contains("layer is 3"));
        assert!(broken.alive.load(Ordering::SeqCst) <= 2);
    }

    #[test]
    fn a_reader_that_panics_panics_the_pass() {
        let load = |_: &Vb, i| if i == 1 { panic!("layer {i}") } else { Ok(()) };
        let layers: Layers<()> = Layers::new(nothing(), (3, 0), load);
        let passed =
            panic::catch_unwind(panic::AssertUnwindSafe(|| layers.for_each(|_| Ok(()), |_, ()| Ok::<_, NnError>(()))));
        assert_eq!(passed.unwrap_err().downcast_ref::<String>().map(String::as_str), Some("layer 1"));
    }
}
