//! Matrix products by cuBLASLt, with the bias and GELU in the same pass. Which of its algorithms is used is asked once a shape.
//!
//! Must not know layers.

use super::address_of;
use candle_core::{
    CudaDevice, DType, Error, Result, Tensor,
    cuda_backend::{
        DeviceId,
        cudarc::{
            cublaslt::{
                result::{self, CublasError},
                sys,
            },
            driver::{CudaSlice, CudaStream, DevicePtr},
        },
    },
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{Arc, LazyLock},
};

/// What cuBLASLt may use beside its inputs and outputs; NVIDIA's advice for Hopper.
const WORKSPACE: usize = 32 << 20;

/// `x Wᵀ + b`, then GELU if asked for: `x [rows, inputs]`, `weight [outputs, inputs]`, `bias [outputs]` → `[rows, outputs]` in bf16.
/// Inputs are bf16, or bytes of e4m3 with scales (of `x`, of the weight) in f32 on the device: one for each row and each output, or
/// `[1]` for all rows, and then the first of the weight's counts.
pub(in super::super) struct Product<'a> {
    pub(in super::super) x: &'a Tensor,
    pub(in super::super) weight: &'a Tensor,
    pub(in super::super) bias: Option<&'a Tensor>,
    pub(in super::super) gelu: bool,
    pub(in super::super) scales: Option<(&'a Tensor, &'a Tensor)>,
}

/// What an algorithm is chosen for.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Kind {
    rows: usize,
    inputs: usize,
    outputs: usize,
    epilogue: i32,
    eight_bits: bool,
    /// Whether rows and outputs have scales of their own.
    by_rows: bool,
    /// Powers of two that the addresses of weight, input and output are multiples of, 256 at most.
    alignments: [u32; 3],
}

/// cuBLASLt on one device.
struct Lt {
    handle: sys::cublasLtHandle_t,
    workspace: CudaSlice<u8>,
    /// `None`: cuBLASLt has nothing for that kind.
    algorithms: Mutex<HashMap<Kind, Option<sys::cublasLtMatmulAlgo_t>>>,
}

// SAFETY: cuBLASLt's handles may be used from several threads; the rest is plain memory.
unsafe impl Send for Lt {}
// SAFETY: as above.
unsafe impl Sync for Lt {}

static OPEN: LazyLock<Mutex<HashMap<DeviceId, Arc<Lt>>>> = LazyLock::new(Mutex::default);

fn of(device: &CudaDevice) -> Result<Arc<Lt>> {
    let mut open = OPEN.lock();
    if let Some(lt) = open.get(&device.id()) {
        return Ok(Arc::clone(lt));
    }
    // SAFETY: only cuBLASLt writes to it and reads from it, in that order.
    let workspace = unsafe { device.alloc::<u8>(WORKSPACE) }?;
    let handle = result::create_handle().map_err(failed)?;
    let lt = Arc::new(Lt { handle, workspace, algorithms: Mutex::default() });
    open.insert(device.id(), Arc::clone(&lt));
    Ok(lt)
}

impl Product<'_> {
    /// Writes the product to `out`; `false` if cuBLASLt has no algorithm for it, and `out` is untouched.
    pub(in super::super) fn perform(&self, out: &Tensor) -> Result<bool> {
        let device = out.device().as_cuda_device()?;
        let (rows, inputs) = self.x.dims2()?;
        let (outputs, weight_inputs) = self.weight.dims2()?;
        let kind_of = if self.scales.is_some() { DType::U8 } else { DType::BF16 };
        let fits = inputs == weight_inputs
            && out.dims() == [rows, outputs]
            && out.dtype() == DType::BF16
            && [self.x, self.weight].iter().all(|t| t.dtype() == kind_of && t.is_contiguous())
            && self
                .bias
                .is_none_or(|bias| bias.dims() == [outputs] && bias.dtype() == DType::BF16 && bias.is_contiguous())
            && self.scales.is_none_or(|(x, w)| {
                let f32s = [x, w].iter().all(|t| t.dtype() == DType::F32 && t.is_contiguous());
                f32s && w.elem_count() == outputs && [1, rows].contains(&x.elem_count())
            });
        if !fits {
            return Err(Error::msg("matrix product: tensors do not fit each other"));
        }
        let lt = of(device)?;
        let stream = device.cuda_stream();
        // SAFETY: sizes and dtypes were checked above, and all tensors are contiguous; they are held until the product is in
        // the stream, and memory is given back in stream order.
        unsafe { self.enqueue(&lt, &stream, out) }
    }

    unsafe fn enqueue(&self, lt: &Lt, stream: &Arc<CudaStream>, out: &Tensor) -> Result<bool> {
        let (rows, inputs) = self.x.dims2()?;
        let outputs = self.weight.dim(0)?;
        let epilogue = match (self.bias, self.gelu) {
            (None, false) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT,
            (None, true) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU,
            (Some(_), false) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
            (Some(_), true) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU_BIAS,
        };
        let value =
            if self.scales.is_some() { sys::cudaDataType::CUDA_R_8F_E4M3 } else { sys::cudaDataType::CUDA_R_16BF };
        // Column-major, as BLAS counts: outᵀ [outputs, rows] = weight (transposed) · xᵀ.
        let layouts =
            [(value, inputs, outputs), (value, inputs, rows), (sys::cudaDataType::CUDA_R_16BF, outputs, rows)];
        let [a, b, c] = layouts.map(|(kind, rows, columns)| Layout::new(kind, rows, columns));
        let (a, b, c) = (a.map_err(failed)?, b.map_err(failed)?, c.map_err(failed)?);
        let description = Description::new().map_err(failed)?;
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let transposed: u32 = 1;
        let by_rows = self.scales.is_some_and(|(x, _)| x.elem_count() > 1);
        // SAFETY: every attribute gets a value of the size that cuBLASLt documents for it; addresses are those of live tensors.
        unsafe {
            description.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &transposed).map_err(failed)?;
            description.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue).map_err(failed)?;
            if let Some(bias) = self.bias {
                description
                    .set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &address_of(bias, stream)?)
                    .map_err(failed)?;
            }
            if let Some((x_scale, weight_scale)) = self.scales {
                // Activations were rounded to 8 bits: more than Hopper's short sums of products lose.
                description.set(Attribute::CUBLASLT_MATMUL_DESC_FAST_ACCUM, &1i8).map_err(failed)?;
                description
                    .set(Attribute::CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &address_of(weight_scale, stream)?)
                    .map_err(failed)?;
                description
                    .set(Attribute::CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &address_of(x_scale, stream)?)
                    .map_err(failed)?;
                if by_rows {
                    let each = sys::cublasLtMatmulMatrixScale_t::CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
                    description.set(Attribute::CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &each).map_err(failed)?;
                    description.set(Attribute::CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &each).map_err(failed)?;
                }
            }
        }
        let (x, weight, target) =
            (address_of(self.x, stream)?, address_of(self.weight, stream)?, address_of(out, stream)?);
        let kind = Kind {
            rows,
            inputs,
            outputs,
            epilogue: epilogue as i32,
            eight_bits: self.scales.is_some(),
            by_rows,
            alignments: [weight, x, target].map(|address| 1 << address.trailing_zeros().min(8)),
        };
        let mut algorithms = lt.algorithms.lock();
        let algorithm = match algorithms.get(&kind) {
            Some(algorithm) => *algorithm,
            None => {
                let algorithm = choose(lt.handle, &description, [&a, &b, &c], kind.alignments).map_err(failed)?;
                *algorithms.entry(kind).or_insert(algorithm)
            }
        };
        let Some(algorithm) = algorithm else { return Ok(false) };
        let (alpha, beta) = (1f32, 0f32);
        let (workspace, _order) = lt.workspace.device_ptr(stream);
        // SAFETY: as the caller's; `alpha` and `beta` are read before the call returns.
        unsafe {
            result::matmul(
                lt.handle,
                description.0,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                weight as *const c_void,
                a.0,
                x as *const c_void,
                b.0,
                target as *const c_void,
                c.0,
                target as *mut c_void,
                c.0,
                &algorithm,
                workspace as *mut c_void,
                WORKSPACE,
                stream.cu_stream().cast(),
            )
        }
        .map_err(failed)?;
        Ok(true)
    }
}

/// As candle's own errors of CUDA, so that an exhausted memory is known as such.
fn failed(error: CublasError) -> Error {
    Error::Cuda(format!("cuBLASLt: {error:?}").into()).bt()
}

/// cuBLASLt's first choice for a product of operands at such addresses; `None` if it has none.
fn choose(
    handle: sys::cublasLtHandle_t,
    description: &Description,
    [a, b, c]: [&Layout; 3],
    [weight, x, out]: [u32; 3],
) -> std::result::Result<Option<sys::cublasLtMatmulAlgo_t>, CublasError> {
    use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
    let preference = Preference::new()?;
    // SAFETY: all objects are alive; the workspace's size has 64 bits, an alignment 32.
    let found = unsafe {
        preference.set(Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE)?;
        preference.set(Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &weight)?;
        preference.set(Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &x)?;
        preference.set(Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out)?;
        preference.set(Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out)?;
        result::get_matmul_algo_heuristic(handle, description.0, a.0, b.0, c.0, c.0, preference.0)
    };
    match found {
        Ok(found) => Ok(Some(found.algo)),
        Err(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Column-major, without gaps.
struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn new(kind: sys::cudaDataType, rows: usize, columns: usize) -> std::result::Result<Self, CublasError> {
        Ok(Self(result::create_matrix_layout(kind, rows as u64, columns as u64, rows as i64)?))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

/// Sums and scales in f32.
struct Description(sys::cublasLtMatmulDesc_t);

impl Description {
    fn new() -> std::result::Result<Self, CublasError> {
        let (sums, scales) = (sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, sys::cudaDataType::CUDA_R_32F);
        Ok(Self(result::create_matmul_desc(sums, scales)?))
    }

    /// # Safety
    /// `T` is the attribute's own type.
    unsafe fn set<T>(
        &self,
        attribute: sys::cublasLtMatmulDescAttributes_t,
        value: &T,
    ) -> std::result::Result<(), CublasError> {
        // SAFETY: the value is copied; its type is the caller's promise.
        unsafe { result::set_matmul_desc_attribute(self.0, attribute, (value as *const T).cast(), size_of::<T>()) }
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new() -> std::result::Result<Self, CublasError> {
        Ok(Self(result::create_matmul_pref()?))
    }

    /// # Safety
    /// `T` is the attribute's own type.
    unsafe fn set<T>(
        &self,
        attribute: sys::cublasLtMatmulPreferenceAttributes_t,
        value: &T,
    ) -> std::result::Result<(), CublasError> {
        // SAFETY: the value is copied; its type is the caller's promise.
        unsafe { result::set_matmul_pref_attribute(self.0, attribute, (value as *const T).cast(), size_of::<T>()) }
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}
