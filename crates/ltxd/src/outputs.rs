//! Names of files and folders that a command writes: what a name's ending states is what is written, or it is refused.
//!
//! Must not know who writes them. Commands call it before they do anything else.

use crate::exit::BadInput;
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// What a command writes under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// A clip.
    Mp4,
    /// A single picture.
    Png,
    /// A sidecar.
    Json,
    /// Weights that were quantised.
    Gguf,
    /// Tensors of a golden case.
    Safetensors,
    /// A folder of a clip's frames, each a PNG.
    Frames,
}

/// Endings that a folder of frames may not have, as they state a file: pictures, clips and sound, archives, data, weights.
const FILES: [&str; 5] = [
    "apng avif bmp dng exr gif hdr heic heif ico jp2 jpe jpeg jpg jxl pbm pgm png ppm psd svg tga tif tiff webp",
    "264 265 3gp aac avi flac flv gifv h264 h265 hevc ivf m2ts m4a m4v mkv mov mp3 mp4 mpeg mpg mts mxf ogg ogv ts wav webm wmv y4m",
    "7z bz2 gz lz4 rar tar tbz2 tgz txz xz zip zst",
    "c2pa csv html json jsonl log md pdf toml txt xml yaml yml",
    "ckpt gguf npy npz pt pth safetensors",
];

impl Written {
    /// Its name, its article in front, and the ending that states it.
    fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::Mp4 => ("an MP4", "mp4"),
            Self::Png => ("a PNG", "png"),
            Self::Json => ("JSON", "json"),
            Self::Gguf => ("a GGUF file", "gguf"),
            Self::Safetensors => ("a safetensors file", "safetensors"),
            Self::Frames => ("a folder of PNG files", ""),
        }
    }

    /// Refuses a name that states something else than what is written, or nothing, and one that nothing can be written under.
    /// `field` is the flag's name.
    ///
    /// # Errors
    /// [`BadInput`], with what is written and the nearest name that says so.
    pub(crate) fn check(self, field: &str, name: &Path) -> Result<(), BadInput> {
        self.check_name(field, name)?;
        self.check_place(field, name)
    }

    /// Refuses a name for what it states, and for the folder that it lies in; not for what is there under it, as a seed may still be
    /// added to it.
    ///
    /// # Errors
    /// As of [`check`](Self::check).
    pub(crate) fn check_name(self, field: &str, name: &Path) -> Result<(), BadInput> {
        let found = self.fault_of_name(name).or_else(|| fault_of_folder(name));
        self.refused(field, name, found)
    }

    /// Refuses a name for what is there under it.
    ///
    /// # Errors
    /// As of [`check`](Self::check).
    pub(crate) fn check_place(self, field: &str, name: &Path) -> Result<(), BadInput> {
        self.refused(field, name, self.fault_of_place(name))
    }

    fn refused(self, field: &str, name: &Path, fault: Option<Fault>) -> Result<(), BadInput> {
        let Some(Fault { found, instead }) = fault else { return Ok(()) };
        let ((written, _), shown, instead) = (self.named(), name.display(), instead.display());
        Err(BadInput(format!("{field}: {shown} {found}, and {written} is written; name it {instead}")))
    }

    fn fault_of_name(self, name: &Path) -> Option<Fault> {
        let ((_, ending), stated) = (self.named(), ending_of(name));
        let of_a_folder = name.as_os_str().as_encoded_bytes().ends_with(b"/") || name.file_name().is_none();
        let inside = || name.join(format!("out.{ending}"));
        match (self, stated) {
            _ if name == Path::new("-") => {
                let instead = if ending.is_empty() { "frames".to_owned() } else { format!("out.{ending}") };
                Fault::new("stands for standard output", instead)
            }
            // Of what is there already, its place says more.
            (Self::Frames, Some(stated)) if states_a_file(&stated) && !name.exists() => {
                Fault::new(format!("ends in .{stated}"), without_endings(name))
            }
            (Self::Frames, _) => None,
            (_, Some(stated)) if stated == ending && of_a_folder && !name.is_dir() => {
                Fault::new("ends in a slash, as a folder's name does", name.with_file_name(name.file_name()?))
            }
            (_, Some(stated)) if stated == ending => None,
            _ if of_a_folder || name.is_dir() => Fault::new("is a folder", inside()),
            (_, Some(stated)) => {
                Fault::new(format!("ends in .{stated}"), format!("{}.{ending}", without_ending(name).display()))
            }
            (_, None) => Fault::new("has no ending", format!("{}.{ending}", name.display())),
        }
    }

    fn fault_of_place(self, name: &Path) -> Option<Fault> {
        match self {
            Self::Frames if name.exists() && !name.is_dir() => Fault::new("is a file, not a folder", free_beside(name)),
            Self::Frames if fs::read_dir(name).is_ok_and(|mut held| held.next().is_some()) => {
                Fault::new("is not empty", free_beside(name))
            }
            Self::Frames => None,
            _ => name.is_dir().then(|| Fault::new("is a folder", name.join(format!("out.{}", self.named().1))))?,
        }
    }
}

/// What is wrong with a name, as the rest of a sentence, and the nearest name that is right.
struct Fault {
    found: String,
    instead: PathBuf,
}

impl Fault {
    fn new(found: impl Into<String>, instead: impl Into<PathBuf>) -> Option<Self> {
        Some(Self { found: found.into(), instead: instead.into() })
    }
}

/// The folder that a name lies in has to be there, as a folder.
fn fault_of_folder(name: &Path) -> Option<Fault> {
    let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let found = match fs::metadata(folder) {
        Ok(it) if it.is_dir() => return None,
        Ok(_) => format!("lies in {}, which is a file", folder.display()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            format!("lies in the folder {}, which does not exist", folder.display())
        }
        // Of what cannot be looked at, the writer says more.
        Err(_) => return None,
    };
    let nearest = folder.ancestors().find(|it| it.as_os_str().is_empty() || it.is_dir()).unwrap_or(Path::new(""));
    Fault::new(found, nearest.join(name.file_name()?))
}

/// A name's ending in small letters.
fn ending_of(name: &Path) -> Option<String> {
    name.extension().map(|ending| ending.to_string_lossy().to_lowercase())
}

fn states_a_file(ending: &str) -> bool {
    FILES.iter().flat_map(|kind| kind.split(' ')).any(|known| known == ending)
}

fn without_ending(name: &Path) -> PathBuf {
    name.file_stem().map_or_else(|| name.to_owned(), |stem| name.with_file_name(stem))
}

/// The name without all the endings that state a file.
fn without_endings(name: &Path) -> PathBuf {
    let shorter = without_ending(name);
    match ending_of(&shorter) {
        Some(ending) if states_a_file(&ending) => without_endings(&shorter),
        _ => shorter,
    }
}

/// A name like this one that nothing has yet.
fn free_beside(name: &Path) -> PathBuf {
    let plain = without_endings(name);
    let stem = plain.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = (2..1000).map(|number| plain.with_file_name(format!("{stem}-{number}")));
    std::iter::once(plain.clone()).chain(numbered).find(|name| !name.exists()).unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(written: Written, name: &str) -> Option<String> {
        written.check_name("out", Path::new(name)).err().map(|error| error.to_string())
    }

    #[test]
    fn a_name_that_says_what_is_written_is_taken() {
        for name in ["clip.mp4", "./c.d.mp4", "CLIP.MP4", "./-.mp4", "clip.webm.mp4", "/tmp/clip.mp4", "../clip.mp4"] {
            assert_eq!(said(Written::Mp4, name), None, "{name}");
        }
        for name in ["frames", "frames/", "./frames", "take.2", ".", "..", "shot.v1/"] {
            assert_eq!(said(Written::Frames, name), None, "{name}");
        }
        assert_eq!(said(Written::Gguf, "model-q8.gguf"), None);
    }

    #[test]
    fn a_name_that_says_something_else_is_told_the_right_one() {
        let cases = [
            (Written::Mp4, "clip.webm", "ends in .webm, and an MP4 is written; name it clip.mp4"),
            (Written::Mp4, "a/clip.GIF", "ends in .gif, and an MP4 is written; name it a/clip.mp4"),
            (
                Written::Mp4,
                "clip.mp4/",
                "ends in a slash, as a folder's name does, and an MP4 is written; name it clip.mp4",
            ),
            (Written::Mp4, "clips/", "is a folder, and an MP4 is written; name it clips/out.mp4"),
            (Written::Mp4, "clip.webm/", "is a folder, and an MP4 is written; name it clip.webm/out.mp4"),
            (Written::Mp4, "..", "is a folder, and an MP4 is written; name it ../out.mp4"),
            (Written::Png, "/", "is a folder, and a PNG is written; name it /out.png"),
            (
                Written::Mp4,
                "none-such/b/clip.mp4",
                "lies in the folder none-such/b, which does not exist, and an MP4 is written; name it clip.mp4",
            ),
            (
                Written::Mp4,
                "Cargo.toml/clip.mp4",
                "lies in Cargo.toml, which is a file, and an MP4 is written; name it clip.mp4",
            ),
            (
                Written::Frames,
                "src/main.rs/frames",
                "lies in src/main.rs, which is a file, and a folder of PNG files is written; name it src/frames",
            ),
            (Written::Mp4, "clip.mov", "ends in .mov, and an MP4 is written; name it clip.mp4"),
            (Written::Mp4, "clip", "has no ending, and an MP4 is written; name it clip.mp4"),
            (Written::Mp4, ".mp4", "has no ending, and an MP4 is written; name it .mp4.mp4"),
            (Written::Mp4, "clip.", "ends in ., and an MP4 is written; name it clip.mp4"),
            (Written::Mp4, "-", "stands for standard output, and an MP4 is written; name it out.mp4"),
            (Written::Png, "now.jpg", "ends in .jpg, and a PNG is written; name it now.png"),
            (Written::Json, "mark.txt", "ends in .txt, and JSON is written; name it mark.json"),
            (Written::Gguf, "q8.safetensors", "ends in .safetensors, and a GGUF file is written; name it q8.gguf"),
            (
                Written::Frames,
                "frame_%05d.png",
                "ends in .png, and a folder of PNG files is written; name it frame_%05d",
            ),
            (Written::Frames, "f.tar.gz", "ends in .gz, and a folder of PNG files is written; name it f"),
            (Written::Frames, "a.JSON", "ends in .json, and a folder of PNG files is written; name it a"),
            (Written::Frames, "a.zip/", "ends in .zip, and a folder of PNG files is written; name it a"),
            (Written::Frames, "x/clip.mp4", "ends in .mp4, and a folder of PNG files is written; name it x/clip"),
            (Written::Frames, "-", "stands for standard output, and a folder of PNG files is written; name it frames"),
        ];
        for (written, name, expected) in cases {
            let said = said(written, name).unwrap_or_else(|| panic!("{name} is taken for {written:?}"));
            assert!(said.starts_with(&format!("out: {name} {expected}")), "{said}");
        }
    }

    #[test]
    fn what_is_there_already_is_told_with_a_name_that_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["empty", "empty.mp4", "full", "full-2"] {
            fs::create_dir(at(name)).unwrap();
        }
        for name in ["full/frame.png", "full-2/frame.png", "notes", "notes.txt", "clip.mp4"] {
            fs::write(at(name), "").unwrap();
        }
        let cases = [
            (Written::Frames, "empty", None),
            (Written::Frames, "empty.mp4", None),
            (Written::Frames, "new", None),
            (Written::Frames, "full", Some(("is not empty", "full-3"))),
            (Written::Frames, "notes.txt", Some(("is a file, not a folder", "notes-2"))),
            (Written::Mp4, "clip.mp4", None),
            (Written::Mp4, "empty.mp4", Some(("is a folder", "empty.mp4/out.mp4"))),
            (Written::Mp4, "empty", Some(("is a folder", "empty/out.mp4"))),
        ];
        for (written, name, expected) in cases {
            let said = written.check("out", &at(name)).err().map(|error| error.to_string());
            let what = written.named().0;
            let expected = expected.map(|(found, instead)| {
                format!("out: {} {found}, and {what} is written; name it {}", at(name).display(), at(instead).display())
            });
            assert_eq!(said, expected, "{name}");
        }
    }
}
