//! Whether an object is in force, in one word and in a sentence for its author.

use crate::catalog::RefusedResource;
use crate::status::{Condition, Finding, ObjectStatus};

/// How many findings one message has.
const FINDINGS: usize = 5;
/// The longest message, in bytes. The API allows 32 KiB; a person does not read them.
const LONGEST: usize = 4096;

/// Whether it is in force, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Word {
    pub(super) fn no(reason: &'static str, message: String) -> Self {
        Self { holds: false, reason, message: bounded(message) }
    }
}

/// The word on an object as a whole.
pub(super) fn in_force(status: &ObjectStatus) -> Word {
    match &status.condition {
        Condition::Rejected { last_good_in_force: true } => Word::no(
            "LastGoodInForce",
            format!("this version is wrong, the one before it stays in force: {}", findings(&status.findings)),
        ),
        Condition::Rejected { last_good_in_force: false } => Word::no("Rejected", findings(&status.findings)),
        Condition::Shadowed { by } => {
            let more = findings(&status.findings);
            let colon = if more.is_empty() { "" } else { ": " };
            Word::no("Shadowed", format!("{by} decides in its place{colon}{more}"))
        }
        Condition::InForce if !status.refused.is_empty() => Word::no("RefusedByProxies", refusals(&status.refused)),
        Condition::InForce => Word { holds: true, reason: "InForce", message: bounded(findings(&status.findings)) },
    }
}

/// Errors first, each with its field.
fn findings(findings: &[Finding]) -> String {
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.is_error);
    let told: Vec<_> = errors.into_iter().chain(warnings).map(|finding| finding.text.as_str()).collect();
    let more = told.len().saturating_sub(FINDINGS);
    let text = told[..told.len() - more].join("; ");
    if more > 0 { format!("{text}; and {more} more") } else { text }
}

/// How many proxies keep what they had, and the words of the first by name.
fn refusals(refused: &[RefusedResource]) -> String {
    let mut clients: Vec<_> = refused.iter().map(|refusal| &refusal.client).collect();
    clients.sort();
    clients.dedup();
    let first = refused.iter().min_by_key(|refusal| (&refusal.client, refusal.kind.type_url(), &refusal.name));
    let first = first.map(ToString::to_string).unwrap_or_default();
    match clients.len() {
        0 | 1 => format!("{first}; it keeps the version before"),
        many => format!("{many} proxies refuse it and keep the version before, among them {first}"),
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}
