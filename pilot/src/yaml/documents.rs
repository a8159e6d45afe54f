//! Splits a file into documents by text, so that an error in one leaves the others alone and an unchanged one
//! need not be read again.

/// A part of a file that starts at its beginning or at a `---` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// Line of the file on which it starts, from 1.
    pub line: u32,
    /// Its text, with the `---`.
    pub text: &'a str,
}

/// Splits at every line that starts with `---` and a space or the end of the line. YAML allows such a line
/// nowhere inside a document (section 9.1.2).
pub fn split(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (number, line) in (1u32..).zip(text.split_inclusive('\n')) {
        if at > start && is_marker(line) {
            documents.push(Document { line: start_line, text: &text[start..at] });
            (start, start_line) = (at, number);
        }
        at += line.len();
    }
    documents.push(Document { line: start_line, text: &text[start..] });
    documents.retain(|document| !is_empty(document.text));
    documents
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Only comments, directives and markers.
fn is_empty(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with(['#', '%']) || line == "---" || line == "..."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_where_they_start() {
        let text = "# head\n---\na: 1\n---  # next\nb: |\n  --- not a marker\n---\n# empty\n--- {c: 3}\n";
        let starts: Vec<_> = split(text).iter().map(|document| document.line).collect();
        assert_eq!(starts, [2, 4, 9]);
        assert_eq!(split("a: 1"), [Document { line: 1, text: "a: 1" }]);
        assert!(split("").is_empty());
    }
}
