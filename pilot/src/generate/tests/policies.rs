//! What each policy of a rule becomes.

#![allow(deprecated)]

use super::*;
use xds::cors::CorsPolicy;
use xds::fault::{HttpFault, fault_abort::ErrorType};
use xds::fault_common::fault_delay::FaultDelaySecifier;
use xds::route::redirect_action::{PathRewriteSpecifier, SchemeRewriteSpecifier};
use xds::route::route_action::HostRewriteSpecifier;
use xds::route::weighted_cluster::cluster_weight;

/// The only route of a catalog rule with these fields beside its destination.
fn route(fields: &str) -> Route {
    let world =
        shop_with(&virtual_service("catalog", &format!("\n  - route: [{{destination: {{host: catalog}}}}]\n{fields}")));
    routes(&world, &frontend(), "catalog.shop.svc.cluster.local:80").virtual_hosts[0].routes[0].clone()
}

/// The only route of a catalog rule that is written in full.
fn rule(text: &str) -> Route {
    let world = shop_with(&virtual_service("catalog", text));
    routes(&world, &frontend(), "catalog.shop.svc.cluster.local:80").virtual_hosts[0].routes[0].clone()
}

#[test]
fn no_timeout_is_no_limit() {
    let action = action_of(&route(""));
    assert_eq!(action.timeout.unwrap().seconds, 0, "Envoy's own default would be 15 s");
    assert_eq!(action.max_grpc_timeout.unwrap().seconds, 0);
}

#[test]
fn timeout() {
    let action = action_of(&route("    timeout: 1.5s\n"));
    let limit = action.timeout.unwrap();
    assert_eq!((limit.seconds, limit.nanos), (1, 500_000_000));
    assert_eq!(action.max_grpc_timeout, Some(limit));
}

#[test]
fn retries_by_default() {
    let policy = action_of(&route("")).retry_policy.unwrap();
    assert_eq!(policy.retry_on, "connect-failure,refused-stream,unavailable,cancelled");
    assert_eq!(policy.num_retries.unwrap().value, 2);
    assert_eq!(policy.retry_host_predicate[0].name, "envoy.retry_host_predicates.previous_hosts");
    assert_eq!(policy.host_selection_retry_max_attempts, 5);
    assert_eq!((policy.per_try_timeout, policy.retry_back_off), (None, None));
}

#[test]
fn retries_as_written() {
    let text = "    retries: {attempts: 3, perTryTimeout: 2s, retryOn: \"503,reset\", retryIgnorePreviousHosts: false, backoff: 100ms}\n";
    let policy = action_of(&route(text)).retry_policy.unwrap();
    assert_eq!(policy.retry_on, "reset,retriable-status-codes");
    assert_eq!(policy.retriable_status_codes, [503]);
    assert_eq!(policy.num_retries.unwrap().value, 3);
    assert_eq!(policy.per_try_timeout.unwrap().seconds, 2);
    assert!(policy.retry_host_predicate.is_empty());
    assert_eq!(policy.retry_back_off.unwrap().base_interval.unwrap().nanos, 100_000_000);
}

#[test]
fn no_attempts_no_retries() {
    assert_eq!(action_of(&route("    retries: {attempts: 0}\n")).retry_policy, None);
}

#[test]
fn faults_are_exact_to_a_millionth() {
    let text = "    fault:\n      delay: {fixedDelay: 2s, percentage: {value: 30}}\n      abort: {httpStatus: 503, percentage: {value: 0.25}}\n";
    let config: HttpFault = xds::unpack(&route(text).typed_per_filter_config["envoy.filters.http.fault"]).unwrap();
    let delay = config.delay.unwrap();
    assert_eq!(share(&delay.percentage), (300_000, 2));
    let Some(FaultDelaySecifier::FixedDelay(fixed)) = delay.fault_delay_secifier else { panic!("a fixed delay") };
    assert_eq!(fixed.seconds, 2);
    let abort = config.abort.unwrap();
    assert_eq!(share(&abort.percentage), (2_500, 2));
    assert_eq!(abort.error_type, Some(ErrorType::HttpStatus(503)));
}

#[test]
fn a_fault_for_nobody_is_left_out() {
    let text = "    fault: {abort: {grpcStatus: UNAVAILABLE}}\n";
    assert!(route(text).typed_per_filter_config.is_empty());
}

#[test]
fn header_edits() {
    let text = "    headers:\n      request: {set: {x-set: 100%%}, add: {x-add: b}, remove: [x-gone]}\n      response: {set: {x-res: c}}\n";
    let route = route(text);
    let edits: Vec<_> = route
        .request_headers_to_add
        .iter()
        .map(|edit| {
            let header = edit.header.as_ref().unwrap();
            (header.key.as_str(), header.value.as_str(), edit.append_action)
        })
        .collect();
    assert_eq!(edits, [("x-set", "100%%", 2), ("x-add", "b", 0)], "2 overwrites, 0 appends");
    assert_eq!(route.request_headers_to_remove, ["x-gone"]);
    assert_eq!(route.response_headers_to_add[0].header.as_ref().unwrap().key, "x-res");
}

#[test]
fn header_edits_of_one_destination_stay_with_it() {
    let route =
        rule("\n  - route: [{destination: {host: catalog}, headers: {request: {set: {x-one: a, host: inner}}}}]\n");
    let Some(ClusterSpecifier::WeightedClusters(weighted)) = action_of(&route).cluster_specifier else {
        panic!("a destination of its own")
    };
    let [only] = weighted.clusters.as_slice() else { panic!("one destination") };
    assert_eq!(only.weight.unwrap().value, 1);
    assert_eq!(only.request_headers_to_add[0].header.as_ref().unwrap().key, "x-one");
    assert_eq!(
        only.host_rewrite_specifier,
        Some(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral("inner".into()))
    );
    assert!(route.request_headers_to_add.is_empty());
}

#[test]
fn rewrites() {
    let action = action_of(&route("    rewrite: {uri: /v2, authority: other.example.com}\n"));
    assert_eq!(action.prefix_rewrite, "/v2");
    assert_eq!(
        action.host_rewrite_specifier,
        Some(HostRewriteSpecifier::HostRewriteLiteral("other.example.com".into()))
    );

    let action = action_of(&route("    rewrite: {uriRegexRewrite: {match: \"^/a/(.*)$\", rewrite: '/b/\\1'}}\n"));
    let rewrite = action.regex_rewrite.unwrap();
    assert_eq!((rewrite.pattern.unwrap().regex.as_str(), rewrite.substitution.as_str()), ("^/a/(.*)$", "/b/\\1"));
}

#[test]
fn redirects() {
    let Some(Action::Redirect(redirect)) =
        rule("\n  - redirect: {uri: /new, authority: b.example.com, scheme: https, port: 443, redirectCode: 308}\n")
            .action
    else {
        panic!("a redirect")
    };
    assert_eq!(redirect.host_redirect, "b.example.com");
    assert_eq!(redirect.port_redirect, 0, "the usual port is left out");
    assert_eq!(redirect.response_code, 4, "308");
    assert_eq!(redirect.scheme_rewrite_specifier, Some(SchemeRewriteSpecifier::SchemeRedirect("https".into())));
    assert_eq!(redirect.path_rewrite_specifier, Some(PathRewriteSpecifier::PathRedirect("/new".into())));

    let Some(Action::Redirect(redirect)) = rule("\n  - redirect: {uri: /x, port: 8443}\n").action else {
        panic!("a redirect")
    };
    assert_eq!((redirect.port_redirect, redirect.response_code), (8443, 0));
}

#[test]
fn fixed_answers() {
    let Some(Action::DirectResponse(response)) =
        rule("\n  - directResponse: {status: 418, body: {string: short and stout}}\n").action
    else {
        panic!("a fixed answer")
    };
    assert_eq!(response.status, 418);
    let Some(Specifier::InlineString(body)) = response.body.unwrap().specifier else { panic!("a text") };
    assert_eq!(body, "short and stout");
}

#[test]
fn mirrors() {
    let action = action_of(&route(
        "    mirrors: [{destination: {host: catalog, subset: v2}, percentage: {value: 5}}, {destination: {host: legacy}, percentage: {value: 0}}]\n",
    ));
    let [mirror] = action.request_mirror_policies.as_slice() else { panic!("one mirror") };
    assert_eq!(mirror.cluster, "outbound|80|v2|catalog.shop.svc.cluster.local");
    assert_eq!(share(&mirror.runtime_fraction.as_ref().unwrap().default_value), (50_000, 2));
    assert!(mirror.disable_shadow_host_suffix_append);
}

#[test]
fn cors() {
    let text = "    corsPolicy: {allowOrigins: [{exact: https://a.example.com}], allowMethods: [GET, PUT], allowHeaders: [x-a], maxAge: 24h, allowCredentials: true}\n";
    let policy: CorsPolicy = xds::unpack(&route(text).typed_per_filter_config["envoy.filters.http.cors"]).unwrap();
    assert_eq!(policy.allow_origin_string_match.len(), 1);
    assert_eq!((policy.allow_methods.as_str(), policy.allow_headers.as_str()), ("GET,PUT", "x-a"));
    assert_eq!(policy.max_age, "86400");
    assert!(policy.allow_credentials.unwrap().value);
    assert!(policy.forward_not_matching_preflights.unwrap().value);
}

fn share(percent: &Option<xds::typ::FractionalPercent>) -> (u32, i32) {
    let percent = percent.as_ref().unwrap();
    (percent.numerator, percent.denominator)
}
