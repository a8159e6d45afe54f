//! `StringMatcher`, `HeaderMatcher`, `QueryParameterMatcher`, `RegexMatcher`.

use std::cell::Cell;

use xds::matcher::{RegexMatchAndSubstitute, RegexMatcher, StringMatcher, string_matcher::MatchPattern};
use xds::route::header_matcher::HeaderMatchSpecifier;
use xds::route::query_parameter_matcher::QueryParameterMatchSpecifier;
use xds::route::{HeaderMatcher, QueryParameterMatcher};

use super::each;
use super::reason::{Reason, Under};
use crate::http::matching::{
    HeaderKey, HeaderMatch, HeaderTest, Pattern, QueryMatch, QueryTest, StringMatch, StringMatchKind,
};
use crate::http::rewrite::Replacement;

/// Most regular expressions of a resource: a few bytes of one can cost half a megabyte when they are compiled.
const MAX_EXPRESSIONS: usize = 500;

thread_local! {
    /// How many the resource at hand has. Expressions hide in every corner of a resource, and a resource is compiled by one
    /// thread from start to end.
    static EXPRESSIONS: Cell<usize> = const { Cell::new(0) };
}

/// Begins to count anew.
pub(super) fn start_counting() {
    EXPRESSIONS.set(0);
}

fn count() -> Result<(), Reason> {
    let count = EXPRESSIONS.get() + 1;
    EXPRESSIONS.set(count);
    if count > MAX_EXPRESSIONS {
        return Err(Reason::new(format!("more than {MAX_EXPRESSIONS} regular expressions in one resource")));
    }
    Ok(())
}

/// An expression that has to match as a whole.
pub(super) fn pattern(matcher: &RegexMatcher) -> Result<Pattern, Reason> {
    count()?;
    Pattern::new(&matcher.regex).under("regex")
}

/// An expression and what its matches are replaced by.
pub(super) fn replacement(rewrite: &RegexMatchAndSubstitute) -> Result<Replacement, Reason> {
    count()?;
    let pattern = rewrite.pattern.as_ref().ok_or_else(|| Reason::at("pattern", "is missing"))?;
    Ok(Replacement::new(&pattern.regex, &rewrite.substitution)?)
}

/// `StringMatcher`.
pub(super) fn string(matcher: &StringMatcher) -> Result<StringMatch, Reason> {
    let kind = match &matcher.match_pattern {
        Some(MatchPattern::Exact(text)) => StringMatchKind::Exact(text.as_str().into()),
        Some(MatchPattern::Prefix(text)) => StringMatchKind::Prefix(text.as_str().into()),
        Some(MatchPattern::Suffix(text)) => StringMatchKind::Suffix(text.as_str().into()),
        Some(MatchPattern::Contains(text)) => StringMatchKind::Contains(text.as_str().into()),
        Some(MatchPattern::SafeRegex(regex)) => StringMatchKind::Regex(pattern(regex).under("safe_regex")?),
        Some(MatchPattern::Custom(_)) => return Err(Reason::unsupported("custom")),
        None => return Err(Reason::new("says nothing to match")),
    };
    Ok(StringMatch { kind, ignore_case: matcher.ignore_case })
}

fn case_sensitive(kind: StringMatchKind) -> HeaderTest {
    HeaderTest::Value(StringMatch { kind, ignore_case: false })
}

/// All header matchers of a list.
pub(super) fn headers(field: &str, matchers: &[HeaderMatcher]) -> Result<Vec<HeaderMatch>, Reason> {
    each(field, matchers, header)
}

// Envoy's older specifiers are still what many control planes write.
#[allow(deprecated)]
fn header(matcher: &HeaderMatcher) -> Result<HeaderMatch, Reason> {
    let name = HeaderKey::parse(&matcher.name)
        .ok_or_else(|| Reason::at("name", format!("{:?} is no header name", matcher.name)))?;
    let test = match &matcher.header_match_specifier {
        None => HeaderTest::Present(true),
        Some(HeaderMatchSpecifier::PresentMatch(wanted)) => HeaderTest::Present(*wanted),
        Some(HeaderMatchSpecifier::StringMatch(test)) => HeaderTest::Value(string(test).under("string_match")?),
        Some(HeaderMatchSpecifier::ExactMatch(text)) => case_sensitive(StringMatchKind::Exact(text.as_str().into())),
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => case_sensitive(StringMatchKind::Prefix(text.as_str().into())),
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => case_sensitive(StringMatchKind::Suffix(text.as_str().into())),
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => {
            case_sensitive(StringMatchKind::Contains(text.as_str().into()))
        }
        Some(HeaderMatchSpecifier::SafeRegexMatch(regex)) => {
            case_sensitive(StringMatchKind::Regex(pattern(regex).under("safe_regex_match")?))
        }
        Some(HeaderMatchSpecifier::RangeMatch(range)) => HeaderTest::Range(range.start, range.end),
    };
    Ok(HeaderMatch {
        name,
        test,
        invert: matcher.invert_match,
        missing_is_empty: matcher.treat_missing_header_as_empty,
    })
}

/// `QueryParameterMatcher`.
pub(super) fn query(matcher: &QueryParameterMatcher) -> Result<QueryMatch, Reason> {
    let test = match &matcher.query_parameter_match_specifier {
        None => QueryTest::Present(true),
        Some(QueryParameterMatchSpecifier::PresentMatch(wanted)) => QueryTest::Present(*wanted),
        Some(QueryParameterMatchSpecifier::StringMatch(test)) => QueryTest::Value(string(test).under("string_match")?),
    };
    Ok(QueryMatch { name: matcher.name.as_str().into(), test })
}
