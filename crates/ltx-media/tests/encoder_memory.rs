//! What an encoder is said to hold, against the resident memory that it takes: a process for each size, which is this test again.
//! Ratios alone are judged.

mod common;

use common::{Folder, gradient, mark};
use ltx_media::{FrameWriter, Mp4Writer};
use ltx_types::{FrameRate, PixelShape};
use std::{env, fs, process::Command};

/// Names a size for the process that measures it.
const SIZE: &str = "LTX_MEDIA_ENCODER_MEMORY";

fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn write(folder: &Folder, [width, height, frames]: [usize; 3]) {
    let (shape, rate) = (PixelShape { width, height }, FrameRate::new(24.0).unwrap());
    let mut writer = Box::new(Mp4Writer::create(&folder.join("clip.mp4"), shape, rate).unwrap());
    for index in 0..frames {
        writer.write(&gradient(width, height, index)).unwrap();
    }
    writer.finish(&mark()).unwrap();
}

/// Resident bytes of writing such a clip, above what a small one has left of libraries and heaps.
fn measured(size: [usize; 3]) -> u64 {
    let folder = Folder::new();
    write(&folder, [32, 32, 3]);
    let before = status("VmRSS:");
    write(&folder, size);
    status("VmHWM:").saturating_sub(before)
}

#[test]
fn an_encoder_takes_what_it_is_said_to_take() {
    if let Ok(size) = env::var(SIZE) {
        let size: Vec<usize> = size.split('x').map(|side| side.parse().unwrap()).collect();
        println!("measured {} bytes", measured([size[0], size[1], size[2]]));
        return;
    }
    for size in [[256, 256, 17], [256, 256, 97], [512, 384, 9], [512, 384, 33], [768, 512, 121], [1024, 768, 33]] {
        let name = size.map(|side| side.to_string()).join("x");
        let mut process = Command::new(env::current_exe().unwrap());
        process.args(["--exact", "an_encoder_takes_what_it_is_said_to_take", "--nocapture"]).env(SIZE, &name);
        let said = String::from_utf8(process.output().unwrap().stdout).unwrap();
        let measured =
            said.lines().find_map(|line| line.split("measured ").nth(1)?.split(' ').next()?.parse::<u64>().ok());
        let measured = measured.unwrap_or_else(|| panic!("{name}: {said}"));
        let planned = Mp4Writer::memory_bytes(PixelShape { width: size[0], height: size[1] }, size[2]);
        let ratio = measured as f64 / planned as f64;
        println!("{name}: {planned} planned, {measured} measured, {ratio:.2}");
        assert!((0.7..1.3).contains(&ratio), "{name}: {planned} bytes planned, {measured} measured");
    }
}
