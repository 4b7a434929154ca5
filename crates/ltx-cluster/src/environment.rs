//! What the environment of a node says of AWS. Whoever starts the node reads it; it is shown to nobody.
//!
//! Must not know what it is for.

use std::{collections::HashMap, fmt};

/// The variables that count; no other of AWS's does.
const NAMES: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_STS",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// The variables that are set, and not to nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(HashMap<&'static str, String>);

impl Environment {
    /// As `variable` has them.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name: &'static str| Some((name, variable(name).filter(|value| !value.is_empty())?));
        Self(NAMES.into_iter().filter_map(said).collect())
    }

    pub(crate) fn said(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// Names alone: the values are secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_kept_and_no_value_is_shown() {
        let environment = Environment::of(|name| match name {
            "AWS_SECRET_ACCESS_KEY" => Some("hidden".to_owned()),
            "AWS_REGION" => Some(String::new()),
            _ => None,
        });
        assert_eq!(environment.said("AWS_SECRET_ACCESS_KEY").as_deref(), Some("hidden"));
        assert_eq!((environment.said("AWS_REGION"), environment.said("AWS_PROFILE")), (None, None));
        assert_eq!(format!("{environment:?}"), "{\"AWS_SECRET_ACCESS_KEY\"}");
    }
}
