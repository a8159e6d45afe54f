//! What an HTTP rule does with a request: route, redirect, or answer at once.

use super::Check;
use crate::api::{DestinationSpec, DirectResponseSpec, HttpRouteSpec, RedirectSpec};
use crate::model::{
    Action, Destination, DirectResponse, HeaderEdits, Host, Redirect, RedirectPath, RedirectPort, WeightedDestination,
};
use crate::yaml::FieldPath;
use std::sync::Arc;

/// Longest body of a direct response, in bytes (Istio's limit).
const MAX_BODY: usize = 1024 * 1024;

impl Check<'_> {
    /// The one action of a rule.
    pub(super) fn action(&mut self, at: &FieldPath, spec: &HttpRouteSpec) -> Option<Action> {
        if spec.delegate.is_some() {
            self.problems.error(&at.key("delegate"), "is not supported yet; write the delegate's rules here");
            return None;
        }
        match (spec.route.is_empty(), &spec.redirect, &spec.direct_response) {
            (false, None, None) => self.route(&at.key("route"), spec).map(Action::Route),
            (true, Some(redirect), None) => self.redirect(&at.key("redirect"), redirect).map(Action::Redirect),
            (true, None, Some(answer)) => {
                self.direct_response(&at.key("directResponse"), answer).map(Action::DirectResponse)
            }
            (true, None, None) => {
                self.problems.error(at, "does nothing; set one of route, redirect and directResponse");
                None
            }
            _ => {
                self.problems.error(at, "sets more than one of route, redirect and directResponse; keep one");
                None
            }
        }
    }

    fn route(&mut self, at: &FieldPath, spec: &HttpRouteSpec) -> Option<Vec<WeightedDestination>> {
        let mut list = Vec::new();
        for (index, entry) in spec.route.iter().enumerate() {
            let at = at.index(index);
            let headers = self.header_edits(&at.key("headers"), entry.headers.as_ref());
            list.push(self.weighted(&at, entry.destination.as_ref(), entry.weight, headers));
        }
        self.shares(at, list)
    }

    /// One weighted destination of any kind of rule.
    pub(super) fn weighted(
        &mut self,
        at: &FieldPath,
        destination: Option<&DestinationSpec>,
        weight: Option<i32>,
        headers: HeaderEdits,
    ) -> Option<WeightedDestination> {
        let weight = weight.unwrap_or(0);
        if weight < 0 {
            self.problems.error(&at.key("weight"), format!("{weight} is negative; use 0 or more"));
        }
        let Some(destination) = destination else {
            self.problems.error(at, "needs a destination");
            return None;
        };
        let destination = self.destination(&at.key("destination"), destination)?;
        Some(WeightedDestination { destination, weight: weight.max(0).unsigned_abs(), headers })
    }

    /// Several destinations need a weight to share by.
    pub(super) fn shares(
        &mut self,
        at: &FieldPath,
        list: Vec<Option<WeightedDestination>>,
    ) -> Option<Vec<WeightedDestination>> {
        let list: Vec<_> = list.into_iter().collect::<Option<_>>()?;
        let sum: u64 = list.iter().map(|entry| u64::from(entry.weight)).sum();
        if list.len() > 1 && sum == 0 {
            self.problems.error(at, "has several destinations but no weight; give each a weight");
        }
        if sum > u64::from(u32::MAX) {
            self.problems.error(at, format!("has weights of {sum} in all; use smaller ones"));
        }
        Some(list)
    }

    /// A destination with its host resolved; whether it exists is checked against the world.
    pub(super) fn destination(&mut self, at: &FieldPath, spec: &DestinationSpec) -> Option<Destination> {
        let host = self.host(&at.key("host"), &spec.host)?;
        if host.is_wildcard() {
            self.problems.error(&at.key("host"), "is a wildcard; name one service");
            return None;
        }
        let port = match &spec.port {
            None => None,
            Some(selector) => {
                let at = at.key("port");
                let Some(number) = selector.number else {
                    self.problems.error(&at, "needs a number");
                    return None;
                };
                Some(self.port(&at.key("number"), number)?)
            }
        };
        let subset = spec.subset.as_deref().filter(|name| !name.is_empty()).map(Arc::from);
        Some(Destination { host, subset, port })
    }

    /// A host, with short names resolved in the object's namespace.
    pub(super) fn host(&mut self, at: &FieldPath, text: &str) -> Option<Host> {
        if text.is_empty() {
            self.problems.error(at, "is missing; name a service");
            return None;
        }
        let host = Host::resolve(text, self.namespace(), &self.settings.mesh.domain);
        self.problems.ok(at, host)
    }

    fn redirect(&mut self, at: &FieldPath, spec: &RedirectSpec) -> Option<Redirect> {
        let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Arc::<str>::from);
        let path = match (text(&spec.uri), text(&spec.prefix_rewrite)) {
            (Some(_), Some(_)) => {
                self.problems.error(at, "sets both uri and prefixRewrite; keep one");
                return None;
            }
            (Some(uri), None) => Some(RedirectPath::Full(uri)),
            (None, Some(prefix)) => Some(RedirectPath::Prefix(prefix)),
            (None, None) => None,
        };
        let code = spec.redirect_code.unwrap_or(301);
        if !matches!(code, 301 | 302 | 303 | 307 | 308) {
            let message = format!("{code} is not a redirect; use 301, 302, 303, 307 or 308");
            self.problems.error(&at.key("redirectCode"), message);
        }
        let port = self.redirect_port(at, spec);
        let (authority, scheme) = (text(&spec.authority), text(&spec.scheme));
        if let Some(scheme) = scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https")) {
            self.problems.error(&at.key("scheme"), format!("\"{scheme}\" is none; use http or https"));
        }
        if path.is_none() && authority.is_none() && scheme.is_none() && port.is_none() {
            self.problems.error(at, "leads to where the request came from; set uri, authority, scheme or port");
        }
        Some(Redirect { path, authority, scheme, port, code: code.try_into().unwrap_or(301) })
    }

    fn redirect_port(&mut self, at: &FieldPath, spec: &RedirectSpec) -> Option<RedirectPort> {
        if spec.port.is_some() && spec.derive_port.is_some() {
            self.problems.error(at, "sets both port and derivePort; keep one");
        }
        if let Some(number) = spec.port {
            return self.port(&at.key("port"), number).map(RedirectPort::Number);
        }
        let values = [
            ("FROM_PROTOCOL_DEFAULT", Some(RedirectPort::ProtocolDefault)),
            ("FROM_REQUEST_PORT", Some(RedirectPort::Request)),
        ];
        self.one_of(&at.key("derivePort"), spec.derive_port.as_deref(), &values, None)
    }

    fn direct_response(&mut self, at: &FieldPath, spec: &DirectResponseSpec) -> Option<DirectResponse> {
        let Some(status) = spec.status else {
            self.problems.error(at, "needs a status");
            return None;
        };
        let status = self.status(&at.key("status"), status.into());
        let at = at.key("body");
        let body: Option<Arc<[u8]>> = match spec.body.as_ref().map(|body| (&body.string, &body.bytes)) {
            None | Some((None, None)) => None,
            Some((Some(text), None)) => Some(text.as_bytes().into()),
            Some((None, Some(text))) => self.base64(&at.key("bytes"), text),
            Some((Some(_), Some(_))) => {
                self.problems.error(&at, "sets both string and bytes; keep one");
                None
            }
        };
        if let Some(length) = body.as_ref().map(|body| body.len()).filter(|length| *length > MAX_BODY) {
            self.problems.error(&at, format!("has {length} bytes; at most {MAX_BODY} are allowed"));
        }
        Some(DirectResponse { status: status?, body })
    }

    /// Bytes travel as base64 in protobuf's JSON form; `k8s-openapi` has the same codec for its own bytes.
    fn base64(&mut self, at: &FieldPath, text: &str) -> Option<Arc<[u8]>> {
        let bytes: Result<k8s_openapi::ByteString, _> = serde_json::from_value(serde_json::Value::from(text));
        match bytes {
            Ok(bytes) => Some(bytes.0.into()),
            Err(_) => {
                self.problems.error(at, "is not base64");
                None
            }
        }
    }
}
