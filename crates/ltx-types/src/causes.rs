//! An error and what it came from, as one line for people.
//!
//! Must not know which errors there are.

use std::error::Error;

/// An error, its cause, the cause of that, and so on.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| <dyn Error>::source(*error))
}

/// An error and its causes; a transparent error repeats its cause's words, which are said once.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in causes(error).map(ToString::to_string) {
        if !line.ends_with(&cause) {
            line = if line.is_empty() { cause } else { format!("{line}: {cause}") };
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("the outer one")]
        Plain(#[source] std::io::Error),
        #[error(transparent)]
        Through(#[from] std::io::Error),
    }

    #[test]
    fn causes_follow_and_nothing_is_said_twice() {
        let inner = || std::io::Error::other("the inner one");
        assert_eq!(sentence(&Outer::Plain(inner())), "the outer one: the inner one");
        assert_eq!(sentence(&Outer::Through(inner())), "the inner one");
        assert_eq!(causes(&Outer::Plain(inner())).count(), 2);
    }
}
