//! Copies to a GPU on a stream of their own, from page-locked memory, ordered with the stream that computes by events.
//!
//! Must not know layers. Memory of a copy is the copy stream's own: it is taken and given back there, in its order, so that a
//! later copy cannot overtake the last use of what lay there before.

use super::super::carrier::{Arrival, Carrier, Pinned};
use candle_core::{
    CpuStorage, CudaStorage, DType, Device, Error, Result, Storage, Tensor,
    cuda_backend::{
        CudaDType, CudaDevice, WrapErr,
        cudarc::driver::{CudaEvent, CudaStream, DevicePtrMut, DeviceRepr, DriverError, PinnedHostSlice, result, sys},
    },
    op::BackpropOp,
};
use parking_lot::Mutex;
use std::sync::Arc;

/// Bytes of one half of the buffer that copies of memory that is not page-locked go through.
const HALF: usize = 32 << 20;

/// The streams of one device.
struct Streams {
    device: CudaDevice,
    compute: Arc<CudaStream>,
    copies: Arc<CudaStream>,
}

/// The carrier to a GPU.
pub(super) struct ToGpu {
    streams: Arc<Streams>,
    buffer: Mutex<Buffer>,
}

/// Two halves, so that one is filled while the other is copied. Made when it is first needed.
#[derive(Default)]
struct Buffer {
    halves: Vec<Half>,
    next: usize,
}

struct Half {
    memory: PinnedHostSlice<u8>,
    /// The last copy from it.
    copied: Option<CudaEvent>,
}

/// A carrier to a GPU.
pub fn carrier(device: &Device) -> Result<Box<dyn Carrier>> {
    let device = device.as_cuda_device()?.clone();
    let compute = device.cuda_stream();
    let copies = compute.context().new_stream().w()?;
    let streams = Arc::new(Streams { device, compute, copies });
    Ok(Box::new(ToGpu { streams, buffer: Mutex::default() }))
}

impl Carrier for ToGpu {
    fn pin(&self, host: &Tensor) -> Result<Option<Box<dyn Pinned>>> {
        with_bytes(host, |bytes| self.streams.pin(bytes, host))
    }

    fn copy(&self, host: &Tensor) -> Result<Tensor> {
        let mut buffer = self.buffer.lock();
        with_bytes(host, |bytes| {
            let (tensor, address) = self.streams.target(host.dims(), host.dtype())?;
            buffer.copy(&self.streams, bytes, address)?;
            Ok(tensor)
        })
    }

    fn arrival(&self) -> Result<Box<dyn Arrival>> {
        let event = self.streams.copies.record_event(None).w()?;
        Ok(Box::new(Arrived { event, compute: Arc::clone(&self.streams.compute) }))
    }

    fn give_back(&self) -> Result<()> {
        let Streams { compute, copies, .. } = &*self.streams;
        if copies.join(compute).is_err() {
            // Without an event the order is made by waiting.
            compute.synchronize().w()?;
        }
        Ok(())
    }
}

impl Drop for ToGpu {
    fn drop(&mut self) {
        // The buffer's memory goes next, and a copy may still be reading it. An error here means that nothing is running.
        let _ = self.streams.copies.synchronize();
    }
}

struct Arrived {
    event: CudaEvent,
    compute: Arc<CudaStream>,
}

impl Arrival for Arrived {
    fn wait(&self) -> Result<()> {
        self.compute.wait(&self.event).w()
    }
}

struct PinnedTensor {
    memory: PinnedHostSlice<u8>,
    shape: Vec<usize>,
    dtype: DType,
    streams: Arc<Streams>,
}

impl Pinned for PinnedTensor {
    fn copy(&self) -> Result<Tensor> {
        let (tensor, address) = self.streams.target(&self.shape, self.dtype)?;
        let bytes = self.memory.as_slice().w()?;
        // SAFETY: `target` made room for as many bytes as this tensor has. The memory is page-locked, is never written again,
        // and is not freed before the copy is done (`drop` waits).
        unsafe { self.streams.enqueue(address, bytes) }?;
        Ok(tensor)
    }
}

impl Drop for PinnedTensor {
    fn drop(&mut self) {
        // cudarc's own event of this memory is not recorded, as its tracking is switched off.
        let _ = self.streams.copies.synchronize();
    }
}

impl Streams {
    fn pin(self: &Arc<Self>, bytes: &[u8], host: &Tensor) -> Result<Option<Box<dyn Pinned>>> {
        let Some(mut memory) = locked(&self.compute, bytes.len())? else { return Ok(None) };
        memory.as_mut_slice().w()?[..bytes.len()].copy_from_slice(bytes);
        let (shape, dtype) = (host.dims().to_vec(), host.dtype());
        Ok(Some(Box::new(PinnedTensor { memory, shape, dtype, streams: Arc::clone(self) })))
    }

    /// Memory of the copy stream as a tensor of the device, and where it is.
    fn target(&self, shape: &[usize], dtype: DType) -> Result<(Tensor, u64)> {
        let count = shape.iter().product();
        let (storage, address) = match dtype {
            DType::U8 => self.empty::<u8>(count),
            DType::BF16 => self.empty::<half::bf16>(count),
            DType::F16 => self.empty::<half::f16>(count),
            DType::F32 => self.empty::<f32>(count),
            _ => Err(Error::msg(format!("weights in {dtype:?} are not streamed"))),
        }?;
        Ok((Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false), address))
    }

    fn empty<T: DeviceRepr + CudaDType>(&self, count: usize) -> Result<(CudaStorage, u64)> {
        // SAFETY: every caller begins a copy that fills all of it, and nothing reads it but behind that copy's arrival.
        let mut slice = unsafe { self.copies.alloc::<T>(count) }.w()?;
        let address = slice.device_ptr_mut(&self.copies).0;
        Ok((CudaStorage::wrap_cuda_slice(slice, self.device.clone()), address))
    }

    /// # Safety
    /// `address` is that of at least as many bytes of this device's memory. `bytes` stay as they are until the copy is done.
    unsafe fn enqueue(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.copies.context().bind_to_thread().w()?;
        // SAFETY: as the caller's.
        unsafe { result::memcpy_htod_async(address, bytes, self.copies.cu_stream()) }.w()
    }
}

impl Buffer {
    fn copy(&mut self, streams: &Streams, bytes: &[u8], address: u64) -> Result<()> {
        while self.halves.len() < 2 {
            let memory = locked(&streams.compute, HALF)?;
            let memory =
                memory.ok_or_else(|| Error::msg("the system gives no page-locked memory to copy weights through"))?;
            self.halves.push(Half { memory, copied: None });
        }
        for (number, piece) in bytes.chunks(HALF).enumerate() {
            let half = &mut self.halves[self.next];
            self.next = 1 - self.next;
            if let Some(copied) = half.copied.take() {
                copied.synchronize().w()?;
            }
            half.memory.as_mut_slice().w()?[..piece.len()].copy_from_slice(piece);
            let filled = &half.memory.as_slice().w()?[..piece.len()];
            // SAFETY: the tensor at `address` has as many bytes as `bytes`, of which this piece begins there. The half is not
            // written again before `copied`, and not freed before its carrier has waited for all copies.
            unsafe { streams.enqueue(address + (number * HALF) as u64, filled) }?;
            half.copied = Some(streams.copies.record_event(None).w()?);
        }
        Ok(())
    }
}

/// Page-locked memory; `None` if the system gives no more of it.
fn locked(stream: &CudaStream, bytes: usize) -> Result<Option<PinnedHostSlice<u8>>> {
    // SAFETY: every caller writes it before it is read.
    match unsafe { stream.context().alloc_pinned::<u8>(bytes.max(1)) } {
        Ok(memory) => Ok(Some(memory)),
        Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(None),
        Err(error) => Err(error).w(),
    }
}

/// Lends the bytes of a contiguous tensor on the CPU.
fn with_bytes<T>(tensor: &Tensor, work: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(values), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        return Err(Error::msg("weights to be streamed are not contiguous on the CPU"));
    };
    match values {
        CpuStorage::U8(values) => work(&values[start..end]),
        CpuStorage::BF16(values) => work(bytes_of(&values[start..end])),
        CpuStorage::F16(values) => work(bytes_of(&values[start..end])),
        CpuStorage::F32(values) => work(bytes_of(&values[start..end])),
        _ => Err(Error::msg(format!("weights in {:?} are not streamed", tensor.dtype()))),
    }
}

/// Values that are plain numbers: no bit pattern is forbidden, and there is nothing between them.
trait Plain {}
impl Plain for half::bf16 {}
impl Plain for half::f16 {}
impl Plain for f32 {}

fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: every byte of a plain value is initialised, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
