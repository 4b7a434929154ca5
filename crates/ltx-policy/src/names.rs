//! What a model's name means: an LTX model this node knows, somebody else's, or nothing.
//!
//! Must not know where the lists come from (aliases: the model manifests; external names: the configuration).

use crate::{generation, tokens::tokens};
use ltx_types::FieldError;

/// An LTX model and the names it answers to, none of which states another generation than its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownModel {
    name: String,
    aliases: Vec<String>,
    /// The number of its family, where that has one.
    generation: Option<String>,
}

impl KnownModel {
    /// A model of a family, such as `ltx-2.3`, by its manifest's name and further ones, matched whole, case and spacing ignored.
    ///
    /// # Errors
    /// The first of them that states another generation: “LTX 2.3” is no name of LTX-2.5.
    pub fn new(name: impl Into<String>, aliases: Vec<String>, family: &str) -> Result<Self, FieldError> {
        let generation = generation::of_family(&tokens(family)).map(str::to_owned);
        let known = Self { name: name.into(), aliases, generation };
        known.check("name", &known.name)?;
        known.aliases.iter().try_for_each(|alias| known.check("aliases", alias))?;
        Ok(known)
    }

    /// The manifest's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Further names.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Refuses a name that states another generation: whoever gives a model a name comes by here.
    fn check(&self, field: &'static str, said: &str) -> Result<(), FieldError> {
        let Some(own) = &self.generation else { return Ok(()) };
        match generation::stated(said).into_iter().find(|stated| !generation::is_same(stated, own)) {
            Some(other) => Err(FieldError::new(field, said, format!("says {other}, and {} is of {own}", self.name))),
            None => Ok(()),
        }
    }
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
    /// Every model that answers to the name, in manifest order; at least one.
    Known(Vec<&'a KnownModel>),
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

    /// Lets a name mean one model and no other, whatever the manifests say.
    ///
    /// # Errors
    /// The name says nothing, or names an external model, which no alias can make an LTX one; the model is not known.
    pub fn with_alias(mut self, alias: &str, model: &str) -> Result<Self, FieldError> {
        let wanted = tokens(alias).concat();
        let refused = |rule: String| FieldError::new("aliases", alias, rule);
        if wanted.is_empty() {
            return Err(refused("has neither letters nor digits".to_owned()));
        }
        if let Meaning::External(external) = self.meaning(alias) {
            return Err(refused(format!("names {external}, which is not an LTX model")));
        }
        let Some(known) = self.find(model) else {
            let names: Vec<_> = self.known.iter().map(|known| known.name.as_str()).collect();
            return Err(refused(format!("is to mean {model}, which has no manifest")).nearest(names.join(", ")));
        };
        let model = known.name.clone();
        if let Some(other) =
            self.known.iter().find(|known| known.name != model && tokens(&known.name).concat() == wanted)
        {
            return Err(refused(format!("is the name of {}", other.name)));
        }
        known.check("aliases", alias)?;
        for known in &mut self.known {
            known.aliases.retain(|name| tokens(name).concat() != wanted);
            if known.name == model {
                known.aliases.push(alias.to_owned());
            }
        }
        Ok(self)
    }

    /// The known models, in manifest order.
    pub fn known(&self) -> &[KnownModel] {
        &self.known
    }

    /// The known model that answers to `name`, if any; the first in manifest order when several do.
    pub fn find(&self, name: &str) -> Option<&KnownModel> {
        match self.meaning(name) {
            Meaning::Known(models) => models.first().copied(),
            Meaning::External(_) | Meaning::Unknown => None,
        }
    }

    /// Whole tokens only; an external name anywhere in the field wins over an LTX one.
    pub(crate) fn meaning(&self, name: &str) -> Meaning<'_> {
        let asked = tokens(name);
        if let Some(external) = self.external.iter().find(|external| contains(&asked, &tokens(external).concat())) {
            return Meaning::External(external);
        }
        let joined = asked.concat();
        let answers = |candidate: &String| tokens(candidate).concat() == joined;
        let known = self.known.iter().filter(|model| answers(&model.name) || model.aliases.iter().any(answers));
        let known: Vec<_> = known.collect();
        if joined.is_empty() || known.is_empty() { Meaning::Unknown } else { Meaning::Known(known) }
    }
}

/// Whether consecutive tokens, written together, are `wanted`.
fn contains(tokens: &[String], wanted: &str) -> bool {
    let starts_here = |start: usize| {
        let mut rest = wanted;
        for token in &tokens[start..] {
            match rest.strip_prefix(token.as_str()) {
                Some("") => return true,
                Some(shorter) => rest = shorter,
                None => return false,
            }
        }
        false
    };
    !wanted.is_empty() && (0..tokens.len()).any(starts_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> ModelNames {
        let aliases = ["ltx", "LTX 2.3", "Carat Video", "Use Carat Basic Video (LTX 2.3)"];
        let known = KnownModel::new("ltx-2.3-distilled", aliases.map(str::to_owned).to_vec(), "ltx-2.3");
        ModelNames::new(vec![known.unwrap()], ["Hailuo".to_owned()])
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
    fn an_alias_means_one_model_and_never_an_external_one() {
        let tiny = KnownModel::new("ltx-2.3-tiny", vec![], "ltx-2.3").unwrap();
        let newer = KnownModel::new("ltx-2.5-tiny", vec![], "ltx-2.5").unwrap();
        let both = || ModelNames::new([names().known.clone(), vec![tiny.clone(), newer.clone()]].concat(), []);
        let said = both().with_alias("use carat basic video (LTX 2.3)", "LTX-2.3-tiny").unwrap();
        let found = |name: &str| said.find(name).map(|model| model.name.as_str());
        assert_eq!(found("Use Carat Basic Video (LTX 2.3)"), Some("ltx-2.3-tiny"));
        assert_eq!(found("Carat Video"), Some("ltx-2.3-distilled"), "the others stay");
        assert!(both().with_alias("Studio 1.0 (LTX 2.3)", "ltx-2.3-tiny").is_ok());
        for (alias, model, rule) in [
            ("Kling", "ltx-2.3-tiny", "not an LTX model"),
            ("my seedance", "ltx-2.3-tiny", "not an LTX model"),
            ("…", "ltx-2.3-tiny", "neither letters nor digits"),
            ("x", "ltx-9", "no manifest"),
            ("Carat Basic Video (LTX 2.3)", "ltx-2.5-tiny", "says 2.3, and ltx-2.5-tiny is of 2.5"),
            ("4K (LTX 2.3)", "ltx-2.5-tiny", "says 2.3, and ltx-2.5-tiny is of 2.5"),
            ("LTX 2.3 distilled", "ltx-2.3-tiny", "is the name of"),
        ] {
            let error = both().with_alias(alias, model).unwrap_err().to_string();
            assert!(error.contains(rule), "{alias}: {error}");
        }
    }

    #[test]
    fn no_name_of_a_model_states_another_generation() {
        let refused = |name: &str, alias: &str, family: &str| {
            let known = KnownModel::new(name, vec!["fine".to_owned(), alias.to_owned()], family);
            known.err().map(|error| error.to_string())
        };
        let said = refused("mine", "Carat Basic Video (LTX 2.3)", "ltx-2.5").unwrap();
        assert_eq!(said, "aliases: Carat Basic Video (LTX 2.3) says 2.3, and mine is of 2.5");
        let said = refused("ltx-2.3-mine", "x", "ltx-2.5").unwrap();
        assert_eq!(said, "name: ltx-2.3-mine says 2.3, and ltx-2.3-mine is of 2.5");
        for (name, alias, family) in [
            ("ltxv-mine", "LTX 2.3", "ltxv-0.9.8"),
            ("mine", "LTX 2", "ltx-2.3"),
            ("mine", "Carat Video 2.5", "ltx-2.3"),
            ("ltx-2-dev", "LTX 2.3 dev", "ltx-2"),
            ("mine", "LTX 3.0", "ltx-2.3"),
            ("mine", "LTX-3", "ltx-2.5"),
            ("mine", "LTX 2.5 10s", "ltx-2.3"),
        ] {
            assert!(refused(name, alias, family).is_some(), "{name}, {alias}, {family}");
        }
        for (name, alias, family) in [
            ("ltxv-0.9.7-13b", "LTX-Video 0.9.7 13B", "ltxv-0.9.8"),
            ("ltx-2-dev", "LTX 2.0", "ltx-2"),
            ("studio-1.1", "4K (LTX 2.5)", "ltx-2.5"),
            ("clips-10s", "LTX 10s", "ltx-2.3"),
            ("ltx-1080p", "LTX 24fps", "ltx-2.3"),
            ("ltx-2x", "LTX 1080", "ltx-2.3"),
            ("fake", "LTX 2.3", "of nobody"),
        ] {
            assert_eq!(refused(name, alias, family), None);
        }
    }

    #[test]
    fn an_external_name_wins() {
        assert_eq!(names().meaning("Seedance 2.0 Fast"), Meaning::External("Seedance"));
        assert_eq!(names().meaning("LTX, or Kling"), Meaning::External("Kling"));
        assert_eq!(names().meaning("google veo 3"), Meaning::External("Google Veo"));
        assert_eq!(names().meaning("hailuo"), Meaning::External("Hailuo"));
        for name in ["Kling2.1", "veo3", "GoogleVeo", "google_veo-3", "Seedance2.0Fast", "use KLING."] {
            assert!(matches!(names().meaning(name), Meaning::External(_)), "{name}");
        }
        for name in ["klingon", "video", "seed dancer", "google"] {
            assert_eq!(names().meaning(name), Meaning::Unknown, "{name}");
        }
    }
}
