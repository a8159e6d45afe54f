//! HTTPRoute and GRPCRoute of the Gateway API: parents, rules and backends.

use super::Check;
use super::gateway_filters::Filters;
use crate::api::{
    BackendObjectSpec, GatewayBackendSpec, GatewayGrpcRuleSpec, GatewayHttpRuleSpec, GatewayRouteSpec,
    ParentReferenceSpec, RouteFilterSpec,
};
use crate::gateway_route::{
    Backend, GatewayRoute, OwnFilters, RankedMatch, RewriteTo, RouteAction, RouteProtocol, RouteRule, WeightedBackend,
};
use crate::model::{ParentRef, Retries};
use crate::object::Content;
use crate::yaml::{FieldPath, Node, Value, read};
use std::sync::Arc;
use std::time::Duration;

/// Largest weight of a backend (Gateway API).
const MAX_WEIGHT: i32 = 1_000_000;

pub(super) fn http(
    spec: &GatewayRouteSpec<GatewayHttpRuleSpec>,
    creation: i64,
    check: &mut Check<'_>,
) -> Option<Content> {
    let everything = [GatewayHttpRuleSpec::default()];
    let rules = spec.rules.as_deref().unwrap_or(&everything);
    let rules = rules.iter().enumerate().filter_map(|(i, rule)| check.gateway_http_rule(&rule_at(i), rule));
    let rules = rules.collect();
    check.gateway_route(spec, creation, RouteProtocol::Http, rules)
}

pub(super) fn grpc(
    spec: &GatewayRouteSpec<GatewayGrpcRuleSpec>,
    creation: i64,
    check: &mut Check<'_>,
) -> Option<Content> {
    let everything = [GatewayGrpcRuleSpec::default()];
    let rules = spec.rules.as_deref().unwrap_or(&everything);
    let rules = rules.iter().enumerate().filter_map(|(i, rule)| check.gateway_grpc_rule(&rule_at(i), rule));
    let rules = rules.collect();
    check.gateway_route(spec, creation, RouteProtocol::Grpc, rules)
}

/// What a route wants to be attached to, as far as that can be read.
pub(super) fn parents(node: &Node) -> Arc<[ParentRef]> {
    let listed = node.get("spec").and_then(|spec| spec.get("parentRefs")).map(|list| &list.value);
    let Some(Value::List(list)) = listed else { return Arc::default() };
    list.iter().filter_map(|node| read(node).ok()).map(|parent| parent_ref(&parent.value)).collect()
}

fn parent_ref(spec: &ParentReferenceSpec) -> ParentRef {
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    ParentRef {
        group: text(&spec.group),
        kind: text(&spec.kind),
        namespace: text(&spec.namespace),
        name: spec.name.as_str().into(),
        section_name: text(&spec.section_name),
        port: spec.port,
    }
}

fn rule_at(index: usize) -> FieldPath {
    FieldPath::of("spec.rules").index(index)
}

/// What a rule has beside its matches, filters and backends.
struct Timing {
    timeout: Option<Duration>,
    retries: Retries,
}

impl Check<'_> {
    fn gateway_route<R>(
        &mut self,
        spec: &GatewayRouteSpec<R>,
        creation: i64,
        protocol: RouteProtocol,
        rules: Vec<RouteRule>,
    ) -> Option<Content> {
        let at = FieldPath::of("spec");
        self.unsupported(&at, "useDefaultGateways", &spec.use_default_gateways);
        let parents: Arc<[_]> = spec.parent_refs.iter().map(parent_ref).collect();
        for (index, parent) in spec.parent_refs.iter().enumerate() {
            let at = at.key("parentRefs").index(index);
            if parent.name.is_empty() {
                self.problems.error(&at.key("name"), "is missing");
            }
            if let Some(port) = parent.port {
                self.port(&at.key("port"), port);
            }
        }
        if !spec.hostnames.is_empty() && parents.iter().any(ParentRef::is_service) {
            let message = "has no effect at a Service: its address decides, whatever the Host header says";
            self.problems.warning(&at.key("hostnames"), message);
        }
        let source = self.reference.clone();
        Some(Content::GatewayRoute(Arc::new(GatewayRoute { source, creation, protocol, parents, rules })))
    }

    fn gateway_http_rule(&mut self, at: &FieldPath, spec: &GatewayHttpRuleSpec) -> Option<RouteRule> {
        self.unsupported(at, "sessionPersistence", &spec.session_persistence);
        let matches_at = at.key("matches");
        let listed = spec.matches.iter().enumerate();
        let mut matches: Vec<_> =
            listed.filter_map(|(i, block)| self.gateway_http_match(&matches_at.index(i), block)).collect();
        if spec.matches.is_empty() {
            matches.extend(self.gateway_http_match(&matches_at, &Default::default()));
        }
        let (timeout, retries) = self.gateway_timing(at, spec.timeouts.as_ref(), spec.retry.as_ref());
        let timing = Timing { timeout, retries };
        self.gateway_rule(at, &spec.name, matches, &spec.filters, &spec.backend_refs, timing)
    }

    fn gateway_grpc_rule(&mut self, at: &FieldPath, spec: &GatewayGrpcRuleSpec) -> Option<RouteRule> {
        self.unsupported(at, "sessionPersistence", &spec.session_persistence);
        let matches_at = at.key("matches");
        let listed = spec.matches.iter().enumerate();
        let mut matches: Vec<_> =
            listed.filter_map(|(i, block)| self.gateway_grpc_match(&matches_at.index(i), block)).collect();
        if spec.matches.is_empty() {
            matches.extend(self.gateway_grpc_match(&matches_at, &Default::default()));
        }
        self.filters_of_grpc(at, &spec.filters);
        for (index, backend) in spec.backend_refs.iter().enumerate() {
            self.filters_of_grpc(&at.key("backendRefs").index(index), &backend.filters);
        }
        let timing = Timing { timeout: None, retries: Retries::default() };
        self.gateway_rule(at, &spec.name, matches, &spec.filters, &spec.backend_refs, timing)
    }

    fn filters_of_grpc(&mut self, at: &FieldPath, filters: &[RouteFilterSpec]) {
        for (index, filter) in filters.iter().enumerate() {
            if matches!(filter.kind.as_str(), "RequestRedirect" | "URLRewrite" | "CORS") {
                let at = at.key("filters").index(index).key("type");
                self.problems.error(&at, format!("{} is no filter of a GRPCRoute", filter.kind));
            }
        }
    }

    fn gateway_rule(
        &mut self,
        at: &FieldPath,
        name: &Option<String>,
        matches: Vec<RankedMatch>,
        filters: &[RouteFilterSpec],
        backends: &[GatewayBackendSpec],
        timing: Timing,
    ) -> Option<RouteRule> {
        let filters = self.filters_for(&at.key("filters"), filters, &matches);
        let backends_at = at.key("backendRefs");
        let backends = backends.iter().enumerate();
        let backends: Vec<_> = backends
            .filter_map(|(i, spec)| self.gateway_weighted(&backends_at.index(i), spec, &matches, &filters))
            .collect();
        let Filters { headers, mirrors, cors, rewrite, redirect } = filters;
        let action = match (redirect, rewrite) {
            (Some(_), Some((rewrite_at, _))) => {
                self.problems.error(&rewrite_at, "cannot stand beside a RequestRedirect; keep one");
                return None;
            }
            (Some(_), None) if !backends.is_empty() => {
                self.problems.error(&backends_at, "cannot stand beside a RequestRedirect, which answers by itself");
                return None;
            }
            (Some((_, redirect)), None) => RouteAction::Redirect(redirect),
            (None, rewrite) => {
                let rewrite = rewrite.map_or_else(RewriteTo::default, |(_, rewrite)| rewrite);
                RouteAction::Forward { rewrite, backends }
            }
        };
        let name = name.as_deref().filter(|name| !name.is_empty()).map(Arc::from);
        let Timing { timeout, retries } = timing;
        Some(RouteRule { name, matches, action, headers, mirrors, cors, timeout, retries })
    }

    /// The filters of a rule or a backend, for requests that fulfil one of the matches.
    fn filters_for(&mut self, at: &FieldPath, specs: &[RouteFilterSpec], matches: &[RankedMatch]) -> Filters {
        let filters = self.gateway_filters(at, specs);
        let one_prefix = matches!(matches, [only] if super::gateway_match::is_prefix(&only.condition));
        if filters.replace_prefix() && !one_prefix {
            let message = "uses ReplacePrefixMatch, which needs exactly one match, of a path of type PathPrefix";
            self.problems.error(at, message);
        }
        filters
    }

    /// What the filters of one backend do beside edits of headers; `of_rule` are those of its rule.
    fn own_filters(&mut self, filters: Filters, of_rule: &Filters) -> OwnFilters {
        let Filters { mirrors, cors, rewrite, redirect, .. } = filters;
        if let (Some((at, _)), Some(_)) = (&rewrite, &redirect) {
            self.problems.error(at, "cannot stand beside a RequestRedirect; keep one");
        } else if let (Some((at, _)), Some(_)) = (&rewrite, &of_rule.rewrite) {
            self.problems.error(at, "is there for the whole rule too; keep one");
        }
        let (rewrite, redirect) = (rewrite.map(|(_, rewrite)| rewrite), redirect.map(|(_, redirect)| redirect));
        OwnFilters { rewrite, redirect, mirrors, cors }
    }

    fn gateway_weighted(
        &mut self,
        at: &FieldPath,
        spec: &GatewayBackendSpec,
        matches: &[RankedMatch],
        of_rule: &Filters,
    ) -> Option<WeightedBackend> {
        let weight = spec.weight.unwrap_or(1);
        if !(0..=MAX_WEIGHT).contains(&weight) {
            self.problems.error(&at.key("weight"), format!("{weight} is not a weight; use 0 to {MAX_WEIGHT}"));
        }
        let mut filters = self.filters_for(&at.key("filters"), &spec.filters, matches);
        let headers = std::mem::take(&mut filters.headers);
        let own = self.own_filters(filters, of_rule);
        let (group, kind, namespace) = (spec.group.clone(), spec.kind.clone(), spec.namespace.clone());
        let object = BackendObjectSpec { group, kind, namespace, name: spec.name.clone(), port: spec.port };
        let backend = self.backend(at, &object)?;
        Some(WeightedBackend { backend, weight: weight.max(0).unsigned_abs(), headers, own })
    }

    /// A backend of a rule or a mirror.
    pub(super) fn backend(&mut self, at: &FieldPath, spec: &BackendObjectSpec) -> Option<Backend> {
        if spec.name.is_empty() {
            self.problems.error(&at.key("name"), "is missing; name a Service");
            return None;
        }
        let (group, kind) = (spec.group.as_deref().unwrap_or(""), spec.kind.as_deref().unwrap_or("Service"));
        let is_service = matches!(group, "" | "core") && kind == "Service";
        let port = match spec.port {
            None if is_service => {
                self.problems.error(&at.key("port"), "is missing; a Service is named with a port");
                return None;
            }
            port => port.and_then(|port| self.port(&at.key("port"), port)),
        };
        let dot = if group.is_empty() { "" } else { "." };
        Some(Backend {
            at: at.clone(),
            other_kind: (!is_service).then(|| format!("{kind}{dot}{group}").into()),
            namespace: spec.namespace.as_deref().map_or_else(|| self.namespace().clone(), Arc::from),
            name: spec.name.as_str().into(),
            port,
        })
    }
}
