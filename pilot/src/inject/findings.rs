//! What is to be said of a pod while it is injected.

/// Longest value of the user's that a message repeats, in characters.
const SHOWN: usize = 80;

/// Collected so that an author sees everything at once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each keeps the pod out.
    pub(super) refusals: Vec<String>,
    /// The pod gets its sidecar all the same.
    pub(super) warnings: Vec<String>,
}

impl Findings {
    pub(super) fn refuse(&mut self, message: impl Into<String>) {
        self.refusals.push(message.into());
    }

    pub(super) fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }
}

/// A value of the user's in quotes, escaped and short.
pub(super) fn quoted(value: &str) -> String {
    let short: String = value.chars().take(SHOWN).collect();
    let more = if short.len() < value.len() { "..." } else { "" };
    format!("{short:?}{more}")
}
