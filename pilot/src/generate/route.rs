//! Route configurations: one for each HTTP service port, one for each port of host-only destinations.

use std::collections::HashMap;

use xds::core::{DataSource, data_source::Specifier};
use xds::google::Any;
use xds::route::route::Action as RouteActionKind;
use xds::route::route_action::ClusterSpecifier;
use xds::route::{DirectResponseAction, Route, RouteAction, RouteConfiguration, VirtualHost};

use super::names::{ClusterName, PASSTHROUGH_CLUSTER, RouteName};
use super::view::View;
use super::wrappers::{boolean, uint32};
use super::{
    cors, direct_response, fault, headers, matching, mirror, provenance, redirect, retry, rewrite, timeout, weights,
};
use crate::model::{
    Action, HttpMatch, HttpRule, ObjectRef, Protocol, Retries, Service, ServiceKind, WeightedDestination,
};

/// The status for a host that no registry knows, where unknown destinations are refused.
const BLOCKED_STATUS: u32 = 502;

/// The route configuration with this name; `None` when there is no such HTTP port.
pub(super) fn generate(view: &View<'_>, name: &RouteName) -> Option<RouteConfiguration> {
    match name {
        RouteName::Service(host, port) => {
            let service = view.service(host).filter(|service| takes_requests(service, *port))?;
            let only = virtual_host(view, service, *port, name.to_string(), vec!["*".into()]);
            Some(configuration(name, vec![only]))
        }
        RouteName::HostOnly(port) => {
            let services = view.host_only(*port);
            let mut hosts: Vec<VirtualHost> = services
                .into_iter()
                .filter(|service| takes_requests(service, *port))
                .map(|service| {
                    let name = format!("{}:{port}", service.host);
                    virtual_host(view, service, *port, name, names_of(view, service))
                })
                .collect();
            if hosts.is_empty() {
                return None;
            }
            hosts.push(anything_else(view.mesh().allow_any));
            Some(RouteConfiguration { ignore_port_in_host_matching: true, ..configuration(name, hosts) })
        }
    }
}

/// What clients call a host-only destination: its host, and where it is a Service the shorter names of that too.
fn names_of(view: &View<'_>, service: &Service) -> Vec<String> {
    let mut names = vec![service.host.to_string()];
    if matches!(service.kind, ServiceKind::ExternalName(_)) {
        let (name, namespace) = (&service.name, &service.namespace);
        names.extend([format!("{name}.{namespace}.svc"), format!("{name}.{namespace}")]);
        names.extend((view.namespace() == &**namespace).then(|| name.to_string()));
    }
    names
}

/// Whether requests at a service port can be told apart.
pub(super) fn takes_requests(service: &Service, port: u16) -> bool {
    service.port(port).is_some_and(|port| port.protocol.is_http() || port.protocol == Protocol::Unknown)
}

/// A route that sends everything to one cluster, without limit of time and without retries.
pub(super) fn straight_to(cluster: String, name: &str) -> Route {
    let mut action =
        RouteAction { cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)), ..RouteAction::default() };
    timeout::apply(None, &mut action);
    Route {
        name: name.into(),
        r#match: Some(matching::everything()),
        action: Some(RouteActionKind::Route(action)),
        ..Route::default()
    }
}

/// Each route says which object it came from; the whole says that of the first.
fn configuration(name: &RouteName, virtual_hosts: Vec<VirtualHost>) -> RouteConfiguration {
    let first = virtual_hosts.first().and_then(|host| host.routes.first());
    RouteConfiguration {
        name: name.to_string(),
        metadata: first.and_then(|route| route.metadata.clone()),
        virtual_hosts,
        validate_clusters: boolean(false),
        max_direct_response_body_size_bytes: uint32(direct_response::MAX_BODY_BYTES),
        ..RouteConfiguration::default()
    }
}

fn virtual_host(view: &View<'_>, service: &Service, port: u16, name: String, domains: Vec<String>) -> VirtualHost {
    let mut routes = routes_of_rules(view, service, port);
    if routes.is_empty() {
        routes.push(default_route(view, service, port));
    }
    VirtualHost { name, domains, routes, include_request_attempt_count: true, ..VirtualHost::default() }
}

/// The routes that the host's VirtualService gives this client: each match block is one, in order, up to the first
/// that takes everything.
fn routes_of_rules(view: &View<'_>, service: &Service, port: u16) -> Vec<Route> {
    let mut routes = Vec::new();
    let Some(virtual_service) = view.virtual_service(&service.host) else { return routes };
    view.shaped_by(&virtual_service.source);
    let everything = HttpMatch::default();
    for rule in &virtual_service.http {
        let blocks = if rule.matches.is_empty() { std::slice::from_ref(&everything) } else { &rule.matches };
        for block in blocks.iter().filter(|block| view.gets(block, port)) {
            let source = rule.source.as_ref().unwrap_or(&virtual_service.source);
            view.shaped_by(source);
            routes.push(route(view, rule, block, port, source));
            if matching::takes_everything(block) {
                return routes;
            }
        }
    }
    routes
}

fn default_route(view: &View<'_>, service: &Service, port: u16) -> Route {
    view.shaped_by(&service.source);
    let cluster = ClusterName::outbound(port, &service.host).to_string();
    let mut route = Route { metadata: provenance::of(&service.source), ..straight_to(cluster, "default") };
    if let Some(RouteActionKind::Route(action)) = &mut route.action {
        retry::apply(&Retries::default(), action);
    }
    route
}

fn route(view: &View<'_>, rule: &HttpRule, block: &HttpMatch, port: u16, source: &ObjectRef) -> Route {
    let mut route = Route {
        name: route_name(rule, block),
        r#match: Some(matching::route_match(block, port)),
        metadata: provenance::of(source),
        typed_per_filter_config: per_filter(rule),
        action: Some(match &rule.action {
            Action::Route(destinations) => RouteActionKind::Route(forward(view, rule, destinations, port)),
            Action::Redirect(target) => RouteActionKind::Redirect(redirect::action(target, port)),
            Action::DirectResponse(response) => RouteActionKind::DirectResponse(direct_response::action(response)),
        }),
        ..Route::default()
    };
    headers::apply(&rule.headers, &mut route);
    route
}

fn forward(view: &View<'_>, rule: &HttpRule, destinations: &[WeightedDestination], port: u16) -> RouteAction {
    let mut action = RouteAction::default();
    let authority = rewrite::authority(rule.rewrite.as_ref(), &rule.headers);
    timeout::apply(rule.timeout, &mut action);
    retry::apply(&rule.retries, &mut action);
    rewrite::apply(rule.rewrite.as_ref(), &mut action);
    rewrite::apply_authority(authority, &mut action);
    mirror::apply(view, &rule.mirrors, port, &mut action);
    weights::apply(view, destinations, port, authority.is_some(), &mut action);
    action
}

fn per_filter(rule: &HttpRule) -> HashMap<String, Any> {
    let fault = rule.fault.as_ref().and_then(fault::config).map(|config| (fault::FILTER.to_owned(), config));
    let cors = rule.cors.as_ref().map(|policy| (cors::FILTER.to_owned(), cors::config(policy)));
    fault.into_iter().chain(cors).collect()
}

/// `<rule>.<match>`, as far as they have names.
fn route_name(rule: &HttpRule, block: &HttpMatch) -> String {
    let names = [rule.name.as_deref(), block.name.as_deref()];
    names.into_iter().flatten().collect::<Vec<_>>().join(".")
}

/// What happens to hosts that no registry knows.
fn anything_else(allow: bool) -> VirtualHost {
    let (name, route) = if allow {
        ("allow_any", straight_to(PASSTHROUGH_CLUSTER.into(), "allow_any"))
    } else {
        ("block_all", refusal())
    };
    VirtualHost { name: name.into(), domains: vec!["*".into()], routes: vec![route], ..VirtualHost::default() }
}

fn refusal() -> Route {
    let reason = "no service of the mesh has this host name, and unknown destinations are refused";
    let body = DataSource { specifier: Some(Specifier::InlineString(reason.into())), ..DataSource::default() };
    Route {
        name: "block_all".into(),
        r#match: Some(matching::everything()),
        action: Some(RouteActionKind::DirectResponse(DirectResponseAction {
            status: BLOCKED_STATUS,
            body: Some(body),
            body_format: None,
        })),
        ..Route::default()
    }
}
