//! The lines that `meltemi check` prints: what was looked at, what was found, and what to do.

use crate::cluster::told;
use serde::Serialize;
use std::fmt::Write;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is broken.
    Warning,
    /// Something does not work.
    Failed,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub outcome: Outcome,
    /// What was looked at, in one word or two.
    pub name: &'static str,
    /// What was found.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Line {
    pub fn ok(name: &'static str, what: impl Into<String>) -> Line {
        Line { outcome: Outcome::Ok, name, what: what.into(), remedy: None }
    }

    pub fn warning(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Line {
        Line { outcome: Outcome::Warning, name, what: what.into(), remedy: Some(remedy.into()) }
    }

    pub fn failed(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Line {
        Line { outcome: Outcome::Failed, name, what: what.into(), remedy: Some(remedy.into()) }
    }
}

/// The lines of a check, or one that says why it could not look.
pub fn or_unreadable(name: &'static str, lines: Result<Vec<Line>, kube::Error>) -> Vec<Line> {
    lines.unwrap_or_else(|error| {
        let remedy = match &error {
            kube::Error::Api(status) if status.code == 403 => "run it with an account that may read this",
            _ => "see that the API server answers, then run it again",
        };
        vec![Line::failed(name, format!("cannot look: {}", told(&error)), remedy)]
    })
}

/// All lines as text, one or two rows each.
pub fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let word = match line.outcome {
            Outcome::Ok => "ok     ",
            Outcome::Warning => "warning",
            Outcome::Failed => "FAILED ",
        };
        let _ = writeln!(text, "{word}  {}: {}", line.name, line.what);
        if let Some(remedy) = &line.remedy {
            let _ = writeln!(text, "         remedy: {remedy}");
        }
    }
    let count = |outcome| lines.iter().filter(|line| line.outcome == outcome).count();
    let (failed, warnings) = (count(Outcome::Failed), count(Outcome::Warning));
    let _ = match (failed, warnings) {
        (0, 0) => writeln!(text, "All is well."),
        (0, _) => writeln!(text, "All is well; warnings: {warnings}."),
        _ => writeln!(text, "Failed: {failed}; warnings: {warnings}."),
    };
    text
}

/// Names in a sentence: the first few, and how many more there are.
pub fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, some, text};

    #[test]
    fn a_failure_is_printed_with_its_remedy_and_counted() {
        let lines = [Line::ok("api", "answers"), Line::failed("leader", "nobody leads", "wait")];
        let expected =
            "ok       api: answers\nFAILED   leader: nobody leads\n         remedy: wait\nFailed: 1; warnings: 0.\n";
        assert_eq!(text(&lines), expected);
        assert!(text(&lines[..1]).ends_with("All is well.\n"));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned).into();
        assert_eq!(some(&names), "a, b, c, d, e and 2 more");
        assert_eq!(some(&names[..2]), "a, b");
    }
}
