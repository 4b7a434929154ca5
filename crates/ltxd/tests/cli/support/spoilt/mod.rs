//! Spoilt images, checkpoints, text encoders and cases by name: each is the tiny model's, or a demo picture, changed in one
//! thing.
//!
//! Must not know what is said about them.

mod checkpoints;
mod folders;

use super::{files::start_picture, pictures::hollow_png};
use std::{fs, path::Path};

/// Makes what is called `name` in `folder`.
pub(crate) fn make(folder: &Path, name: &str) {
    let made = picture(name).or_else(|| checkpoints::bytes(name));
    match made {
        Some(bytes) => fs::write(folder.join(name), bytes).expect("room for a file"),
        None => folders::make(&folder.join(name), name),
    }
}

fn picture(name: &str) -> Option<Vec<u8>> {
    Some(match name {
        "text.png" => b"this is not a picture\n".to_vec(),
        "empty.png" => Vec::new(),
        "huge.png" => hollow_png(10_000, 10_000),
        "hollow.png" => hollow_png(64, 64),
        "picture.gif" => [&b"GIF89a"[..], &[0; 64]].concat(),
        "cut.jpg" => {
            let jpeg = fs::read(start_picture()).expect("a demo picture");
            jpeg[..jpeg.len() / 2].to_vec()
        }
        _ => return None,
    })
}
