//! The tokens of a name: lower-case runs of letters, and of digits with inner dots.
//!
//! Must not know what a name means.

/// A token, and the signs and spaces beside it; nothing where it stands together with the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) before: String,
    pub(crate) after: String,
}

/// `"LTX 2.3"`, `"ltx-2.3"` and `"LTX2.3"` are all `["ltx", "2.3"]`.
pub(crate) fn tokens(name: &str) -> Vec<String> {
    in_place(name).into_iter().map(|token| token.text).collect()
}

/// The same, with what stands beside each.
pub(crate) fn in_place(name: &str) -> Vec<Token> {
    #[derive(PartialEq, Clone, Copy)]
    enum Kind {
        Letters,
        Number,
        Between,
    }
    let mut tokens: Vec<Token> = Vec::new();
    let (mut before, mut gap) = (Kind::Between, String::new());
    for c in name.to_lowercase().chars() {
        let kind = match c {
            '.' if before == Kind::Number => Kind::Number,
            c if c.is_numeric() => Kind::Number,
            c if c.is_alphabetic() => Kind::Letters,
            _ => Kind::Between,
        };
        match tokens.last_mut() {
            _ if kind == Kind::Between => gap.push(c),
            Some(token) if kind == before => token.text.push(c),
            _ => {
                let between = std::mem::take(&mut gap);
                if let Some(last) = tokens.last_mut() {
                    last.after.clone_from(&between);
                }
                tokens.push(Token { text: c.into(), before: between, after: String::new() });
            }
        }
        before = kind;
    }
    if let Some(last) = tokens.last_mut() {
        last.after = gap;
    }
    for token in &mut tokens {
        token.text.truncate(token.text.trim_end_matches('.').len());
    }
    tokens
}
