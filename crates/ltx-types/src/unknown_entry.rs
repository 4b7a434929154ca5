//! What is said of an entry of a file that nothing is made of.
//!
//! Must not know files.

use std::fmt::Display;

/// A sentence on an entry that is not known here and whose name does not say that it counts, with its value.
pub fn unknown_entry(entry: impl Display, value: impl Display) -> String {
    format!("{entry} is {value}: not known here, and left alone")
}
