//! Several clips of one request: they differ in their seeds alone.
//!
//! Must not know how they are made.

use crate::{FieldError, Seed};
use std::collections::HashSet;

/// The clips that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outputs {
    /// One, of the request's own seed.
    One,
    /// One for each of these seeds, all different.
    Seeds(Vec<Seed>),
    /// So many, two at least: of the request's own seed and those that follow it.
    Count(usize),
}

impl Outputs {
    /// The most that any node takes.
    pub const MOST: usize = 64;

    /// From a list of seeds, empty where none was said, or a count, of which 0 and 1 mean one; `own` is the request's seed where it
    /// states one.
    ///
    /// # Errors
    /// Two of them are stated, or a seed twice; `seeds`, `count` or `seed` is named.
    pub fn new(seeds: &[u64], count: usize, own: Option<u64>) -> Result<Self, FieldError> {
        if seeds.is_empty() {
            return Ok(if count > 1 { Self::Count(count) } else { Self::One });
        }
        if count != 0 {
            return Err(FieldError::new("count", count, "is said beside seeds, which say how many").nearest(0));
        }
        if let Some(own) = own {
            return Err(FieldError::new("seed", own, "is said beside seeds; leave it out"));
        }
        // Those behind are refused by their number.
        let mut known = HashSet::new();
        match seeds.iter().take(Self::MOST + 1).find(|seed| !known.insert(**seed)) {
            Some(twice) => Err(FieldError::new("seeds", twice, "is there twice, and would give the same clip twice")),
            None => Ok(Self::Seeds(seeds.iter().copied().map(Seed).collect())),
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Seeds(seeds) => seeds.len(),
            Self::Count(count) => *count,
        }
    }

    /// Holds their number against the most that a request may ask for.
    ///
    /// # Errors
    /// They are more; `seeds` or `count` is named.
    pub fn check(&self, most: usize) -> Result<(), FieldError> {
        let field = if matches!(self, Self::Seeds(_)) { "seeds" } else { "count" };
        let rule = format!("clips are more than one request may ask for here, which is {most}");
        let count = self.count();
        if count > most { Err(FieldError::new(field, count, rule).nearest(most)) } else { Ok(()) }
    }

    /// The seeds, `own` being the request's: the first, and those of the further clips. Behind the largest seed comes 0.
    pub fn seeds(self, own: Seed) -> (Seed, Vec<Seed>) {
        match self {
            Self::One => (own, vec![]),
            Self::Count(count) => (own, (1..count as u64).map(|at| Seed(own.0.wrapping_add(at))).collect()),
            Self::Seeds(seeds) => {
                let mut seeds = seeds.into_iter();
                (seeds.next().unwrap_or(own), seeds.collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(outputs: Outputs, own: u64) -> Vec<u64> {
        let (first, further) = outputs.seeds(Seed(own));
        std::iter::once(first).chain(further).map(|seed| seed.0).collect()
    }

    #[test]
    fn a_list_or_a_number_says_which_seeds() {
        let of = |list: &[u64], count, own| Outputs::new(list, count, own).unwrap();
        assert_eq!(seeds(of(&[], 0, None), 7), [7]);
        assert_eq!(seeds(of(&[], 1, Some(7)), 7), [7]);
        assert_eq!(seeds(of(&[], 3, Some(u64::MAX)), u64::MAX), [u64::MAX, 0, 1]);
        assert_eq!(seeds(of(&[5, 2, 9], 0, None), 7), [5, 2, 9]);
        assert_eq!(seeds(of(&[5], 0, None), 7), [5]);
    }

    #[test]
    fn what_contradicts_itself_or_is_too_much_is_named() {
        let field = |list: &[u64], count, own| Outputs::new(list, count, own).unwrap_err().field;
        assert_eq!(
            [field(&[1], 2, None), field(&[1], 0, Some(3)), field(&[1, 2, 1], 0, None)],
            ["count", "seed", "seeds"]
        );
        for (outputs, field) in
            [(Outputs::Count(5), "count"), (Outputs::new(&[1, 2, 3, 4, 5], 0, None).unwrap(), "seeds")]
        {
            let error = outputs.check(4).unwrap_err();
            assert_eq!((error.field, error.nearest.as_deref()), (field, Some("4")));
            assert_eq!(outputs.check(5), Ok(()));
        }
    }
}
