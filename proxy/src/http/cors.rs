//! Cross-origin requests: `CorsPolicy`.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};

use super::decide::RequestView;
use super::fraction::Fraction;
use super::matching::StringMatch;

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Which origins may read responses.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// Origins; one match is enough.
    pub origins: Vec<StringMatch>,
    /// `access-control-allow-methods` of preflight answers.
    pub methods: Option<HeaderValue>,
    /// `access-control-allow-headers` of preflight answers.
    pub headers: Option<HeaderValue>,
    /// `access-control-expose-headers` of all answers.
    pub expose: Option<HeaderValue>,
    /// `access-control-max-age` of preflight answers.
    pub max_age: Option<HeaderValue>,
    /// Responses may be read when the request carried credentials.
    pub credentials: bool,
    /// Private networks may be reached from public ones.
    pub private_network: bool,
    /// Preflight requests of other origins are answered here, with no permission in the answer, instead of by the upstream.
    pub answer_unmatched_preflights: bool,
    /// The share of requests that the policy holds for; `None`: all.
    pub enabled: Option<Fraction>,
}

/// What CORS makes of a request.
#[derive(Debug)]
pub enum CorsOutcome {
    /// Nothing: not cross-origin, or not from an origin that may.
    Pass,
    /// It goes on, and its response says who may read it: [`Cors::annotate`] with this origin.
    Annotate(HeaderValue),
    /// It is answered, with an empty body.
    Answer(Response<()>),
}

impl Cors {
    /// Decides about a request that drew `random`.
    pub fn decide(&self, view: &RequestView<'_>, random: u64) -> CorsOutcome {
        let Some(origin) = view.headers.get(ORIGIN).filter(|origin| !origin.is_empty()) else {
            return CorsOutcome::Pass;
        };
        if self.enabled.is_some_and(|share| !share.hits(random)) {
            return CorsOutcome::Pass;
        }
        let preflight = view.method == Method::OPTIONS
            && view.headers.get(ACCESS_CONTROL_REQUEST_METHOD).is_some_and(|method| !method.is_empty());
        let allowed = origin.to_str().is_ok_and(|text| self.origins.iter().any(|matcher| matcher.matches(text)));
        match (allowed, preflight) {
            (true, false) => CorsOutcome::Annotate(origin.clone()),
            (true, true) => CorsOutcome::Answer(self.preflight(origin, view.headers)),
            (false, true) if self.answer_unmatched_preflights => CorsOutcome::Answer(Response::new(())),
            (false, _) => CorsOutcome::Pass,
        }
    }

    fn preflight(&self, origin: &HeaderValue, request: &HeaderMap) -> Response<()> {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        self.annotate(origin, headers);
        let private = self.private_network && request.get(REQUEST_PRIVATE_NETWORK).is_some_and(|asked| asked == "true");
        let values = [
            (ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()),
            (ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone()),
            (ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
            (ALLOW_PRIVATE_NETWORK, private.then_some(HeaderValue::from_static("true"))),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        response
    }

    /// Says in the response to a request of an allowed origin that the origin may read it.
    pub fn annotate(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(expose) = &self.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

#[cfg(test)]
mod tests;
