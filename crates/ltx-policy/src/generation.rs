//! Which generation of LTX a name states: “LTX 2.3” is never LTX-2.5, and “LTX 10s” states none.
//!
//! Must not know models, nor which name is whose.

use crate::tokens::{Token, in_place};
use ltx_types::model_version;

/// What a number counts where one of these stands together with it, or alone behind a whole one.
const UNITS: [&str; 15] = ["b", "d", "f", "g", "h", "k", "m", "nd", "p", "rd", "s", "st", "t", "th", "x"];
/// What any number counts where one of these is the next word.
const WORDS: [&str; 41] = [
    "bit",
    "bits",
    "block",
    "blocks",
    "bpw",
    "clip",
    "clips",
    "fps",
    "frame",
    "frames",
    "gb",
    "gib",
    "gpu",
    "gpus",
    "hz",
    "image",
    "images",
    "keyframe",
    "keyframes",
    "layer",
    "layers",
    "mb",
    "mib",
    "min",
    "minute",
    "minutes",
    "mp",
    "ms",
    "pass",
    "passes",
    "pixel",
    "pixels",
    "px",
    "sec",
    "second",
    "seconds",
    "secs",
    "stage",
    "stages",
    "step",
    "steps",
];
/// Signs that make one ratio, range or sum of two numbers.
const OF_TWO: [&str; 5] = [":", "/", "×", "*", "+"];

/// The generations that a name states, as they stand there. A number right behind `LTX`, `LTXV` or `LTX-Video` states one, a whole one
/// where it has one digit, as every generation so far has had; in a name that has none such, any number with an inner dot does that
/// could be one's. What has a unit, or is one of two numbers, states none.
pub(crate) fn stated(name: &str) -> Vec<String> {
    let tokens = in_place(name);
    let of_ltx = |at: usize| {
        let before = tokens[..at].iter().rev().find(|token| !["v", "video"].contains(&token.text.as_str()));
        before.is_some_and(|token| ["ltx", "ltxv"].contains(&token.text.as_str()))
    };
    let numbers = || (0..tokens.len()).filter(|at| is_number(&tokens[*at]) && !is_counted(&tokens, *at));
    let behind_ltx = numbers().filter(|at| of_ltx(*at));
    let named: Vec<_> = behind_ltx.map(|at| number(&tokens, at)).filter(|number| could_be_new(number)).collect();
    if !named.is_empty() {
        return named;
    }
    let any = numbers().map(|at| tokens[at].text.clone());
    any.filter(|number| number.contains('.') && could_be_known(number)).collect()
}

/// The number that begins at a token. Names of files join one by dashes or underscores where `ltx-2-3` is meant to be 2.3.
fn number(tokens: &[Token], at: usize) -> String {
    let goes_on = |at: &usize| {
        let (one, joint) = (&tokens[*at], tokens[at - 1].after.as_str());
        let digit = one.text.len() == 1 && is_number(one);
        digit && ["-", "_"].contains(&joint) && joint == one.before && !is_counted(tokens, *at)
    };
    let further = (at + 1..tokens.len().min(at + 3)).take_while(goes_on);
    let joined = further.fold(tokens[at].text.clone(), |all, at| format!("{all}.{}", tokens[at].text));
    if could_be_known(&joined) { joined } else { tokens[at].text.clone() }
}

fn is_number(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a number counts something, is a share of it or has a number of its own.
fn is_counted(tokens: &[Token], at: usize) -> bool {
    let (number, next) = (&tokens[at], tokens.get(at + 1));
    let unit = next.is_some_and(|next| {
        let (unit, whole) = (next.text.as_str(), !number.text.contains('.'));
        // “i2v” behind a number is no unit.
        let alone = || !next.after.is_empty() || at + 2 == tokens.len();
        WORDS.contains(&unit) || (UNITS.contains(&unit) && (next.before.is_empty() || (whole && alone())))
    });
    // “2.39:1” is one ratio, “LTX 2.3 + 8 steps” a generation and more.
    let of_two = |one: Option<&Token>, between: &str| {
        let (sign, tight) = (between.trim(), between.trim() == between);
        one.is_some_and(is_number) && OF_TWO.contains(&sign) && (tight || !number.text.contains('.'))
    };
    let last = at.checked_sub(1).and_then(|at| tokens.get(at));
    let (before, after) = (number.before.as_str(), number.after.as_str());
    unit || of_two(next, after) || of_two(last, before) || after.starts_with('%') || before.ends_with('#')
}

/// Whether a number right behind `LTX` may be a generation's, also of one that is not out.
fn could_be_new(number: &str) -> bool {
    let major = number.split('.').next().unwrap_or_default();
    major.len() == 1 && model_version(number).is_some()
}

/// Whether a number may be that of a generation that is known.
fn could_be_known(number: &str) -> bool {
    matches!(model_version(number), Some((0, 9) | (2, _)))
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

    #[test]
    fn a_number_behind_ltx_states_a_generation() {
        for (name, generations) in [
            ("Carat Basic Video (LTX 2.3)", &["2.3"][..]),
            ("studio 2.5 ltx 2.3", &["2.3"]),
            ("LTX 2.3, or LTX-2.5", &["2.3", "2.5"]),
            ("ltx-2-dev", &["2"]),
            ("LTX-2 19B", &["2"]),
            ("LTX 2 i2v", &["2"]),
            ("LTX 2 x2 upscaled", &["2"]),
            ("LTX 2.3 8 steps", &["2.3"]),
            ("LTX 2.3 16:9", &["2.3"]),
            ("LTX 2.3 + 8 steps", &["2.3"]),
            ("LTX 2.3 / 13B", &["2.3"]),
            ("LTX 2.3 + 4x upscaler", &["2.3"]),
            ("LTX 2.3 S", &["2.3"]),
            ("LTX-Video 0.9.8 13B", &["0.9.8"]),
            ("LTXV 0.9.8", &["0.9.8"]),
            ("LTX2.5", &["2.5"]),
            ("LTX 3.0", &["3.0"]),
            ("LTX-3", &["3"]),
            ("ltx-2-3-22b-distilled", &["2.3"]),
            ("ltx_2_5", &["2.5"]),
            ("ltxv-0-9-8-13b", &["0.9.8"]),
            ("ltx-2-8-steps", &["2"]),
            ("ltx-2-19b", &["2"]),
            ("LTX-2 - 3", &["2"]),
            ("LTX 3 Pro", &["3"]),
            ("LTX v1.1", &["1.1"]),
            ("Carat Video 2.4", &["2.4"]),
            ("13B 0.9.8", &["0.9.8"]),
        ] {
            assert_eq!(stated(name), generations, "{name}");
        }
        assert!(is_same("0.9.7", "0.9.8") && is_same("2", "2.0") && !is_same("2.3", "2.5"));
    }

    #[test]
    fn sizes_lengths_and_rates_state_none() {
        for name in [
            "LTX 10s",
            "LTX 5s",
            "LTX 10 s",
            "LTX 5 seconds",
            "LTX 1080",
            "LTX 1080p",
            "LTX 720 p",
            "LTX 2x",
            "LTX 4K",
            "LTX 24fps",
            "LTX 24 fps",
            "LTX 29.97 fps",
            "LTX 2.5x",
            "LTX 2.5 seconds",
            "LTX 1.5x",
            "LTX 8-step",
            "LTX 8 steps",
            "LTX 2-stage",
            "LTXV 2B",
            "LTX 13B",
            "LTX 13b",
            "LTX q4",
            "LTX 16:9",
            "LTX 9:16",
            "LTX 2.39:1",
            "LTX 4bit",
            "LTX 2 x",
            "LTX 2024",
            "LTX 12",
            "LTX 5%",
            "LTX #2",
            "LTX 2nd",
            "LTX 3D",
            "LTX 8+3 steps",
            "LTX 2×2",
            "LTX video 10s",
            "studio 1.1",
            "4K",
            "Carat 2.5x",
            "camera 0.8",
            "Carat 0.5 GB",
        ] {
            assert_eq!(stated(name), [] as [String; 0], "{name}");
        }
    }
}
