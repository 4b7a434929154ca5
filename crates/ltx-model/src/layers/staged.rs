//! Tests of stacks whose layers pass through a device's memory, with a carrier that writes down what it is asked to do.
//!
//! Must not know how a GPU copies.

use super::*;
use candle_core::{DType, Tensor};
use ltx_nn::{Compute, Weights, matrix::Prepared};
use ltx_testkit::{Ledger, LedgerCarrier};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes of a layer's matrix.
const BYTES: u64 = 4 * 4 * 4;

/// A matrix and a bias a layer; writes down what is read.
struct Source(Ledger);

impl Weights for Source {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> Result<Tensor> {
        self.0.note(format!("read {key}"));
        match key {
            "3.weight" => Err(NnError::unsupported("key", key, "others")),
            _ => Ok(Tensor::ones(shape, DType::F32, &compute.device)?),
        }
    }
    fn rows(&self, key: &str, _: [usize; 2], _: &[u32], _: &Compute) -> Result<Tensor> {
        Err(NnError::unsupported("key", key, "none"))
    }
    fn check(&self, key: &str, _: &[usize]) -> Result<()> {
        Err(NnError::unsupported("key", key, "none"))
    }
}

/// Writes down when its memory is freed, and counts the living.
struct Layer {
    number: usize,
    _matrix: Prepared,
    ledger: Ledger,
    alive: Arc<AtomicUsize>,
}

impl Drop for Layer {
    fn drop(&mut self) {
        self.ledger.note(format!("free {}", self.number));
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A stack, what happened to it, and the most streamed layers that were alive at once.
struct Stack {
    layers: Layers<Layer>,
    ledger: Ledger,
    most: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

fn stack((count, held): (usize, usize), host_bytes: u64, pins: usize) -> Stack {
    let ledger = Ledger::default();
    let source = Arc::new(Source(ledger.clone()));
    let carrier = Box::new(LedgerCarrier::new(ledger.clone(), pins));
    let staging = Arc::new(Staging::new(Arc::clone(&source) as _, carrier, host_bytes));
    let vb = Vb::new(source, Compute::cpu_f32()).with_staging(staging);
    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (l, a, m) = (ledger.clone(), Arc::clone(&alive), Arc::clone(&most));
    let load = move |vb: &Vb, number| {
        let (matrix, _) = (vb.matrix("weight", [4, 4])?, vb.tensor("bias", [4])?);
        m.fetch_max(a.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Ok(Layer { number, _matrix: matrix, ledger: l.clone(), alive: Arc::clone(&a) })
    };
    Stack { layers: Layers::new(vb, (count, held), load), ledger, most, alive }
}

impl Stack {
    fn pass(&self, stop: Option<usize>) -> Result<Vec<String>> {
        let before = |i| if stop == Some(i) { Err(NnError::unsupported("stop", i, "no stop")) } else { Ok(()) };
        let result = self.layers.for_each(before, |i, layer| {
            assert_eq!(layer.number, i);
            self.ledger.note(format!("compute {i}"));
            Ok(())
        });
        let happened = self.ledger.take();
        result.map(|()| happened)
    }
}

#[test]
fn copies_waits_and_frees_come_in_the_order_that_lets_a_copy_run_beside_the_work() {
    let stack = stack((3, 0), u64::MAX, usize::MAX);
    let first = [
        ["read 0.weight", "pin", "copy", "read 0.bias", "arrival 0", "wait 0", "compute 0"].as_slice(),
        // The next layer's copy is begun behind this one's work and ahead of the end of its memory.
        &["read 1.weight", "pin", "copy", "read 1.bias", "arrival 1", "give back", "free 0", "wait 1", "compute 1"],
        &["read 2.weight", "pin", "copy", "read 2.bias", "arrival 2", "give back", "free 1", "wait 2", "compute 2"],
        &["give back", "free 2"],
    ];
    assert_eq!(stack.pass(None).unwrap(), first.concat());
    // Later passes read nothing.
    let later = [
        ["copy", "arrival 3", "wait 3", "compute 0"].as_slice(),
        &["copy", "arrival 4", "give back", "free 0", "wait 4", "compute 1"],
        &["copy", "arrival 5", "give back", "free 1", "wait 5", "compute 2", "give back", "free 2"],
    ];
    assert_eq!(stack.pass(None).unwrap(), later.concat());
    assert_eq!((stack.most.load(Ordering::SeqCst), stack.alive.load(Ordering::SeqCst)), (2, 0));
}

#[test]
fn at_most_two_layers_beside_those_that_stay_are_alive() {
    for held in 0..=3 {
        let stack = stack((3, held), u64::MAX, usize::MAX);
        for _ in 0..3 {
            stack.pass(None).unwrap();
            assert_eq!(stack.alive.load(Ordering::SeqCst), held);
        }
        assert!(stack.most.load(Ordering::SeqCst) <= (held + 2).min(3));
        let happened = stack.pass(None).unwrap();
        assert_eq!(
            happened.iter().filter(|entry| *entry == "copy").count(),
            3 - held,
            "those that stay are not staged"
        );
        assert!(!happened.iter().any(|entry| entry.starts_with("read")), "{happened:?}");
    }
}

#[test]
fn what_has_no_room_in_host_memory_is_read_again_through_the_buffer() {
    let count = |happened: &[String], entry: &str| happened.iter().filter(|found| found.starts_with(entry)).count();
    for (host_bytes, pins, kept) in [(0, 9, 0), (BYTES - 1, 9, 0), (2 * BYTES, 9, 2), (u64::MAX, 1, 1)] {
        let stack = stack((3, 0), host_bytes, pins);
        stack.pass(None).unwrap();
        for _ in 0..2 {
            let happened = stack.pass(None).unwrap();
            assert_eq!(count(&happened, "read"), 3 - kept, "biases stay: {happened:?}");
            assert_eq!(count(&happened, "copy through the buffer"), 3 - kept);
            assert_eq!((count(&happened, "pin"), count(&happened, "no pin")), (0, 0), "not asked again");
        }
    }
}

#[test]
fn a_pass_that_is_stopped_or_fails_gives_every_layer_back() {
    let stopped = stack((3, 0), u64::MAX, usize::MAX);
    assert!(stopped.pass(Some(1)).is_err());
    assert_eq!(stopped.alive.load(Ordering::SeqCst), 0);
    // The layer that was copied and never used is given back as well, and the next pass is as any other.
    let again = stopped.pass(None).unwrap();
    assert_eq!(again.last().map(String::as_str), Some("free 2"));

    let broken = stack((5, 1), u64::MAX, usize::MAX);
    assert!(broken.pass(None).unwrap_err().to_string().contains("3.weight"));
    assert!(broken.alive.load(Ordering::SeqCst) <= 1, "only what stays");
}

#[test]
fn a_stack_that_is_all_held_goes_past_the_staging() {
    let stack = stack((3, 3), u64::MAX, usize::MAX);
    let happened = stack.pass(None).unwrap();
    assert!(!happened.iter().any(|entry| entry.contains("copy") || entry.contains("arrival")), "{happened:?}");
}
