//! CUDA graphs: launches that were made once are made again as one.
//!
//! Must not know what is computed.

use super::address_of;
use candle_core::{
    Device, Error, Result, Tensor,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{CudaGraph, CudaStream, DriverError, result, sys},
    },
};
use std::sync::Arc;

/// Launches in their order, with the memory that they use between them.
pub struct Graph {
    /// There until it is dropped.
    graph: Option<CudaGraph>,
    stream: Arc<CudaStream>,
}

// SAFETY: a graph may be used by any thread, by one at a time; `launch` needs it alone.
unsafe impl Send for Graph {}

impl Graph {
    /// Makes all its launches.
    pub fn launch(&mut self) -> Result<()> {
        self.graph.as_ref().map_or(Ok(()), CudaGraph::launch).w()
    }
}

impl Drop for Graph {
    /// The driver keeps the memory of graphs for further ones; here it goes back to whoever asks next.
    fn drop(&mut self) {
        let waited = self.stream.synchronize();
        self.graph = None;
        if waited.is_ok() {
            // SAFETY: an open device; nothing of the graph runs any more.
            let _ = unsafe { sys::cuDeviceGraphMemTrim(self.stream.context().cu_device()) };
        }
    }
}

/// Notes down what `work` launches, without launching it. Every tensor made in `work` must be dropped when it returns. `None` where
/// something in it cannot be repeated: it failed, or data came from the host, which would be read anew from the same place.
pub fn capture<E>(device: &Device, work: impl FnOnce() -> std::result::Result<(), E>) -> Result<Option<Graph>> {
    let stream = device.as_cuda_device()?.cuda_stream();
    give_back(&stream).w()?;
    let (done, graph) = {
        let mut capturing = Capturing::begin(&stream).w()?;
        (work(), capturing.end())
    };
    // What failed only because it was being noted down is no failure of the device.
    let _ = stream.context().check_err();
    match (done, graph) {
        (Ok(()), Ok(Some(graph))) if repeatable(&graph).w()? => {
            graph.upload().w()?;
            Ok(Some(Graph { graph: Some(graph), stream }))
        }
        _ => Ok(None),
    }
}

/// Gives back what is kept for later allocations, so that a graph, which has memory of its own, finds room.
fn give_back(stream: &CudaStream) -> std::result::Result<(), DriverError> {
    stream.synchronize()?;
    if !stream.context().has_async_alloc() {
        return Ok(());
    }
    // SAFETY: an open device and its own pool.
    unsafe {
        let pool = result::device::get_default_mem_pool(stream.context().cu_device())?;
        sys::cuMemPoolTrimTo(pool, 0).result()
    }
}

/// A stream that notes down; it ends to do so when this is dropped, after a panic as well.
struct Capturing<'a> {
    stream: &'a Arc<CudaStream>,
    ended: bool,
}

impl<'a> Capturing<'a> {
    fn begin(stream: &'a Arc<CudaStream>) -> std::result::Result<Self, DriverError> {
        // Other streams and threads go on undisturbed.
        stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED)?;
        Ok(Self { stream, ended: false })
    }

    fn end(&mut self) -> std::result::Result<Option<CudaGraph>, DriverError> {
        self.ended = true;
        self.stream.end_capture(sys::CUgraphInstantiate_flags(0))
    }
}

impl Drop for Capturing<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.end();
        }
    }
}

/// Whether a graph is kernels, cleared memory, and memory taken and given back.
fn repeatable(graph: &CudaGraph) -> std::result::Result<bool, DriverError> {
    use sys::CUgraphNodeType as Kind;
    let mut count = 0;
    // SAFETY: without an array the driver writes the number of nodes alone.
    unsafe { sys::cuGraphGetNodes(graph.cu_graph(), std::ptr::null_mut(), &mut count) }.result()?;
    let mut nodes = vec![std::ptr::null_mut(); count];
    // SAFETY: the array has room for as many nodes as there are.
    unsafe { sys::cuGraphGetNodes(graph.cu_graph(), nodes.as_mut_ptr(), &mut count) }.result()?;
    for node in nodes {
        let mut kind = Kind::CU_GRAPH_NODE_TYPE_HOST;
        // SAFETY: a node of a graph that is alive; one value is written.
        unsafe { sys::cuGraphNodeGetType(node, &mut kind) }.result()?;
        let repeats = matches!(
            kind,
            Kind::CU_GRAPH_NODE_TYPE_KERNEL
                | Kind::CU_GRAPH_NODE_TYPE_MEMSET
                | Kind::CU_GRAPH_NODE_TYPE_MEM_ALLOC
                | Kind::CU_GRAPH_NODE_TYPE_MEM_FREE
                | Kind::CU_GRAPH_NODE_TYPE_EMPTY
        );
        if !repeats {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Overwrites a tensor with another of the same shape and dtype, both contiguous.
pub fn copy_into(source: &Tensor, target: &Tensor) -> Result<()> {
    let alike = source.dims() == target.dims() && source.dtype() == target.dtype();
    if !alike || !source.is_contiguous() || !target.is_contiguous() {
        return Err(Error::msg("copy: tensors are not alike"));
    }
    let stream = target.device().as_cuda_device()?.cuda_stream();
    let (from, to) = (address_of(source, &stream)?, address_of(target, &stream)?);
    let bytes = source.elem_count() * source.dtype().size_in_bytes();
    // SAFETY: both are live tensors of that many bytes on the stream's device, held until the copy is in the stream.
    unsafe { result::memcpy_dtod_async(to, from, bytes, stream.cu_stream()) }.w()
}
