//! `--lora FILE[=STRENGTH]`, as several commands take it.
//!
//! Must not know what a LoRA changes.

use ltx_types::{LORA_STRENGTHS, LoraChoice};
use std::path::Path;

#[derive(clap::Args)]
pub(crate) struct LoraFlags {
    /// A LoRA file (safetensors) over the checkpoint, and how strongly it counts (1 if not said; -100 to 100). Can be given more
    /// than once; what they add is added up.
    #[arg(long = "lora", value_name = "FILE[=STRENGTH]", value_parser = choice)]
    pub(crate) loras: Vec<LoraChoice>,
}

/// What follows the last `=` is the strength, unless a file has the whole name.
fn choice(text: &str) -> Result<LoraChoice, String> {
    let whole = || LoraChoice { path: text.into(), strength: 1.0 };
    let Some((path, strength)) = text.rsplit_once('=').filter(|_| !Path::new(text).exists()) else {
        return Ok(whole());
    };
    let (least, most) = (*LORA_STRENGTHS.start(), *LORA_STRENGTHS.end());
    match strength.parse::<f32>() {
        Ok(strength) if LORA_STRENGTHS.contains(&strength) => Ok(LoraChoice { path: path.into(), strength }),
        Ok(number) if !number.is_nan() => Err(format!(
            "strength {strength} is not between {least} and {most}; nearest: {}",
            number.clamp(least, most)
        )),
        _ => Err(format!("strength {strength} is no number between {least} and {most}; 1 is full strength")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strength_follows_the_last_sign() {
        for (text, path, strength) in [
            ("a.safetensors", "a.safetensors", 1.0),
            ("a.safetensors=0.5", "a.safetensors", 0.5),
            ("x=y/a.safetensors=-1", "x=y/a.safetensors", -1.0),
            ("a=0", "a", 0.0),
        ] {
            assert_eq!(choice(text), Ok(LoraChoice { path: path.into(), strength }), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a=b");
        std::fs::write(&file, "").unwrap();
        let text = file.to_str().unwrap();
        assert_eq!(choice(text), Ok(LoraChoice { path: file.clone(), strength: 1.0 }));
        assert_eq!(choice(&format!("{text}=2")), Ok(LoraChoice { path: file, strength: 2.0 }));
        assert!(choice("a=1e9").unwrap_err().ends_with("nearest: 100"));
        for bad in ["a=", "a=b", "a=nan"] {
            assert!(choice(bad).unwrap_err().contains("no number"), "{bad}");
        }
    }
}
