//! Conditions on the head of a request: `RouteMatch`, `HeaderMatcher`, `QueryParameterMatcher`, `StringMatcher`.

use http::{HeaderMap, HeaderName};
use regex::Regex;

use super::decide::RequestView;
use super::fraction::Fraction;
use super::grpc;

/// When a route is taken: all conditions hold.
#[derive(Debug, Clone)]
pub struct RouteMatch {
    /// On the path, without its query.
    pub path: PathMatch,
    /// Whether [`RouteMatch::path`] tells upper from lower case; regular expressions always do.
    pub case_sensitive: bool,
    /// On headers and pseudo-headers.
    pub headers: Vec<HeaderMatch>,
    /// On parameters of the query.
    pub query: Vec<QueryMatch>,
    /// Only gRPC requests.
    pub grpc: bool,
    /// Only a share of the requests.
    pub fraction: Option<Fraction>,
}

/// `RouteMatch.path_specifier`.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// Starts with.
    Prefix(Box<str>),
    /// Is, or starts with and then has a `/`.
    SegmentPrefix(Box<str>),
    /// Is.
    Exact(Box<str>),
    /// Matches as a whole.
    Regex(Pattern),
    /// A CONNECT request, whatever its path.
    Connect,
}

/// A regular expression that has to match all of its input, as Envoy's `safe_regex` does.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

/// `StringMatcher`.
#[derive(Debug, Clone)]
pub struct StringMatch {
    /// What is compared.
    pub kind: StringMatchKind,
    /// ASCII case does not count; without effect on regular expressions.
    pub ignore_case: bool,
}

/// How a string is compared.
#[derive(Debug, Clone)]
pub enum StringMatchKind {
    /// Is.
    Exact(Box<str>),
    /// Starts with.
    Prefix(Box<str>),
    /// Ends with.
    Suffix(Box<str>),
    /// Has in it.
    Contains(Box<str>),
    /// Matches as a whole.
    Regex(Pattern),
}

/// `HeaderMatcher`. Of several values of a header each is looked at by itself.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    /// Which header.
    pub name: HeaderKey,
    /// What is asked of it.
    pub test: HeaderTest,
    /// The route wants the opposite.
    pub invert: bool,
    /// A header that is missing counts as an empty one.
    pub missing_is_empty: bool,
}

/// A header or what HTTP/2 calls a pseudo-header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderKey {
    /// An ordinary header.
    Name(HeaderName),
    /// `:method`.
    Method,
    /// `:authority` or `host`.
    Authority,
    /// `:path`, with the query.
    Path,
    /// `:scheme`.
    Scheme,
}

/// What is asked of a header.
#[derive(Debug, Clone)]
pub enum HeaderTest {
    /// It is there, or is not.
    Present(bool),
    /// Its value.
    Value(StringMatch),
    /// Its value is an integer from the first (inclusive) to the second (exclusive).
    Range(i64, i64),
}

/// `QueryParameterMatcher`: on the first parameter of that name.
#[derive(Debug, Clone)]
pub struct QueryMatch {
    /// Parameter name; compared without decoding.
    pub name: Box<str>,
    /// What is asked of it.
    pub test: QueryTest,
}

/// What is asked of a query parameter.
#[derive(Debug, Clone)]
pub enum QueryTest {
    /// It is there, or is not.
    Present(bool),
    /// Its value.
    Value(StringMatch),
}

impl RouteMatch {
    /// Every request.
    pub fn any() -> Self {
        Self {
            path: PathMatch::Prefix("/".into()),
            case_sensitive: true,
            headers: Vec::new(),
            query: Vec::new(),
            grpc: false,
            fraction: None,
        }
    }

    /// Whether all conditions hold for a request that drew `random`.
    pub fn matches(&self, view: &RequestView<'_>, random: u64) -> bool {
        self.path_matches(view)
            && (!self.grpc || grpc::is_grpc(view.headers))
            && self.headers.iter().all(|header| header.matches(view))
            && self.query.iter().all(|parameter| parameter.matches(view.query))
            && self.fraction.is_none_or(|fraction| fraction.hits(random))
    }

    fn path_matches(&self, view: &RequestView<'_>) -> bool {
        let path = view.path;
        match &self.path {
            PathMatch::Prefix(prefix) => self.starts_with(path, prefix),
            PathMatch::SegmentPrefix(prefix) => {
                self.starts_with(path, prefix) && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
            }
            PathMatch::Exact(exact) => path.len() == exact.len() && self.starts_with(path, exact),
            PathMatch::Regex(pattern) => pattern.matches(path),
            PathMatch::Connect => view.method == http::Method::CONNECT,
        }
    }

    fn starts_with(&self, path: &str, prefix: &str) -> bool {
        path.as_bytes().get(..prefix.len()).is_some_and(|start| {
            if self.case_sensitive { start == prefix.as_bytes() } else { start.eq_ignore_ascii_case(prefix.as_bytes()) }
        })
    }
}

impl Pattern {
    /// Largest compiled size in bytes: what one regular expression of a control plane may cost a sidecar.
    const SIZE_LIMIT: usize = 512 << 10;
    /// Longest source in bytes.
    const SOURCE_LIMIT: usize = 4096;

    /// Compiles an expression; the error says what is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        // On its own first: `a)|(b` is no expression, but would become one within the parentheses below.
        Self::compile(source)?;
        Self::compile(&format!(r"\A(?:{source})\z")).map(Self)
    }

    /// Compiles an expression that may match anywhere in its input.
    pub(crate) fn compile(source: &str) -> Result<Regex, String> {
        if source.len() > Self::SOURCE_LIMIT {
            return Err(format!(
                "regular expression of {} bytes: at most {} are allowed",
                source.len(),
                Self::SOURCE_LIMIT
            ));
        }
        regex::RegexBuilder::new(source)
            .size_limit(Self::SIZE_LIMIT)
            .dfa_size_limit(Self::SIZE_LIMIT)
            .nest_limit(64)
            .build()
            .map_err(|error| format!("regular expression {source:?}: {}", error.to_string().replace('\n', " ")))
    }

    /// Whether all of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl StringMatch {
    /// Whether `text` is as asked.
    pub fn matches(&self, text: &str) -> bool {
        let (bytes, same) =
            (text.as_bytes(), |a: &[u8], b: &[u8]| if self.ignore_case { a.eq_ignore_ascii_case(b) } else { a == b });
        match &self.kind {
            StringMatchKind::Exact(exact) => same(bytes, exact.as_bytes()),
            StringMatchKind::Prefix(prefix) => {
                bytes.get(..prefix.len()).is_some_and(|start| same(start, prefix.as_bytes()))
            }
            StringMatchKind::Suffix(suffix) => {
                bytes.len().checked_sub(suffix.len()).is_some_and(|at| same(&bytes[at..], suffix.as_bytes()))
            }
            StringMatchKind::Contains(part) => {
                part.is_empty() || bytes.windows(part.len()).any(|window| same(window, part.as_bytes()))
            }
            StringMatchKind::Regex(pattern) => pattern.matches(text),
        }
    }
}

impl HeaderMatch {
    /// Whether the request's header is as asked.
    pub fn matches(&self, view: &RequestView<'_>) -> bool {
        match &self.name {
            HeaderKey::Name(name) => self.matches_values(view.headers, name),
            HeaderKey::Authority if view.authority.is_empty() => self.matches_nothing(),
            HeaderKey::Authority => self.matches_text(view.authority),
            HeaderKey::Method => self.matches_text(view.method.as_str()),
            HeaderKey::Scheme => self.matches_text(view.scheme),
            HeaderKey::Path => match view.query {
                Some(query) => self.matches_text(&format!("{}?{query}", view.path)),
                None => self.matches_text(view.path),
            },
        }
    }

    /// Whether a header of a set without pseudo-headers (a response's) is as asked.
    pub fn matches_headers(&self, headers: &HeaderMap) -> bool {
        match &self.name {
            HeaderKey::Name(name) => self.matches_values(headers, name),
            _ => self.matches_nothing(),
        }
    }

    /// One value as asked is enough; the opposite holds if none is.
    fn matches_values(&self, headers: &HeaderMap, name: &HeaderName) -> bool {
        let (mut there, mut holds) = (false, false);
        for value in headers.get_all(name) {
            there = true;
            match (std::str::from_utf8(value.as_bytes()), &self.test) {
                (Ok(text), test) => holds |= test.holds(text),
                (Err(_), HeaderTest::Present(wanted)) => holds |= wanted,
                // What cannot be read must not fulfil a condition by failing to match.
                (Err(_), _) if self.invert => return false,
                (Err(_), _) => {}
            }
        }
        if there { holds != self.invert } else { self.matches_nothing() }
    }

    fn matches_text(&self, text: &str) -> bool {
        self.test.holds(text) != self.invert
    }

    fn matches_nothing(&self) -> bool {
        match &self.test {
            _ if self.missing_is_empty => self.matches_text(""),
            HeaderTest::Present(wanted) => *wanted == self.invert,
            // A header that is not there fulfils no condition on its value, nor the opposite of one.
            HeaderTest::Value(_) | HeaderTest::Range(..) => false,
        }
    }
}

impl HeaderTest {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Present(wanted) => *wanted,
            Self::Value(test) => test.matches(text),
            Self::Range(from, to) => text.parse::<i64>().is_ok_and(|number| (*from..*to).contains(&number)),
        }
    }
}

impl HeaderKey {
    /// The key of a name as the configuration writes it; `None` if it is no header name.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            ":method" => Some(Self::Method),
            ":authority" | "host" => Some(Self::Authority),
            ":path" => Some(Self::Path),
            ":scheme" => Some(Self::Scheme),
            other => HeaderName::from_bytes(other.as_bytes()).ok().map(Self::Name),
        }
    }
}

impl QueryMatch {
    /// Whether the query has the parameter as asked.
    pub fn matches(&self, query: Option<&str>) -> bool {
        let value = query.unwrap_or_default().split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == &*self.name).then_some(value)
        });
        match (&self.test, value) {
            (QueryTest::Present(wanted), value) => *wanted == value.is_some(),
            (QueryTest::Value(test), Some(value)) => test.matches(value),
            (QueryTest::Value(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests;
