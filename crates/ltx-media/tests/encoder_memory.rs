//! What an encoder is said to hold: it grows with the frames that it holds. And for the campaign, the resident memory that it takes
//! against that: a process for each size, which is this test again. Ratios alone are judged, of megabytes, some of them the system's:
//!
//!     cargo test --release -p ltx-media --test encoder_memory -- --ignored

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

fn planned([width, height, frames]: [usize; 3]) -> u64 {
    Mp4Writer::memory_bytes(PixelShape { width, height }, frames)
}

#[test]
fn it_grows_with_a_frame_and_with_the_frames_that_are_held() {
    let few: Vec<u64> = [1, 9, 33].map(|frames| planned([256, 256, frames])).to_vec();
    assert!(few.is_sorted_by(|less, more| less < more), "{few:?}");
    assert_eq!(planned([256, 256, 97]), planned([256, 256, 121]), "no more are held");
    for [width, height] in [[32, 32], [256, 256], [512, 384], [1024, 768]] {
        let (one, all) = (planned([width, height, 1]), planned([width, height, 121]));
        assert!(planned([2 * width, height, 121]) > all && planned([width, 2 * height, 1]) > one);
        // Three planes at half the bytes of RGB, of every frame that x264 looks ahead at.
        assert!(all - one > 40 * (width * height * 3 / 2) as u64, "{width}x{height}: {one} to {all}");
    }
}

#[test]
#[ignore = "resident memory against a figure: for a machine with nothing else to do; how, above"]
fn an_encoder_takes_what_it_is_said_to_take() {
    if let Ok(size) = env::var(SIZE) {
        let size: Vec<usize> = size.split('x').map(|side| side.parse().unwrap()).collect();
        println!("measured {} bytes", measured([size[0], size[1], size[2]]));
        return;
    }
    for size in [[256, 256, 17], [256, 256, 97], [512, 384, 9], [512, 384, 33], [768, 512, 121], [1024, 768, 33]] {
        let name = size.map(|side| side.to_string()).join("x");
        let mut process = Command::new(env::current_exe().unwrap());
        process
            .args(["--exact", "an_encoder_takes_what_it_is_said_to_take", "--nocapture", "--ignored"])
            .env(SIZE, &name);
        let said = String::from_utf8(process.output().unwrap().stdout).unwrap();
        let measured =
            said.lines().find_map(|line| line.split("measured ").nth(1)?.split(' ').next()?.parse::<u64>().ok());
        let measured = measured.unwrap_or_else(|| panic!("{name}: {said}"));
        let planned = planned(size);
        let ratio = measured as f64 / planned as f64;
        println!("{name}: {planned} planned, {measured} measured, {ratio:.2}");
        assert!((0.7..1.3).contains(&ratio), "{name}: {planned} bytes planned, {measured} measured");
    }
}
