//! Performs launches on the CPU, from the kernels' own source: `emulate.cpp` and `emulate_hopper.cpp` compiled by the machine's
//! C++ compiler, once a process. Every launch runs twice, with threads and blocks in either order and what is asynchronous late or
//! early, and must give the same bytes. Where `LTXD_TEST_DEVICE` names a GPU, the same tests launch there.
//!
//! Must not know what the kernels compute.

use super::{
    device,
    launch::{Argument, Launch},
};
use crate::DeviceChoice;
use candle_core::{DType, Device, Result, Shape, Tensor};
use half::bf16;
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(compile);

/// The GPU that `LTXD_TEST_DEVICE` names, if it does.
pub(super) static GPU: LazyLock<Option<Device>> = LazyLock::new(|| {
    let name = env::var("LTXD_TEST_DEVICE").ok()?;
    let opened = name.parse::<DeviceChoice>().and_then(DeviceChoice::open);
    Some(opened.unwrap_or_else(|error| panic!("LTXD_TEST_DEVICE={name}: {error}")).device)
});

fn compile() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda");
    let sources = ["emulate.cpp", "emulate_hopper.cpp"].map(|name| folder.join(name));
    let program = env::current_exe().unwrap().with_file_name("ltx-emulate-cuda");
    let fresh = program.with_extension(std::process::id().to_string());
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let flags = [
        "-std=c++17",
        "-O3",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unknown-pragmas",
        "-DLTX_EMULATE",
        "-U_FORTIFY_SOURCE",
        "-o",
    ];
    let status = Command::new(&compiler).args(flags).arg(&fresh).args(&sources).status();
    assert!(status.is_ok_and(|status| status.success()), "{compiler} does not compile {sources:?}");
    fs::rename(&fresh, &program).unwrap();
    program
}

/// Performs a launch; outputs hold garbage before it.
///
/// # Panics
/// The kernel does what a GPU would not forgive, or does not give the same bytes in another order of its threads.
pub(super) fn perform<const N: usize>(
    launch: &Launch,
    inputs: &[&Tensor],
    outputs: [(&[usize], DType); N],
) -> Result<[Tensor; N]> {
    let given: Vec<_> = inputs.iter().map(|tensor| bytes_of(tensor)).collect::<Result<_>>()?;
    let garbage = |(shape, dtype): &(&[usize], DType)| {
        vec![0xffu8; Shape::from(shape.to_vec()).elem_count() * dtype.size_in_bytes()]
    };
    let buffers: Vec<_> = given.into_iter().chain(outputs.iter().map(garbage)).collect();
    let after = run(launch, &buffers, 0);
    assert_eq!(after, run(launch, &buffers, 1), "{}: the order of threads matters", launch.kernel);
    let mut rest = after.as_slice();
    let mut read: Vec<&[u8]> = Vec::new();
    for buffer in &buffers {
        let (bytes, behind) = rest.split_at(buffer.len());
        read.push(bytes);
        rest = behind;
    }
    for (i, _) in inputs.iter().enumerate() {
        assert_eq!(read[i], buffers[i], "{}: input {i} was written to", launch.kernel);
    }
    let outputs =
        read[inputs.len()..].iter().zip(outputs).map(|(bytes, (shape, dtype))| tensor_of(bytes, shape, dtype));
    Ok(outputs.collect::<Result<Vec<_>>>()?.try_into().unwrap())
}

/// Performs a launch whose only output holds something already.
pub(super) fn in_place(launch: &Launch, inputs: &[&Tensor], output: &Tensor) -> Result<Tensor> {
    let buffers: Vec<_> = inputs.iter().copied().chain([output]).map(bytes_of).collect::<Result<_>>()?;
    let after = run(launch, &buffers, 0);
    let written = after.len() - buffers.last().map_or(0, Vec::len);
    tensor_of(&after[written..], output.dims(), output.dtype())
}

/// What is said of a launch that is refused; nothing if it is performed.
pub(super) fn refusal(launch: &Launch, tensors: &[&Tensor], order: u32) -> Result<Option<String>> {
    let buffers: Vec<_> = tensors.iter().map(|tensor| bytes_of(tensor)).collect::<Result<_>>()?;
    let output = attempt(launch, &buffers, order);
    Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// The buffers after a launch, one behind the other.
fn run(launch: &Launch, buffers: &[Vec<u8>], order: u32) -> Vec<u8> {
    match &*GPU {
        Some(device) => on_gpu(device, launch, buffers).unwrap_or_else(|error| panic!("{launch:?}: {error}")),
        None => emulated(launch, buffers, order),
    }
}

fn on_gpu(device: &Device, launch: &Launch, buffers: &[Vec<u8>]) -> Result<Vec<u8>> {
    let upload = |buffer: &Vec<u8>| Tensor::from_slice(buffer, buffer.len(), device);
    let tensors = buffers.iter().map(upload).collect::<Result<Vec<_>>>()?;
    device::run(launch, &[], &tensors.iter().collect::<Vec<_>>())?;
    let after = tensors.iter().map(Tensor::to_vec1::<u8>).collect::<Result<Vec<_>>>()?;
    Ok(after.concat())
}

fn emulated(launch: &Launch, buffers: &[Vec<u8>], order: u32) -> Vec<u8> {
    let output = attempt(launch, buffers, order);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{launch:?}: {}, {said}", output.status);
    output.stdout
}

fn attempt(launch: &Launch, buffers: &[Vec<u8>], order: u32) -> Output {
    let mut message = Vec::new();
    let word = |message: &mut Vec<u8>, value: u32| message.extend(value.to_le_bytes());
    word(&mut message, launch.kernel.len() as u32);
    message.extend(launch.kernel.as_bytes());
    launch.grid.into_iter().chain([launch.block, launch.shared, order]).for_each(|value| word(&mut message, value));
    word(&mut message, launch.arguments.len() as u32);
    let mut next = buffers.iter();
    for argument in &launch.arguments {
        match argument {
            Argument::Tensor => {
                let buffer = next.next().expect("a buffer for every tensor");
                word(&mut message, u32::from(b'b'));
                message.extend((buffer.len() as u64).to_le_bytes());
                message.extend(buffer);
            }
            Argument::Int(value) => {
                word(&mut message, u32::from(b'i'));
                message.extend(value.to_le_bytes());
            }
            Argument::Long(value) => {
                word(&mut message, u32::from(b'l'));
                message.extend(value.to_le_bytes());
            }
            Argument::Float(value) => {
                word(&mut message, u32::from(b'f'));
                message.extend(value.to_le_bytes());
            }
        }
    }
    assert!(next.next().is_none(), "{}: more buffers than tensors", launch.kernel);
    let mut child = Command::new(&*PROGRAM);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    // One that ends early is judged by its status.
    let _ = child.stdin.take().unwrap().write_all(&message);
    child.wait_with_output().unwrap()
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let flat = tensor.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::BF16 => flat.to_vec1::<bf16>()?.into_iter().flat_map(bf16::to_le_bytes).collect(),
        DType::F32 => flat.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect(),
        DType::U32 => flat.to_vec1::<u32>()?.into_iter().flat_map(u32::to_le_bytes).collect(),
        _ => flat.to_vec1::<u8>()?,
    })
}

fn tensor_of(bytes: &[u8], shape: &[usize], dtype: DType) -> Result<Tensor> {
    let words = |bytes: &[u8]| bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    match dtype {
        DType::BF16 => {
            let value = |b: &[u8]| bf16::from_le_bytes([b[0], b[1]]);
            Tensor::from_vec(bytes.chunks_exact(2).map(value).collect::<Vec<_>>(), shape, &Device::Cpu)
        }
        DType::F32 => {
            let words: Vec<u32> = words(bytes);
            Tensor::from_vec(words.into_iter().map(f32::from_bits).collect::<Vec<_>>(), shape, &Device::Cpu)
        }
        DType::U32 => Tensor::from_vec(words(bytes), shape, &Device::Cpu),
        _ => Tensor::from_vec(bytes.to_vec(), shape, &Device::Cpu),
    }
}
