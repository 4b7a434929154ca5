//! `--lora FILE[=STRENGTH[,STRENGTH]]`, as several commands take it.
//!
//! Must not know what a LoRA changes.

use ltx_types::{FieldError, LORA_STRENGTHS, LoraChoice, LoraStrengths, LoraUse, Stages};
use std::path::Path;

#[derive(clap::Args)]
pub(crate) struct LoraFlags {
    /// A LoRA file (safetensors) over the checkpoint, and how strongly it counts (1 if not said; -100 to 100). Two numbers are
    /// its strengths in the first and in the second stage: `FILE=0,1` counts in the second one only. Can be given more than once;
    /// what they add is added up.
    #[arg(long = "lora", value_name = "FILE[=STRENGTH[,STRENGTH]]", value_parser = choice)]
    pub(crate) loras: Vec<LoraChoice>,
}

impl LoraFlags {
    /// The faults of strengths in a second stage where there is none. One that is as in the first has none, nor has a LoRA of the
    /// second stage alone: it is warned of, as it counts nowhere.
    pub(crate) fn unread(&self, stages: Stages) -> impl Iterator<Item = FieldError> {
        let one = self.loras.iter().filter(move |_| stages == Stages::One);
        let unread = |lora: &&LoraChoice| lora.strengths.differ() && !lora.is_of_second_stage();
        one.filter(unread).map(|lora| {
            let path = lora.path.display();
            let rule =
                "states a strength that is not read: there is no second stage; leave it out, or ask for stages 2";
            let fault = FieldError::new("lora", format!("{path}={}", lora.strengths), rule);
            fault.nearest(format!("{path}={}", lora.strengths.first))
        })
    }
}

/// What follows the last `=` are the strengths, unless a file has the whole name.
fn choice(text: &str) -> Result<LoraChoice, String> {
    let Some((path, strengths)) = text.rsplit_once('=').filter(|_| !Path::new(text).exists()) else {
        return Ok(LoraChoice::new(text, 1.0));
    };
    let strengths = match strengths.split_once(',') {
        Some((first, second)) => LoraStrengths { first: strength(first)?, second: strength(second)? },
        None => LoraStrengths::both(strength(strengths)?),
    };
    Ok(LoraChoice::at(path, strengths))
}

/// A LoRA by name: what follows the last `=` are the strengths. Which are legal is for the model to say, with the rest of a request.
pub(crate) fn named(text: &str) -> Result<LoraUse, String> {
    let (name, strengths) = text.rsplit_once('=').map_or((text, None), |(name, strengths)| (name, Some(strengths)));
    let number = |text: &str| text.parse::<f32>().map_err(|_| format!("strength {text:?} is no number"));
    let (strength, stage_2_strength) = match strengths.map(|strengths| (strengths, strengths.split_once(','))) {
        None => (None, None),
        Some((strength, None)) => (Some(number(strength)?), None),
        // What is listed in the first stage.
        Some((_, Some(("", second)))) => (None, Some(number(second)?)),
        Some((_, Some((first, second)))) => (Some(number(first)?), Some(number(second)?)),
    };
    Ok(LoraUse { name: name.to_owned(), strength, stage_2_strength })
}

fn strength(text: &str) -> Result<f32, String> {
    let (least, most) = (*LORA_STRENGTHS.start(), *LORA_STRENGTHS.end());
    match text.parse::<f32>() {
        Ok(strength) if LORA_STRENGTHS.contains(&strength) => Ok(strength),
        Ok(number) if !number.is_nan() => {
            Err(format!("strength {text} is not between {least} and {most}; nearest: {}", number.clamp(least, most)))
        }
        _ => Err(format!(
            "strength {text} is no number between {least} and {most}; 1 is full strength, 0,1 is full strength in the second \
             stage only"
        )),
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
            assert_eq!(choice(text), Ok(LoraChoice::new(path, strength)), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a=b");
        std::fs::write(&file, "").unwrap();
        let text = file.to_str().unwrap();
        assert_eq!(choice(text), Ok(LoraChoice::new(&file, 1.0)));
        assert_eq!(choice(&format!("{text}=2")), Ok(LoraChoice::new(&file, 2.0)));
        assert!(choice("a=1e9").unwrap_err().ends_with("nearest: 100"));
        for bad in ["a=", "a=b", "a=nan", "a=1,", "a=,1", "a=1,2,3", "a=1;2"] {
            assert!(choice(bad).unwrap_err().contains("no number"), "{bad}");
        }
    }

    #[test]
    fn a_name_may_have_strengths() {
        for (text, strength, stage_2_strength) in [
            ("camera", None, None),
            ("camera=0.5", Some(0.5), None),
            ("camera=101", Some(101.0), None),
            ("camera=0,1", Some(0.0), Some(1.0)),
            ("camera=,1", None, Some(1.0)),
        ] {
            assert_eq!(named(text), Ok(LoraUse { name: "camera".into(), strength, stage_2_strength }), "{text}");
        }
        for bad in ["camera=", "camera=much", "camera=1,", "camera=,", "camera=1,2,3"] {
            assert!(named(bad).unwrap_err().contains("no number"), "{bad}");
        }
    }

    #[test]
    fn a_second_strength_needs_a_second_stage() {
        let unread = |text: &str, stages| {
            let flags = LoraFlags { loras: vec![choice(text).unwrap()] };
            flags.unread(stages).map(|fault| (fault.field, fault.value, fault.nearest)).collect::<Vec<_>>()
        };
        let fault = [("lora", "a=0.5,1".to_owned(), Some("a=0.5".to_owned()))];
        assert_eq!(unread("a=0.5,1", Stages::One), fault);
        for (text, stages) in [
            ("a=0.5,1", Stages::Two),
            ("a=0.5", Stages::One),
            ("a=1,1", Stages::One),
            // A warning says that it counts nowhere.
            ("a=0,1", Stages::One),
        ] {
            assert_eq!(unread(text, stages), []);
        }
    }

    #[test]
    fn two_strengths_are_of_two_stages() {
        for (text, first, second) in [("a=0,1", 0.0, 1.0), ("a=0.25,0.5", 0.25, 0.5), ("a=1,1", 1.0, 1.0)] {
            let strengths = LoraStrengths { first, second };
            assert_eq!(choice(text), Ok(LoraChoice::at("a", strengths)), "{text}");
        }
        assert!(choice("a=0,101").unwrap_err().ends_with("nearest: 100"));
    }
}
