//! How a refusal of a response names the resources that it is about. Ours carry `google.rpc.BadRequest` beside the
//! text, so that nothing has to be guessed; from the text of others the names are picked out.

use std::sync::Arc;

use prost::{Message, Name};

use crate::{google::Any, rpc};

/// gRPC's INVALID_ARGUMENT.
const INVALID_ARGUMENT: i32 = 3;

/// The longest error text that is sent, as Envoy does (bytes).
const MAX_TEXT: usize = 4096;

/// `google.rpc.BadRequest` (google/rpc/error_details.proto).
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

impl Name for BadRequest {
    const NAME: &'static str = "BadRequest";
    const PACKAGE: &'static str = "google.rpc";

    fn type_url() -> String {
        "type.googleapis.com/google.rpc.BadRequest".to_owned()
    }
}

/// Which resources of a response a refusal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Each refused resource with its reason; the others were taken.
    Exact(Vec<(Arc<str>, String)>),
    /// There is only a text, and these names, if any, occur in it. Whether the others were taken is not known.
    Text(Vec<Arc<str>>),
}

/// Writes a refusal: a text for people and the names for programs.
pub(crate) fn to_status(refused: &[(String, String)]) -> rpc::Status {
    let text: Vec<String> = refused.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    let violations = refused
        .iter()
        .map(|(name, reason)| FieldViolation { field: name.clone(), description: shortened(reason) })
        .collect();
    let details = BadRequest { field_violations: violations };
    rpc::Status {
        code: INVALID_ARGUMENT,
        message: shortened(&text.join("; ")),
        details: vec![Any { type_url: BadRequest::type_url(), value: details.encode_to_vec() }],
    }
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end == text.len() { text.to_owned() } else { format!("{}...(truncated)", &text[..end]) }
}

/// Reads a refusal of a response that held `names`.
pub(crate) fn blame(status: &rpc::Status, names: &[Arc<str>]) -> Blame {
    let exact = exact_names(status, names);
    if exact.is_empty() { Blame::Text(names_in(&status.message, names)) } else { Blame::Exact(exact) }
}

fn exact_names(status: &rpc::Status, names: &[Arc<str>]) -> Vec<(Arc<str>, String)> {
    status
        .details
        .iter()
        .filter_map(|any| crate::unpack::<BadRequest>(any).ok())
        .flat_map(|details| details.field_violations)
        .filter_map(|violation| {
            let name = names.iter().find(|name| ***name == *violation.field)?;
            Some((name.clone(), violation.description))
        })
        .collect()
}

/// The names that occur in a text as whole words, longest first, so that `a.b_80` is not taken for `b_80`.
fn names_in(text: &str, names: &[Arc<str>]) -> Vec<Arc<str>> {
    let mut longest_first: Vec<&Arc<str>> = names.iter().filter(|name| !name.is_empty()).collect();
    longest_first.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
    let mut found = Vec::new();
    for name in longest_first {
        let free = text.match_indices(&**name).map(|(start, part)| start..start + part.len()).find(|range| {
            stands_alone(text, range) && taken.iter().all(|other| range.end <= other.start || other.end <= range.start)
        });
        if let Some(range) = free {
            taken.push(range);
            found.push(name.clone());
        }
    }
    found
}

/// Whether what stands around a range cannot belong to a resource name. A colon or a dot may follow: texts write `name: reason`.
fn stands_alone(text: &str, range: &std::ops::Range<usize>) -> bool {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|' | '/' | '~');
    let before = text[..range.start].chars().next_back();
    let mut after = text[range.end..].chars();
    let next = after.next();
    let closes = match next {
        Some(':' | '.') => !after.next().is_some_and(|c| c.is_ascii_alphanumeric()),
        other => !other.is_some_and(belongs),
    };
    closes && !before.is_some_and(|c| belongs(c) || c == '.' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn from_text(text: &str, of: &[&str]) -> Blame {
        let status = rpc::Status { code: 13, message: text.into(), details: Vec::new() };
        blame(&status, &names(of))
    }

    #[test]
    fn our_own_refusals_name_each_resource_with_its_reason() {
        let status = to_status(&[("a".into(), "no such cluster b".into())]);
        assert_eq!(status.message, "a: no such cluster b");
        assert_eq!(
            blame(&status, &names(&["a", "b", "c"])),
            Blame::Exact(vec![("a".into(), "no such cluster b".into())]),
        );
    }

    #[test]
    fn envoys_texts_are_searched_for_whole_names() {
        let of = ["10.0.0.1_80", "10.0.0.1_8080", "110.0.0.1_80"];
        assert_eq!(
            from_text("Error adding/updating listener(s) 10.0.0.1_8080: duplicate address", &of),
            Blame::Text(names(&["10.0.0.1_8080"])),
        );
        assert_eq!(
            from_text(
                "Error adding/updating cluster(s) outbound|80|v1|a.b: bad, outbound|80||a.b: bad",
                &["outbound|80||a.b", "outbound|80|v1|a.b"]
            ),
            Blame::Text(names(&["outbound|80|v1|a.b", "outbound|80||a.b"])),
        );
        assert_eq!(from_text("route 'a.b:80' is bad", &["a.b", "a.b:80"]), Blame::Text(names(&["a.b:80"])));
        assert_eq!(from_text("cluster a.b.", &["a.b", "b"]), Blame::Text(names(&["a.b"])));
        assert_eq!(from_text("Proto constraint validation failed", &of), Blame::Text(Vec::new()));
        assert_eq!(from_text("", &["", "a"]), Blame::Text(Vec::new()));
    }

    #[test]
    fn details_about_other_resources_are_not_believed() {
        let status = to_status(&[("zzz".into(), "bad".into())]);
        assert_eq!(blame(&status, &names(&["a"])), Blame::Text(Vec::new()));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let status = to_status(&[("a".into(), "ü".repeat(MAX_TEXT))]);
        assert!(status.message.len() <= MAX_TEXT + "...(truncated)".len());
        assert!(status.message.ends_with("...(truncated)"));
    }
}
