//! Versions that files state, as far as they decide anything: `2.5.0`, `v2.3`, `2.5.0-rc1`.
//!
//! Must not know what depends on one.

/// Major and minor number; a release candidate counts as its release. `None` for what is no version.
pub fn model_version(stated: &str) -> Option<(u32, u32)> {
    let mut numbers = stated.trim().trim_start_matches(['v', 'V']).split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    Some((next()?, next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_first_two_numbers() {
        for (stated, version) in
            [("2.5.0", (2, 5)), ("v2.3", (2, 3)), ("2.4.0-rc1", (2, 4)), ("2.10", (2, 10)), (" 3 ", (3, 0))]
        {
            assert_eq!(model_version(stated), Some(version));
        }
        assert_eq!((model_version(""), model_version("dev"), model_version("99999999999")), (None, None, None));
    }
}
