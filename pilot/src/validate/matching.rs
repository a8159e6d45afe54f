//! String matches and regular expressions.

use super::Check;
use crate::api::StringMatchSpec;
use crate::model::StringMatch;
use crate::yaml::FieldPath;
use regex::RegexBuilder;

/// Longest expression.
const MAX_LENGTH: usize = 1024;
/// Most memory of the compiled expression, in bytes.
const MAX_COMPILED: usize = 256 * 1024;
/// RE2's limit on counted repetition.
const MAX_REPEAT: u32 = 1000;

impl Check<'_> {
    /// Exactly one of exact, prefix and regex; none is a test for presence where that is allowed.
    pub(super) fn string_match(
        &mut self,
        at: &FieldPath,
        spec: &StringMatchSpec,
        presence_allowed: bool,
    ) -> Option<StringMatch> {
        match (&spec.exact, &spec.prefix, &spec.regex) {
            (Some(text), None, None) => Some(StringMatch::Exact(text.as_str().into())),
            (None, Some(text), None) => Some(StringMatch::Prefix(text.as_str().into())),
            (None, None, Some(text)) if text == "*" && presence_allowed => Some(StringMatch::Present),
            (None, None, Some(text)) => {
                self.regex(&at.key("regex"), text).map(|()| StringMatch::Regex(text.as_str().into()))
            }
            (None, None, None) if presence_allowed => Some(StringMatch::Present),
            (None, None, None) => {
                self.problems.error(at, "is empty; set one of exact, prefix and regex");
                None
            }
            _ => {
                self.problems.error(at, "sets more than one of exact, prefix and regex; keep one");
                None
            }
        }
    }

    /// The same for a field that may be absent.
    pub(super) fn string_match_if(&mut self, at: &FieldPath, spec: Option<&StringMatchSpec>) -> Option<StringMatch> {
        self.string_match(at, spec?, false)
    }

    /// An expression that RE2 and the proxy both take, within limits.
    pub(super) fn regex(&mut self, at: &FieldPath, pattern: &str) -> Option<()> {
        self.problems.ok(at, check(pattern))
    }
}

fn check(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_LENGTH {
        return Err(format!("the expression has {} bytes; at most {MAX_LENGTH} are allowed", pattern.len()));
    }
    if let Some(feature) = beyond_re2(pattern) {
        return Err(format!("the expression is not RE2: {feature}"));
    }
    match RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(MAX_COMPILED).build() {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err("the expression is too complex; use fewer or smaller counted repetitions".into())
        }
        Err(error) => Err(format!("the expression is not valid RE2: {}", reason(&error))),
    }
}

/// The last line of the regex crate's message is the reason; the others draw the place.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// What the regex crate takes but RE2 refuses or reads in another way.
fn beyond_re2(pattern: &str) -> Option<String> {
    for (index, _) in pattern.match_indices('{') {
        let counts = pattern[index + 1..].split(['}', ',']).take(2);
        if counts.filter_map(|count| count.parse::<u32>().ok()).any(|count| count > MAX_REPEAT) {
            return Some(format!("it repeats more than {MAX_REPEAT} times"));
        }
    }
    for (index, _) in pattern.match_indices("(?") {
        let flags = pattern[index + 2..].chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-');
        if flags.clone().any(|flag| matches!(flag, 'x' | 'u' | 'R')) && !pattern[index..].starts_with("(?P") {
            return Some("it has no flags x, u and R".into());
        }
    }
    ["&&", "~~"].into_iter().find(|op| pattern.contains(op)).map(|op| format!("write \"{op}\" with backslashes"))
}
