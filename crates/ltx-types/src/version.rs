//! Versions that files state, as far as they decide anything: `2.5.0`, `v2.3`, `2.5.0-rc1`, `ltx-2.3`, `ltxv-2b-0.9.8-distilled`.
//!
//! Must not know what depends on one.

/// The entry of a header that states the version of the part that a file holds: sampling goes by the transformer's, the compression
/// of images by the VAE's.
pub const MODEL_VERSION: &str = "model_version";
/// The entry that states the version of the VAE, in a file that holds a transformer of another version.
pub const VAE_VERSION: &str = "vae.model_version";

/// Names of the model that may stand before its version.
const NAMES: [&str; 3] = ["ltx-video", "ltxv", "ltx"];

/// Major and minor number; a release candidate counts as its release. `None` for what is no version.
pub fn model_version(stated: &str) -> Option<(u32, u32)> {
    version_numbers(stated).map(|(major, minor, _)| (major, minor))
}

/// The same with the third number, where one is stated.
pub fn version_numbers(stated: &str) -> Option<(u32, u32, Option<u32>)> {
    let stated = stated.trim().to_ascii_lowercase();
    let bare = NAMES.iter().find_map(|name| stated.strip_prefix(name)).unwrap_or(&stated);
    let words = bare.split(['-', '_', ' ']).filter(|word| !word.is_empty());
    let version = words.map(|word| word.trim_start_matches('v')).find(|word| !word.is_empty() && !is_size(word))?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    Some((next()?, next().unwrap_or(0), next()))
}

/// Whether a word is a number of parameters, such as `13b`, which stands before the version in files' names.
fn is_size(word: &str) -> bool {
    let number = word.strip_suffix('b').unwrap_or_default();
    let digits = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    digits && number.starts_with(|c: char| c.is_ascii_digit()) && number.matches('.').count() < 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_first_two_numbers() {
        for (stated, version) in [
            ("2.5.0", (2, 5)),
            ("v2.3", (2, 3)),
            ("2.4.0-rc1", (2, 4)),
            ("2.10", (2, 10)),
            (" 3 ", (3, 0)),
            ("ltx-2.5", (2, 5)),
            ("LTXV 0.9.8", (0, 9)),
            ("ltx-video-0.9.1", (0, 9)),
            ("ltxv-2b-0.9.8-distilled", (0, 9)),
            ("13b-0.9.8", (0, 9)),
            ("LTX 2.3 22B", (2, 3)),
            ("ltx-2-19b-dev", (2, 0)),
            ("22b_v2.3", (2, 3)),
            ("2.5.0b", (2, 5)),
        ] {
            assert_eq!(model_version(stated), Some(version));
        }
        for no_version in ["", "dev", "22b", "99999999999"] {
            assert_eq!(model_version(no_version), None, "{no_version}");
        }
    }

    #[test]
    fn a_third_number_is_there_or_not() {
        for (stated, third) in
            [("0.9.1", Some(1)), ("0.9", None), ("0.9.8-dev", Some(8)), ("2.5-rc1", None), ("2b-0.9.8", Some(8))]
        {
            assert_eq!(version_numbers(stated).map(|(.., third)| third), Some(third), "{stated}");
        }
    }
}
