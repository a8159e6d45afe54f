//! `RouteConfiguration`, `VirtualHost` and `Route`.

use std::sync::Arc;

use xds::route::route::Action as Kind;
use xds::route::virtual_host::TlsRequirementType;
use xds::route::{Route as XdsRoute, RouteConfiguration, VirtualHost as XdsHost};

use super::forward::{self, HostDefaults};
use super::header_edits::{Edits, Lists, together};
use super::per_filter::{Filters, PerFilter};
use super::reason::{Reason, Under, none_set};
use super::{cors, direct_response, each, field, metadata, mirror, redirect, retry, rewrite, route_match, same_name};
use crate::http::decide::{Action, Policy, Route};
use crate::http::mirror::Mirror;
use crate::http::route_table::{RouteTable, VirtualHost};

/// Most routes of a table: each costs memory, and a request walks those of its virtual host.
const MAX_ROUTES: usize = 100_000;
/// Largest body of a direct response, unless the table says otherwise (Envoy's default).
const MAX_DIRECT_BODY: u32 = 4096;

/// What the levels above a route say.
struct Context<'a> {
    filters: Filters,
    max_direct_body: u32,
    specific_wins: bool,
    table_edits: &'a Edits,
    table_filters: &'a PerFilter,
    table_mirrors: &'a [Mirror],
}

/// Compiles a table for a connection manager with these filters.
pub(super) fn compile(name: &str, config: &RouteConfiguration, filters: Filters) -> Result<RouteTable, Reason> {
    same_name(name, &config.name)?;
    refuse_unknown(config)?;
    let routes: usize = config.virtual_hosts.iter().map(|host| host.routes.len()).sum();
    if routes > MAX_ROUTES {
        return Err(Reason::at("virtual_hosts", format!("{routes} routes; at most {MAX_ROUTES} are taken")));
    }
    let edits = Edits::compile(&Lists {
        request_add: &config.request_headers_to_add,
        request_remove: &config.request_headers_to_remove,
        response_add: &config.response_headers_to_add,
        response_remove: &config.response_headers_to_remove,
    })?;
    let context = Context {
        filters,
        max_direct_body: field::number(config.max_direct_response_body_size_bytes.as_ref(), MAX_DIRECT_BODY),
        specific_wins: config.most_specific_header_mutations_wins,
        table_edits: &edits,
        table_filters: &PerFilter::compile(&config.typed_per_filter_config, filters)?,
        table_mirrors: &each("request_mirror_policies", &config.request_mirror_policies, mirror::compile)?,
    };
    let hosts = each("virtual_hosts", &config.virtual_hosts, |host| virtual_host(host, &context))?;
    let provenance = metadata::provenance(config.metadata.as_ref());
    Ok(RouteTable::new(name.into(), provenance, hosts, config.ignore_port_in_host_matching)?)
}

fn refuse_unknown(config: &RouteConfiguration) -> Result<(), Reason> {
    none_set(&[
        ("vhds", config.vhds.is_some()),
        ("internal_only_headers", !config.internal_only_headers.is_empty()),
        ("cluster_specifier_plugins", !config.cluster_specifier_plugins.is_empty()),
        ("vhost_header", !config.vhost_header.is_empty()),
        ("ignore_path_parameters_in_path_matching", config.ignore_path_parameters_in_path_matching),
        ("route_specifiers", !config.route_specifiers.is_empty()),
    ])
}

/// What a virtual host says to all of its routes.
struct Host<'a> {
    name: Arc<str>,
    edits: Edits,
    filters: PerFilter,
    mirrors: Vec<Mirror>,
    defaults: HostDefaults,
    context: &'a Context<'a>,
}

#[allow(deprecated)]
fn virtual_host(host: &XdsHost, context: &Context<'_>) -> Result<VirtualHost, Reason> {
    none_set(&[
        ("matcher", host.matcher.is_some()),
        ("require_tls", host.require_tls != TlsRequirementType::None as i32),
        ("retry_policy_typed_config", host.retry_policy_typed_config.is_some()),
        ("hedge_policy", host.hedge_policy.as_ref().is_some_and(forward::hedges)),
        ("route_specifiers", !host.route_specifiers.is_empty()),
    ])?;
    if host.domains.is_empty() {
        return Err(Reason::at("domains", "is empty"));
    }
    let mut filters = PerFilter::compile(&host.typed_per_filter_config, context.filters)?;
    if let (None, Some(policy), true) = (&filters.cors, &host.cors, context.filters.cors) {
        filters.cors = Some(Some(cors::compile_field(policy).under("cors")?));
    }
    let levels = Host {
        name: host.name.as_str().into(),
        edits: Edits::compile(&Lists {
            request_add: &host.request_headers_to_add,
            request_remove: &host.request_headers_to_remove,
            response_add: &host.response_headers_to_add,
            response_remove: &host.response_headers_to_remove,
        })?,
        filters: filters.or(context.table_filters),
        mirrors: each("request_mirror_policies", &host.request_mirror_policies, mirror::compile)?,
        defaults: HostDefaults {
            retry: host.retry_policy.as_ref().map(retry::compile).transpose().under("retry_policy")?.flatten(),
            attempt_count_in_request: host.include_request_attempt_count,
            attempt_count_in_response: host.include_attempt_count_in_response,
        },
        context,
    };
    Ok(VirtualHost {
        name: levels.name.clone(),
        domains: host.domains.iter().map(|domain| domain.as_str().into()).collect(),
        routes: each("routes", &host.routes, |config| route(config, &levels).map(Arc::new))?,
    })
}

fn route(config: &XdsRoute, host: &Host<'_>) -> Result<Route, Reason> {
    none_set(&[("route_specifiers", !config.route_specifiers.is_empty())])?;
    let condition = config.r#match.as_ref().ok_or_else(|| Reason::at("match", "is missing"))?;
    let edits = Edits::compile(&Lists {
        request_add: &config.request_headers_to_add,
        request_remove: &config.request_headers_to_remove,
        response_add: &config.response_headers_to_add,
        response_remove: &config.response_headers_to_remove,
    })?;
    let levels = [&edits, &host.edits, host.context.table_edits];
    let (action, edited_by_targets) = action(config, host, &levels)?;
    let policies = policies(config, host, if edited_by_targets { &[] } else { &levels })?;
    Ok(Route {
        name: config.name.as_str().into(),
        virtual_host: host.name.clone(),
        provenance: metadata::provenance(config.metadata.as_ref()),
        matcher: route_match::compile(condition).under("match")?,
        policies,
        action,
    })
}

/// The policies of a route in their order, with the header edits of these levels.
fn policies(config: &XdsRoute, host: &Host<'_>, levels: &[&Edits]) -> Result<Vec<Policy>, Reason> {
    let filters = filters(config, host)?;
    let mut policies = Vec::new();
    // One that is off stands in the way of the connection manager's own.
    policies.extend(filters.fault.map(|fault| Policy::Fault(fault.unwrap_or_default())));
    policies.extend(filters.cors.flatten().map(Policy::Cors));
    let mut order = levels.to_vec();
    if host.context.specific_wins {
        order.reverse();
    }
    let (request, response) = together(&order);
    let forward = match &config.action {
        Some(Kind::Route(action)) => Some(action),
        _ => None,
    };
    policies.extend(request.filter(|_| forward.is_some()).map(Policy::RequestHeaders));
    policies.extend(response.map(Policy::ResponseHeaders));
    if let Some(action) = forward {
        policies.extend(rewrite::compile(action).under("route")?.map(Policy::Rewrite));
        policies.extend(mirrors(action, host).under("route")?.into_iter().map(Policy::Mirror));
    }
    Ok(policies)
}

/// What holds for the filters: the route's word, else the virtual host's, else the table's.
#[allow(deprecated)]
fn filters(config: &XdsRoute, host: &Host<'_>) -> Result<PerFilter, Reason> {
    let mut own = PerFilter::compile(&config.typed_per_filter_config, host.context.filters)?;
    if let (None, Some(Kind::Route(action)), true) = (&own.cors, &config.action, host.context.filters.cors)
        && let Some(policy) = &action.cors
    {
        own.cors = Some(Some(cors::compile_field(policy).under("route.cors")?));
    }
    Ok(own.or(&host.filters))
}

fn action(config: &XdsRoute, host: &Host<'_>, levels: &[&Edits]) -> Result<(Action, bool), Reason> {
    match &config.action {
        Some(Kind::Route(action)) => {
            let (forward, edited) =
                forward::compile(action, &host.defaults, levels, host.context.specific_wins).under("route")?;
            Ok((Action::Forward(forward), edited))
        }
        Some(Kind::Redirect(action)) => Ok((Action::Redirect(redirect::compile(action).under("redirect")?), false)),
        Some(Kind::DirectResponse(action)) => {
            let answer = direct_response::compile(action, host.context.max_direct_body).under("direct_response")?;
            Ok((Action::DirectResponse(answer), false))
        }
        Some(Kind::FilterAction(_)) => Err(Reason::unsupported("filter_action")),
        Some(Kind::NonForwardingAction(_)) => Err(Reason::unsupported("non_forwarding_action")),
        None => Err(Reason::new("has no action")),
    }
}

/// The most specific level that mirrors at all decides about mirrors.
fn mirrors(action: &xds::route::RouteAction, host: &Host<'_>) -> Result<Vec<Mirror>, Reason> {
    let own = each("request_mirror_policies", &action.request_mirror_policies, mirror::compile)?;
    let levels = [own.as_slice(), host.mirrors.as_slice(), host.context.table_mirrors];
    Ok(levels.into_iter().find(|mirrors| !mirrors.is_empty()).unwrap_or_default().to_vec())
}
