//! Names of files and folders that a command writes: what a name's ending states is what is written, or it is refused.
//!
//! Must not know who writes them. Commands call it before they do anything else.

use crate::exit::BadInput;
use std::path::Path;

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

/// Endings that a folder of frames may not have: they state a file.
const FILES: [&str; 24] = [
    "apng", "avi", "avif", "bmp", "exr", "gif", "heic", "jpeg", "jpg", "jxl", "m4v", "mkv", "mov", "mp4", "mpg", "png",
    "ppm", "tar", "tif", "tiff", "webm", "webp", "y4m", "zip",
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

    /// Refuses a name that states something else than what is written, or nothing. `field` is the flag's name.
    ///
    /// # Errors
    /// [`BadInput`], with what is written and the nearest name that says so.
    pub(crate) fn check(self, field: &str, name: &Path) -> Result<(), BadInput> {
        let (written, ending) = self.named();
        let stated = name.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let shown = name.display();
        let refused = |found: String, instead: String| {
            Err(BadInput(format!("{field}: {shown} {found}, and {written} is written; name it {instead}")))
        };
        let stem = |fallback: &str| match name.file_stem() {
            Some(stem) if name != Path::new("-") => name.with_file_name(stem),
            _ => Path::new(fallback).to_owned(),
        };
        if name == Path::new("-") {
            let instead = if ending.is_empty() { "frames".to_owned() } else { format!("out.{ending}") };
            return refused("stands for standard output".into(), instead);
        }
        match (self, stated) {
            // Of what is there already the writer says more.
            (Self::Frames, Some(stated)) if FILES.contains(&stated.as_str()) && !name.exists() => {
                refused(format!("ends in .{stated}"), stem("frames").display().to_string())
            }
            (Self::Frames, _) => Ok(()),
            (_, Some(stated)) if stated == ending => Ok(()),
            // A name that ends in a slash, or in .., is a folder's, of which the writer says more.
            _ if name.file_name().is_none() || name.is_dir() => Ok(()),
            (_, Some(stated)) => refused(format!("ends in .{stated}"), format!("{}.{ending}", stem("out").display())),
            (_, None) => refused("has no ending".into(), format!("{shown}.{ending}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(written: Written, name: &str) -> Option<String> {
        written.check("out", Path::new(name)).err().map(|error| error.to_string())
    }

    #[test]
    fn a_name_that_says_what_is_written_is_taken() {
        for name in ["clip.mp4", "a.b/c.d.mp4", "CLIP.MP4", "./-.mp4", "clip.webm.mp4"] {
            assert_eq!(said(Written::Mp4, name), None, "{name}");
        }
        for name in ["frames", "frames/", "a.mp4/frames", "take.2", "."] {
            assert_eq!(said(Written::Frames, name), None, "{name}");
        }
        assert_eq!(said(Written::Gguf, "model-q8.gguf"), None);
    }

    #[test]
    fn a_name_that_says_something_else_is_told_the_right_one() {
        let cases = [
            (Written::Mp4, "clip.webm", "ends in .webm, and an MP4 is written; name it clip.mp4"),
            (Written::Mp4, "a/clip.GIF", "ends in .gif, and an MP4 is written; name it a/clip.mp4"),
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
            (Written::Frames, "x/clip.mp4", "ends in .mp4, and a folder of PNG files is written; name it x/clip"),
            (Written::Frames, "-", "stands for standard output, and a folder of PNG files is written; name it frames"),
        ];
        for (written, name, expected) in cases {
            let said = said(written, name).unwrap_or_else(|| panic!("{name} is taken for {written:?}"));
            assert!(said.starts_with(&format!("out: {name} {expected}")), "{said}");
        }
    }
}
