//! Patterns by which PEFT gives layers a rank or an alpha of their own: the first one that matches a layer's name, or its end
//! behind a dot, counts. Source: `get_pattern_key` of PEFT.
//!
//! A pattern that is a layer's name alone may have in front what files have in front of names (`diffusion_model.`).
//!
//! Must not know what the values mean.

use super::json::Json;
use crate::lora::names::bare;
use regex::{Regex, RegexBuilder};

/// The most bytes that a compiled pattern may take, and as many again while it is matched.
const COMPILED: usize = 1 << 20;
/// The most patterns of one entry that have to be compiled: 32 of them in both entries of a configuration take 128 MiB.
const MOST_COMPILED: usize = 32;
/// The most patterns of one entry: more than any model has layers.
const MOST: usize = 16_384;
/// What Python reads as characters of a class, and the crate as operations on classes.
const CLASS_OPERATIONS: [&str; 4] = ["&&", "--", "~~", "[["];

/// Patterns in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    text: String,
    matcher: Matcher,
    value: f64,
}

#[derive(Debug)]
enum Matcher {
    /// Of letters, digits, `_` and dots, each of which is any character or, behind a backslash, itself: needs no compiling.
    Plain(Plain),
    /// The same behind `^`: the whole name.
    Whole(Plain),
    Regex(Box<Regex>),
}

impl Matcher {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Plain(plain) => plain.ends(name) || plain.is_whole(name),
            Self::Whole(plain) => plain.is_whole(name),
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

/// A plain pattern, taken apart once: a match takes no longer than the name is.
#[derive(Debug)]
struct Plain {
    /// Characters, `None` for any.
    all: Vec<Option<char>>,
    /// How many of the last are the name without what may stand before it.
    bare: usize,
}

impl Plain {
    fn new(text: &str) -> Self {
        Self { all: characters(text), bare: characters(bare(text)).len() }
    }

    /// Whether the pattern is a name or its end behind a dot.
    fn ends(&self, name: &str) -> bool {
        before(&self.all, name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Whether the pattern is the whole name, with or without what may stand before it.
    fn is_whole(&self, name: &str) -> bool {
        let bare = &self.all[self.all.len() - self.bare..];
        [&self.all, bare].into_iter().any(|text| before(text, name).is_some_and(str::is_empty))
    }
}

impl Patterns {
    /// From an object of patterns and numbers.
    ///
    /// # Errors
    /// It is none; a pattern cannot be read, or its value is no number: the pattern, and why.
    pub(super) fn read(json: &Json) -> Result<Self, (String, String)> {
        let entries = match json {
            Json::Null => return Ok(Self::default()),
            Json::Object(entries) if entries.len() <= MOST => entries,
            other => return Err((other.to_string(), format!("expected an object of at most {MOST} patterns"))),
        };
        let mut compiled = 0;
        let read = |(text, value): &(String, Json)| {
            let Some(value) = value.number() else {
                return Err((format!("{text}: {value}"), "expected one finite number for a pattern".to_owned()));
            };
            let matcher = matcher(text).map_err(|why| (text.clone(), why))?;
            compiled += usize::from(matches!(matcher, Matcher::Regex(_)));
            if compiled > MOST_COMPILED {
                let why = format!("expected at most {MOST_COMPILED} patterns that are more than a layer's name");
                return Err((text.clone(), why));
            }
            Ok(Pattern { text: text.clone(), matcher, value })
        };
        entries.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The pattern that counts for a layer, and its value.
    pub(super) fn find(&self, name: &str) -> Option<(&str, f64)> {
        let found = self.0.iter().find(|pattern| pattern.matcher.matches(name));
        found.map(|pattern| (pattern.text.as_str(), pattern.value))
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns that match no layer; each layer by all of its names.
    pub(super) fn unmatched<'a>(&'a self, layers: &'a [Vec<String>]) -> impl Iterator<Item = &'a str> {
        let matches = |pattern: &Pattern| layers.iter().flatten().any(|name| pattern.matcher.matches(name));
        self.0.iter().filter(move |pattern| !matches(pattern)).map(|pattern| pattern.text.as_str())
    }
}

/// The characters of a plain pattern.
fn characters(text: &str) -> Vec<Option<char>> {
    let mut escaped = false;
    let take = |c: char| match (std::mem::replace(&mut escaped, c == '\\'), c) {
        (false, '\\') => None,
        (false, '.') => Some(None),
        (_, c) => Some(Some(c)),
    };
    text.chars().filter_map(take).collect()
}

/// What stands before the end of a name that the characters of a plain pattern match.
fn before<'a>(pattern: &[Option<char>], name: &'a str) -> Option<&'a str> {
    let (mut characters, mut start) = (name.char_indices().rev(), name.len());
    for expected in pattern.iter().rev() {
        let (at, c) = characters.next()?;
        if expected.map_or(c == '\n', |expected| expected != c) {
            return None;
        }
        start = at;
    }
    name.get(..start).filter(|rest| !rest.contains('\n'))
}

/// Whether a pattern is only letters, digits, `_` and dots, with or without a backslash before them.
fn is_plain(text: &str) -> bool {
    let bare = text.replace("\\.", ".");
    !bare.is_empty() && bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}

fn matcher(text: &str) -> Result<Matcher, String> {
    if is_plain(text) {
        return Ok(Matcher::Plain(Plain::new(text)));
    }
    if let Some(text) = text.strip_prefix('^').filter(|text| is_plain(text)) {
        return Ok(Matcher::Whole(Plain::new(text)));
    }
    let why = "this pattern cannot be read; write it without look-around, back references and operations on classes";
    // A name, or its end behind a dot.
    let regex = compiled("(?:.*\\.)?", text).ok_or(why)?;
    Ok(Matcher::Regex(Box::new(regex)))
}

/// An expression of Python's that has to match all of a name behind what `head` matches; `None` of one that is too large, or that the
/// crate does not have or reads otherwise.
pub(super) fn compiled(head: &str, text: &str) -> Option<Regex> {
    if CLASS_OPERATIONS.iter().any(|operation| text.contains(operation)) {
        return None;
    }
    let whole = format!("^{head}(?:{text})$");
    RegexBuilder::new(&whole).size_limit(COMPILED).dfa_size_limit(COMPILED).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(json: &str, name: &str) -> Option<f64> {
        Patterns::read(&ltx_types::json::read_as(json.as_bytes()).unwrap()).unwrap().find(name).map(|(_, value)| value)
    }

    #[test]
    fn the_first_that_matches_a_name_or_its_end_counts() {
        let name = "transformer_blocks.10.attn1.to_q";
        for (json, expected) in [
            (r#"{"to_q": 4}"#, Some(4.0)),
            (r#"{"o_q": 4}"#, None),
            (r#"{"attn1.to_q": 4, "to_q": 8}"#, Some(4.0)),
            (r#"{"to_q": 8, "attn1.to_q": 4}"#, Some(8.0)),
            (r#"{"0.attn1.to_q": 4}"#, None),
            (r#"{"transformer_blocks.1.attn1.to_q": 4}"#, None),
            (r#"{"^transformer_blocks.10.attn1.to_q": 4}"#, Some(4.0)),
            (r#"{"^attn1.to_q": 4}"#, None),
            (r#"{"^transformer_blocks\\.10\\.attn1\\.to_q": 4}"#, Some(4.0)),
            (r#"{"transformer_blocks.1..attn1.to_q": 4}"#, Some(4.0)),
            (r#"{"transformer_blocks.10\\.attn1.to.q": 4}"#, Some(4.0)),
            (r#"{"transformer_blocks.10.attn1.to\\.q": 4}"#, None),
            (r#"{"..transformer_blocks.10.attn1.to_q": 4}"#, None),
            (r#"{"transformer_blocks\\.\\d+\\.attn1\\.to_[qk]": 4}"#, Some(4.0)),
            (r#"{".*attn1.*": 4}"#, Some(4.0)),
            (r#"{"attn2.to_q|attn1.to_q": 4}"#, Some(4.0)),
            (r#"{"attn1": 4}"#, None),
            (r#"{"diffusion_model.transformer_blocks.10.attn1.to_q": 4}"#, Some(4.0)),
            (r#"{"^transformer.transformer_blocks.10.attn1.to_q": 4}"#, Some(4.0)),
            (r#"{"base_model.model.transformer_blocks\\.10\\.attn1\\.to_q": 4}"#, Some(4.0)),
            (r#"{"diffusion_model.attn1.to_q": 4}"#, None),
            (r#"{"diffusion_model.transformer_blocks.1.attn1.to_q": 4}"#, None),
            ("null", None),
            ("{}", None),
        ] {
            assert_eq!(find(json, name), expected, "{json}");
        }
    }

    #[test]
    fn patterns_that_match_no_layer_are_told() {
        let json = r#"{"to_q": 4, "attn1.to_q": 8, "attn2.to_q": 2, "^to_q": 1, "blocks\\.\\d+\\.ff": 3}"#;
        let patterns = Patterns::read(&ltx_types::json::read_as(json.as_bytes()).unwrap()).unwrap();
        let layers = [vec!["transformer_blocks.0.attn1.to_q".to_owned(), "lora_unet".to_owned()]];
        assert_eq!(patterns.unmatched(&layers).collect::<Vec<_>>(), ["attn2.to_q", "^to_q", "blocks\\.\\d+\\.ff"]);
    }

    #[test]
    fn names_of_layers_are_as_many_as_a_model_has_and_other_patterns_are_few() {
        let read = |pattern: &dyn Fn(usize) -> String, count: usize| {
            let patterns = (0..count).map(|i| (pattern(i), Json::Number(1.0))).collect();
            Patterns::read(&Json::Object(patterns))
        };
        assert!(read(&|i| format!("transformer_blocks.{i}.attn1.to_q"), MOST).is_ok());
        assert!(read(&|i| format!("blocks.{i}.*"), MOST_COMPILED).is_ok());
        let (pattern, why) = read(&|i| format!("blocks.{i}.*"), MOST_COMPILED + 1).unwrap_err();
        assert!(pattern == "blocks.32.*" && why.contains("at most 32"), "{pattern}: {why}");
    }

    #[test]
    fn a_pattern_is_taken_apart_once() {
        let long = format!("{}to_q", "model.".repeat(4));
        let Ok(Matcher::Plain(plain)) = matcher(&long) else { panic!("{long}") };
        assert_eq!((plain.all.len(), plain.bare), (long.len(), "to_q".len()));
        assert!(plain.is_whole("to_q") && plain.is_whole(&long) && !plain.ends("attn1.to_q"));
        let Ok(Matcher::Whole(plain)) = matcher("^diffusion_model\\.a.b") else { panic!() };
        assert_eq!((plain.all[15], plain.all[17], plain.bare), (Some('.'), None, "a.b".len()));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for json in [
            r#"{"a(?=b)": 1}"#,
            r#"{"(": 1}"#,
            r#"{"a": "x"}"#,
            "[1]",
            "3",
            r#"{"[a&&b]": 1}"#,
            r#"{"a{99999}{99999}": 1}"#,
        ] {
            assert!(Patterns::read(&ltx_types::json::read_as(json.as_bytes()).unwrap()).is_err(), "{json}");
        }
    }
}
