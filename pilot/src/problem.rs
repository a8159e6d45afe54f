//! What is wrong with an object, told by field path. Lines are looked up when it is printed.

use crate::yaml::FieldPath;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The object takes effect, but probably not as meant.
    Warning,
    /// This version of the object does not take effect.
    Error,
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Which field; empty for the object as a whole.
    pub field: FieldPath,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Collects problems while an object is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes that this version of the object cannot take effect.
    pub fn error(&mut self, field: &FieldPath, message: impl Into<String>) {
        self.push(Severity::Error, field, message.into());
    }

    /// Notes something that the author should know.
    pub fn warning(&mut self, field: &FieldPath, message: impl Into<String>) {
        self.push(Severity::Warning, field, message.into());
    }

    /// The value, or the error noted for a field.
    pub fn ok<T, E: ToString>(&mut self, field: &FieldPath, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.error(field, error.to_string())).ok()
    }

    /// Whether something keeps the object from taking effect.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// All of them in the order found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    fn push(&mut self, severity: Severity, field: &FieldPath, message: String) {
        self.0.push(Problem { severity, field: field.clone(), message });
    }
}
