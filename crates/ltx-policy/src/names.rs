//! What a model's name means: an LTX model this node knows, somebody else's, or nothing.
//!
//! Must not know where the lists come from (aliases: the model manifests; external names: the configuration).

/// An LTX model and the names it answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownModel {
    /// The manifest's name.
    pub name: String,
    /// Further names, matched whole, case and spacing ignored.
    pub aliases: Vec<String>,
}

/// The names a node knows.
#[derive(Debug, Clone)]
pub struct ModelNames {
    known: Vec<KnownModel>,
    external: Vec<String>,
}

/// What a name turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    Known(&'a KnownModel),
    External(&'a str),
    Unknown,
}

impl ModelNames {
    /// External models named by the policy's source.
    pub const EXTERNAL: [&'static str; 4] = ["Kling", "Google Veo", "Veo", "Seedance"];

    /// The LTX models a node knows, and what its operator adds to [`Self::EXTERNAL`].
    pub fn new(known: Vec<KnownModel>, more_external: impl IntoIterator<Item = String>) -> Self {
        let external = Self::EXTERNAL.into_iter().map(str::to_owned).chain(more_external).collect();
        Self { known, external }
    }

    /// The known models, in manifest order.
    pub fn known(&self) -> &[KnownModel] {
        &self.known
    }

    /// The known model that answers to `name`, if any.
    pub fn find(&self, name: &str) -> Option<&KnownModel> {
        match self.meaning(name) {
            Meaning::Known(model) => Some(model),
            Meaning::External(_) | Meaning::Unknown => None,
        }
    }

    /// Whole tokens only; an external name anywhere in the field wins over an LTX one.
    pub(crate) fn meaning(&self, name: &str) -> Meaning<'_> {
        let asked = tokens(name);
        for external in &self.external {
            let wanted = tokens(external);
            if !wanted.is_empty() && asked.windows(wanted.len()).any(|window| window == wanted) {
                return Meaning::External(external);
            }
        }
        let joined = asked.concat();
        let answers = |candidate: &String| tokens(candidate).concat() == joined;
        match self.known.iter().find(|model| answers(&model.name) || model.aliases.iter().any(answers)) {
            Some(model) if !joined.is_empty() => Meaning::Known(model),
            _ => Meaning::Unknown,
        }
    }
}

/// Lower-case runs of letters, digits and inner dots: `"LTX 2.3"` and `"ltx-2.3"` are both `["ltx", "2.3"]`.
fn tokens(name: &str) -> Vec<String> {
    name.to_lowercase()
        .split(|c: char| !(c.is_alphanumeric() || c == '.'))
        .map(|token| token.trim_matches('.').to_owned())
        .filter(|token| !token.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> ModelNames {
        let aliases = ["ltx", "LTX 2.3", "Carat Video", "Use Carat Basic Video (LTX 2.3)"];
        let known = KnownModel { name: "ltx-2.3-distilled".into(), aliases: aliases.map(str::to_owned).to_vec() };
        ModelNames::new(vec![known], ["Hailuo".to_owned()])
    }

    #[test]
    fn names_match_whole_whatever_case_and_spacing() {
        for name in ["LTX", "ltx-2.3", "Ltx  2.3", "LTX2.3", "carat video", "use carat basic video (ltx 2.3)"] {
            assert!(names().find(name).is_some(), "{name}");
        }
        for name in ["", "ltx 2", "ltxx", "carat", "…"] {
            assert_eq!(names().meaning(name), Meaning::Unknown, "{name}");
        }
    }

    #[test]
    fn an_external_name_wins() {
        assert_eq!(names().meaning("Seedance 2.0 Fast"), Meaning::External("Seedance"));
        assert_eq!(names().meaning("LTX, or Kling"), Meaning::External("Kling"));
        assert_eq!(names().meaning("google veo 3"), Meaning::External("Google Veo"));
        assert_eq!(names().meaning("hailuo"), Meaning::External("Hailuo"));
        assert_eq!(names().meaning("klingon"), Meaning::Unknown);
    }
}
