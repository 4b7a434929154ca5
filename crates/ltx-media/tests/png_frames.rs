//! `PngFolderWriter` and `encode_png`: numbered files, the mark in each, all or nothing.

mod common;

use common::{Folder, gradient, mark, names};
use ltx_media::{FrameWriter, MediaError, PngFolderWriter, encode_png, open_image};
use ltx_types::{ImageSource, PixelShape};
use std::{collections::BTreeMap, fs, io::Cursor, path::Path};

const SHAPE: PixelShape = PixelShape { width: 33, height: 20 };

fn frame(index: usize) -> Vec<u8> {
    gradient(SHAPE.width, SHAPE.height, index)
}

fn create(folder: &Path) -> Result<Box<PngFolderWriter>, MediaError> {
    PngFolderWriter::create(folder, SHAPE, &mark()).map(Box::new)
}

/// The text chunks of a PNG.
fn texts(bytes: &[u8]) -> BTreeMap<String, String> {
    let reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    reader.info().utf8_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.get_text().unwrap())).collect()
}

fn assert_marked(bytes: &[u8]) {
    let texts = texts(bytes);
    for (key, value) in mark().entries() {
        assert_eq!(texts[key], value);
    }
    assert!(texts["comment"].contains("usage_class UNLIMITED"));
}

#[test]
fn frames_become_numbered_marked_files() {
    let folder = Folder::new();
    let target = folder.join("frames");
    let mut writer = create(&target).unwrap();
    for index in 0..3 {
        writer.write(&frame(index)).unwrap();
    }
    assert!(!target.exists());
    writer.finish(&mark()).unwrap();
    assert_eq!(folder.names(), ["frames"]);
    assert_eq!(names(&target), ["frame_00000.png", "frame_00001.png", "frame_00002.png"]);
    for index in 0..3 {
        let path = target.join(format!("frame_{index:05}.png"));
        assert_marked(&fs::read(&path).unwrap());
        assert_eq!(open_image(&ImageSource::Path(path)).unwrap().into_raw(), frame(index));
    }
}

#[test]
fn a_poster_carries_the_mark() {
    let poster = encode_png(&frame(0), SHAPE, &mark()).unwrap();
    assert_marked(&poster);
    assert_eq!(open_image(&ImageSource::Bytes(poster.into())).unwrap().into_raw(), frame(0));
    assert!(matches!(encode_png(&[1, 2], SHAPE, &mark()), Err(MediaError::FrameLength { actual: 2, .. })));
    let empty = PixelShape { width: 0, height: 4 };
    assert!(matches!(encode_png(&[], empty, &mark()), Err(MediaError::FrameShape { .. })));
}

#[test]
fn a_dropped_or_empty_folder_leaves_nothing() {
    let folder = Folder::new();
    let mut writer = create(&folder.join("frames")).unwrap();
    writer.write(&frame(0)).unwrap();
    assert_eq!(folder.names().len(), 1);
    drop(writer);
    assert!(folder.names().is_empty());
    let finished = create(&folder.join("frames")).unwrap().finish(&mark());
    assert!(matches!(finished, Err(MediaError::Incomplete { .. })));
    assert!(folder.names().is_empty());
}

#[test]
fn an_existing_folder_must_be_empty() {
    let folder = Folder::new();
    let target = folder.join("frames");
    fs::create_dir(&target).unwrap();
    let mut writer = create(&target).unwrap();
    writer.write(&frame(0)).unwrap();
    writer.finish(&mark()).unwrap();
    assert_eq!(names(&target), ["frame_00000.png"]);
    assert!(matches!(create(&target), Err(MediaError::FolderNotEmpty { .. })));
    assert!(matches!(create(&target.join("frame_00000.png")), Err(MediaError::NotAFolder { .. })));
    let missing = create(&folder.join("no/frames")).unwrap_err();
    assert!(matches!(&missing, MediaError::NoFolder { folder: no, .. } if *no == folder.join("no")), "{missing}");
    assert!(matches!(create(Path::new("/proc/frames")), Err(MediaError::Create { .. })));

    let late = folder.join("late");
    let mut writer = create(&late).unwrap();
    writer.write(&frame(0)).unwrap();
    fs::create_dir(&late).unwrap();
    fs::write(late.join("somebody else's"), "").unwrap();
    assert!(matches!(writer.finish(&mark()), Err(MediaError::Write { .. })));
    assert_eq!(names(&late), ["somebody else's"]);
    assert_eq!(folder.names(), ["frames", "late"]);
}
