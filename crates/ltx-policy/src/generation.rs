//! Which generation of LTX a name states: “LTX 2.3” is never LTX-2.5.
//!
//! Must not know models, nor which name is whose.

use ltx_types::model_version;

/// What a whole number behind `LTX` counts where one of these follows it.
const UNITS: [&str; 10] = ["b", "k", "p", "bit", "bits", "gb", "fps", "step", "steps", "stages"];
/// The first numbers that generations of LTX have had.
const MAJORS: [u32; 2] = [0, 2];

/// The generations that the words of a name state, as they stand there. A number right behind `LTX`, `LTXV` or `LTX-Video` states one;
/// in a name that has none such, any number with an inner dot does that could be one's.
pub(crate) fn stated(words: &[String]) -> Vec<&str> {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let behind = |at: usize| {
        let before = words[..at].iter().rev().map(String::as_str).find(|word| !["v", "video"].contains(word));
        let counts = words.get(at + 1).is_some_and(|next| UNITS.contains(&next.as_str()));
        before.is_some_and(|word| ["ltx", "ltxv"].contains(&word)) && (words[at].contains('.') || !counts)
    };
    let numbers = || words.iter().map(String::as_str).enumerate().filter(|(_, word)| is_number(word));
    let named: Vec<_> = numbers().filter(|(at, _)| behind(*at)).map(|(_, word)| word).collect();
    if !named.is_empty() {
        return named;
    }
    let could_be =
        |word: &&str| word.contains('.') && model_version(word).is_some_and(|(major, _)| MAJORS.contains(&major));
    numbers().map(|(_, word)| word).filter(could_be).collect()
}

/// The generation of a family's name, such as `ltx-2.3`.
pub(crate) fn of_family(words: &[String]) -> Option<&str> {
    words.iter().map(String::as_str).find(|word| model_version(word).is_some())
}

/// Whether two numbers are of one generation: 0.9.7 and 0.9.8 are, 2 and 2.0 are.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    model_version(a) == model_version(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        stated(&words).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_number_behind_ltx_states_a_generation_and_sizes_do_not() {
        assert_eq!(of(&["carat", "basic", "video", "ltx", "2.3"]), ["2.3"]);
        assert_eq!(of(&["studio", "2.5", "ltx", "2.3"]), ["2.3"]);
        assert_eq!(of(&["ltx", "2.3", "or", "ltx", "2.5"]), ["2.3", "2.5"]);
        assert_eq!(of(&["ltx", "2", "dev"]), ["2"]);
        assert_eq!(of(&["ltx", "video", "0.9.8", "13", "b"]), ["0.9.8"]);
        for none in [&["ltxv", "2", "b"][..], &["ltx", "13", "b"], &["ltx", "q", "4"], &["studio", "1.1"], &["4", "k"]]
        {
            assert!(of(none).is_empty(), "{none:?}");
        }
        assert_eq!(of(&["carat", "video", "2.4"]), ["2.4"]);
        assert!(is_same("0.9.7", "0.9.8") && is_same("2", "2.0") && !is_same("2.3", "2.5"));
    }
}
