//! What is wrong with where objects come from, rather than with an object.

use crate::place::Place;
use std::sync::Arc;

/// A file that cannot be read, a text that is no object, a kind that may not be watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceProblem {
    /// Where.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl SourceProblem {
    /// In a file. Line 0: no line is to blame.
    pub(super) fn in_file(file: &Arc<str>, line: u32, message: String) -> Self {
        Self { place: Place::File { file: file.clone(), line }, message }
    }
}
