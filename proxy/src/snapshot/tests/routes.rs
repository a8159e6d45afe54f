//! What becomes of routes, and which of them are refused.

use std::time::Duration as StdDuration;

use http::{HeaderMap, Request, StatusCode};
use xds::core::header_value_option::HeaderAppendAction::{AppendIfExistsOrAdd, OverwriteIfExistsOrAdd};
use xds::fault::{FaultAbort, HttpFault, fault_abort::ErrorType};
use xds::matcher::{RegexMatcher, StringMatcher, string_matcher::MatchPattern};
use xds::route::route::Action as Kind;
use xds::route::route_action::{self, ClusterSpecifier, HostRewriteSpecifier, RequestMirrorPolicy};
use xds::route::route_match::PathSpecifier;
use xds::route::weighted_cluster::ClusterWeight;
use xds::route::{
    DirectResponseAction, HeaderMatcher, RedirectAction, RetryPolicy, Route, RouteAction, RouteConfiguration,
    RouteMatch, VirtualHost, WeightedCluster, header_matcher,
};
use xds::typ::FractionalPercent;

use super::*;
use crate::http::decide::{Action, Forward, Policy, RequestView, Route as Compiled_};
use crate::http::fault::Abort;
use crate::http::retry::RetryOn;

const NAME: &str = "reviews.shop.svc.cluster.local:80";

pub(super) fn prefix(path: &str) -> Option<RouteMatch> {
    Some(RouteMatch { path_specifier: Some(PathSpecifier::Prefix(path.into())), ..RouteMatch::default() })
}

pub(super) fn to(cluster: &str) -> RouteAction {
    RouteAction { cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.into())), ..RouteAction::default() }
}

pub(super) fn table_of(routes: Vec<Route>) -> RouteConfiguration {
    let host = VirtualHost { name: "all".into(), domains: vec!["*".into()], routes, ..VirtualHost::default() };
    RouteConfiguration { name: NAME.into(), virtual_hosts: vec![host], ..RouteConfiguration::default() }
}

pub(super) fn route_of(action: RouteAction) -> Route {
    Route { name: "r".into(), r#match: prefix("/"), action: Some(Kind::Route(action)), ..Route::default() }
}

fn compiled(config: &RouteConfiguration) -> Arc<RouteTable> {
    match compile(ResourceType::Route, NAME, &config.encode_to_vec()) {
        Ok(Compiled::Routes(table)) => table,
        other => panic!("{other:?}"),
    }
}

fn first(config: &RouteConfiguration) -> Arc<Compiled_> {
    compiled(config).hosts()[0].routes[0].clone()
}

fn forward(route: &Compiled_) -> &Forward {
    let Action::Forward(forward) = &route.action else { panic!("{:?}", route.action) };
    forward
}

fn weighted(clusters: Vec<ClusterWeight>) -> RouteAction {
    let choice = WeightedCluster { clusters, ..WeightedCluster::default() };
    RouteAction { cluster_specifier: Some(ClusterSpecifier::WeightedClusters(choice)), ..RouteAction::default() }
}

fn share(name: &str, weight: u32) -> ClusterWeight {
    ClusterWeight { name: name.into(), weight: uint32(weight), ..ClusterWeight::default() }
}

/// A canary as Pilot writes it: a header decides, else 90/10.
#[test]
fn a_canary() {
    let jason = HeaderMatcher {
        name: "end-user".into(),
        header_match_specifier: Some(header_matcher::HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::Exact("jason".into())),
            ignore_case: false,
        })),
        ..HeaderMatcher::default()
    };
    let object = "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews";
    let by_header = Route {
        name: "by-header".into(),
        r#match: Some(RouteMatch { headers: vec![jason], ..prefix("/").unwrap() }),
        metadata: from_object(object),
        ..route_of(to("outbound|80|v2|reviews"))
    };
    let both = route_of(weighted(vec![share("outbound|80|v1|reviews", 90), share("outbound|80|v2|reviews", 10)]));
    let table = compiled(&RouteConfiguration { metadata: from_object(object), ..table_of(vec![by_header, both]) });
    assert_eq!(table.provenance.as_deref(), Some(object));

    let decide = |user: &str| {
        let parts =
            Request::get("/").header("host", "reviews").header("end-user", user).body(()).unwrap().into_parts().0;
        table.decide(&RequestView::of(&parts), 0).unwrap().clone()
    };
    let chosen = decide("jason");
    assert_eq!(
        (&*chosen.name, &*chosen.virtual_host, chosen.provenance.as_deref()),
        ("by-header", "all", Some(object))
    );
    let others = decide("anne");
    let targets = &forward(&others).targets;
    let hits = (0..100).filter(|random| &*targets.pick(*random).cluster == "outbound|80|v1|reviews").count();
    assert_eq!(hits, 90);
    let names: Vec<&str> = table.clusters().map(|name| &**name).collect();
    assert_eq!(names, ["outbound|80|v2|reviews", "outbound|80|v1|reviews", "outbound|80|v2|reviews"]);
}

/// Defaults of Envoy's API where the message says nothing.
#[test]
fn defaults() {
    let route = first(&table_of(vec![route_of(to("c"))]));
    let forward = forward(&route);
    assert_eq!(forward.timeout.route, Some(StdDuration::from_secs(15)));
    assert!(forward.timeout.max_grpc.is_none() && forward.timeout.stream.is_none() && forward.timeout.idle.is_none());
    assert!(forward.retry.is_none() && forward.websocket.is_none());
    assert!(route.policies.is_empty() && route.provenance.is_none());
}

#[test]
fn timeouts() {
    let action = RouteAction { timeout: seconds(0), idle_timeout: seconds(7), max_grpc_timeout: seconds(3), ..to("c") };
    let route = first(&table_of(vec![route_of(action)]));
    let timeout = &forward(&route).timeout;
    assert_eq!((timeout.route, timeout.idle), (None, Some(StdDuration::from_secs(7))));
    assert_eq!(timeout.max_grpc, Some(StdDuration::from_secs(3)));
    assert!(timeout.stream.is_none() && timeout.max_grpc_stream.is_none());
}

/// With `max_stream_duration` Envoy looks at neither of the older limits.
#[test]
fn the_newer_timeouts_take_the_place_of_the_older() {
    let action = RouteAction {
        timeout: seconds(5),
        max_grpc_timeout: seconds(3),
        max_stream_duration: Some(route_action::MaxStreamDuration {
            max_stream_duration: seconds(60),
            grpc_timeout_header_max: seconds(0),
            grpc_timeout_header_offset: None,
        }),
        ..to("c")
    };
    let route = first(&table_of(vec![route_of(action)]));
    let timeout = &forward(&route).timeout;
    assert_eq!((timeout.route, timeout.max_grpc), (None, None));
    assert_eq!((timeout.stream, timeout.max_grpc_stream), (Some(StdDuration::from_secs(60)), Some(StdDuration::ZERO)));
}

/// Istio's default policy, and what a VirtualService may add.
#[test]
fn retries() {
    let policy = RetryPolicy {
        retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes".into(),
        num_retries: uint32(2),
        per_try_timeout: seconds(2),
        retry_host_predicate: vec![route::retry_policy::RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".into(),
            config_type: Some(route::retry_policy::retry_host_predicate::ConfigType::TypedConfig(pack(
                &xds::previous_hosts::PreviousHostsPredicate {},
            ))),
        }],
        host_selection_retry_max_attempts: 5,
        retriable_status_codes: vec![503],
        retry_back_off: Some(route::retry_policy::RetryBackOff { base_interval: millis(10), max_interval: None }),
        ..RetryPolicy::default()
    };
    let route = first(&table_of(vec![route_of(RouteAction { retry_policy: Some(policy), ..to("c") })]));
    let retry = forward(&route).retry.as_ref().unwrap();
    assert!(
        retry.on.any(RetryOn::CONNECT_FAILURE)
            && retry.on.any(RetryOn::RETRIABLE_STATUS_CODES)
            && !retry.on.any(RetryOn::RESET)
    );
    assert_eq!((retry.attempts, retry.avoid_previous_hosts), (2, true));
    assert_eq!(retry.statuses, [StatusCode::SERVICE_UNAVAILABLE]);
    assert_eq!(retry.per_try_timeout, Some(StdDuration::from_secs(2)));
    assert_eq!(
        (retry.back_off.base, retry.back_off.max),
        (StdDuration::from_millis(10), StdDuration::from_millis(100))
    );
}

#[test]
fn retries_of_the_virtual_host_hold_unless_the_route_has_its_own() {
    let policy = |on: &str| Some(RetryPolicy { retry_on: on.into(), ..RetryPolicy::default() });
    let own = route_of(RouteAction { retry_policy: policy("reset"), ..to("c") });
    let none = route_of(RouteAction { retry_policy: policy(""), ..to("c") });
    let mut table = table_of(vec![route_of(to("c")), own, none]);
    table.virtual_hosts[0].retry_policy = policy("5xx");
    table.virtual_hosts[0].include_request_attempt_count = true;
    let table = compiled(&table);
    let on =
        |index: usize| forward(&table.hosts()[0].routes[index]).retry.as_ref().map(|retry| (retry.on, retry.attempts));
    assert_eq!(on(0), Some((RetryOn::FIVE_XX, 1)));
    assert_eq!(on(1), Some((RetryOn::RESET, 1)));
    assert_eq!(on(2), None);
    assert!(forward(&table.hosts()[0].routes[0]).attempt_count_in_request);
}

fn ordered(specific_wins: bool, clusters: RouteAction) -> Vec<String> {
    let say = |text: &str| vec![header("x-order", text, AppendIfExistsOrAdd)];
    let route = Route { request_headers_to_add: say("route"), ..route_of(clusters) };
    let mut table = table_of(vec![route]);
    table.virtual_hosts[0].request_headers_to_add = say("host");
    table.request_headers_to_add = say("table");
    table.most_specific_header_mutations_wins = specific_wins;
    let route = first(&table);
    let mut headers = HeaderMap::new();
    for policy in &route.policies {
        if let Policy::RequestHeaders(edits) = policy {
            edits.apply(&mut headers);
        }
    }
    if let Some(edits) = &forward(&route).targets.pick(0).request_headers {
        edits.apply(&mut headers);
    }
    headers.get_all("x-order").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// Envoy, HTTP header manipulation: weighted cluster, route, virtual host, table; or the other way round.
#[test]
fn header_edits_of_all_levels_in_order() {
    let plain = || to("c");
    let with_own = || {
        let own = ClusterWeight {
            request_headers_to_add: vec![header("x-order", "target", AppendIfExistsOrAdd)],
            ..share("c", 1)
        };
        weighted(vec![own])
    };
    assert_eq!(ordered(false, plain()), ["route", "host", "table"]);
    assert_eq!(ordered(true, plain()), ["table", "host", "route"]);
    assert_eq!(ordered(false, with_own()), ["target", "route", "host", "table"]);
    assert_eq!(ordered(true, with_own()), ["table", "host", "route", "target"]);
}

#[test]
fn responses_are_edited_whoever_writes_them() {
    let direct = Route {
        r#match: prefix("/"),
        response_headers_to_add: vec![header("x-a", "%RESP(x-b)%", OverwriteIfExistsOrAdd)],
        request_headers_to_add: vec![header("x-a", "no upstream sees this", OverwriteIfExistsOrAdd)],
        action: Some(Kind::DirectResponse(DirectResponseAction {
            status: 418,
            body: Some(core::DataSource {
                specifier: Some(core::data_source::Specifier::InlineString("tea".into())),
                ..core::DataSource::default()
            }),
            body_format: None,
        })),
        ..Route::default()
    };
    let route = first(&table_of(vec![direct]));
    assert!(matches!(route.policies.as_slice(), [Policy::ResponseHeaders(_)]), "{:?}", route.policies);
    let Action::DirectResponse(answer) = &route.action else { panic!("{:?}", route.action) };
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (418, &b"tea"[..]));
}

fn fault(status: u32) -> Any {
    pack(&HttpFault {
        abort: Some(FaultAbort {
            percentage: Some(FractionalPercent { numerator: 100, denominator: 0 }),
            error_type: Some(ErrorType::HttpStatus(status)),
            ..FaultAbort::default()
        }),
        ..HttpFault::default()
    })
}

fn cors() -> Any {
    pack(&xds::cors::CorsPolicy { allow_methods: "GET".into(), ..xds::cors::CorsPolicy::default() })
}

fn settings<const N: usize>(settings: [(&str, Any); N]) -> HashMap<String, Any> {
    settings.map(|(name, any)| (name.to_owned(), any)).into()
}

#[test]
fn policies_come_in_their_order() {
    let action = RouteAction {
        prefix_rewrite: "/v2".into(),
        host_rewrite_specifier: Some(HostRewriteSpecifier::HostRewriteLiteral("new:80".into())),
        request_mirror_policies: vec![
            RequestMirrorPolicy {
                cluster: "copy".into(),
                disable_shadow_host_suffix_append: true,
                ..RequestMirrorPolicy::default()
            },
            RequestMirrorPolicy { cluster: "copy2".into(), ..RequestMirrorPolicy::default() },
        ],
        ..to("c")
    };
    let route = Route {
        typed_per_filter_config: settings([
            ("envoy.filters.http.fault", fault(503)),
            ("envoy.filters.http.cors", cors()),
        ]),
        request_headers_to_add: vec![header("a", "b", AppendIfExistsOrAdd)],
        response_headers_to_remove: vec!["c".into()],
        ..route_of(action)
    };
    let route = first(&table_of(vec![route]));
    let [
        Policy::Fault(fault),
        Policy::Cors(_),
        Policy::RequestHeaders(_),
        Policy::ResponseHeaders(_),
        Policy::Rewrite(_),
        Policy::Mirror(one),
        Policy::Mirror(two),
    ] = route.policies.as_slice()
    else {
        panic!("{:?}", route.policies)
    };
    assert_eq!(fault.abort.unwrap().0, Abort::Http(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!((one.mark_authority, two.mark_authority, &*two.cluster), (false, true, "copy2"));
}

#[test]
fn the_most_specific_level_speaks_to_a_filter() {
    let off = pack(&route::FilterConfig { disabled: true, ..route::FilterConfig::default() });
    let wrapped = pack(&route::FilterConfig { config: Some(fault(504)), ..route::FilterConfig::default() });
    const FAULT: &str = "envoy.filters.http.fault";
    let with = |any| Route { typed_per_filter_config: settings([(FAULT, any)]), ..route_of(to("c")) };
    let mut table = table_of(vec![route_of(to("c")), with(fault(501)), with(off), with(wrapped)]);
    table.virtual_hosts[0].typed_per_filter_config = settings([(FAULT, fault(502))]);
    table.typed_per_filter_config = settings([(FAULT, fault(503))]);
    let table = compiled(&table);
    let status = |index: usize| match table.hosts()[0].routes[index].policies.as_slice() {
        [Policy::Fault(fault)] => match fault.abort {
            Some((Abort::Http(status), _)) => Some(status.as_u16()),
            // Off: nothing is done, and what the connection manager would do does not hold.
            None => None,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!([status(0), status(1), status(2), status(3)], [Some(502), Some(501), None, Some(504)]);
}

#[test]
fn an_optional_unknown_filter_may_be_left_out() {
    let optional = pack(&route::FilterConfig { config: Some(unknown()), is_optional: true, disabled: false });
    let route = Route { typed_per_filter_config: settings([("x", optional)]), ..route_of(to("c")) };
    assert!(first(&table_of(vec![route])).policies.is_empty());
}

#[test]
fn redirects() {
    let action = RedirectAction {
        host_redirect: "other".into(),
        port_redirect: 8080,
        response_code: 4,
        ..RedirectAction::default()
    };
    let route = Route { r#match: prefix("/"), action: Some(Kind::Redirect(action)), ..Route::default() };
    let route = first(&table_of(vec![route]));
    let Action::Redirect(redirect) = &route.action else { panic!("{:?}", route.action) };
    assert_eq!(
        (redirect.host.as_deref(), redirect.port, redirect.status),
        (Some("other"), Some(8080), StatusCode::PERMANENT_REDIRECT)
    );
}

#[test]
fn a_target_can_have_its_own_authority() {
    let specifier = route::weighted_cluster::cluster_weight::HostRewriteSpecifier::HostRewriteLiteral("v2.shop".into());
    let route = first(&table_of(vec![route_of(weighted(vec![ClusterWeight {
        host_rewrite_specifier: Some(specifier),
        ..share("c", 1)
    }]))]));
    assert_eq!(forward(&route).targets.pick(0).authority.as_ref().unwrap(), "v2.shop");
}

/// One change of a good table each, and what the refusal says.
#[test]
fn refusals_name_the_field() {
    type Change = Box<dyn Fn(&mut RouteConfiguration)>;
    let action = |change: fn(&mut RouteAction)| -> Change {
        Box::new(move |table| {
            let Some(Kind::Route(action)) = &mut table.virtual_hosts[0].routes[0].action else { unreachable!() };
            change(action);
        })
    };
    let route =
        |change: fn(&mut Route)| -> Change { Box::new(move |table| change(&mut table.virtual_hosts[0].routes[0])) };
    let host = |change: fn(&mut VirtualHost)| -> Change { Box::new(move |table| change(&mut table.virtual_hosts[0])) };
    let table = |change: fn(&mut RouteConfiguration)| -> Change { Box::new(change) };
    const ROUTE: &str = "virtual_hosts[0].routes[0]";
    let cases: Vec<(Change, String)> = vec![
        (table(|table| table.name = "other".into()), "name: \"other\" is not the name under which it was sent".into()),
        (table(|table| table.vhost_header = "x".into()), "vhost_header: is not supported by this proxy".into()),
        (table(|table| table.vhds = Some(route::Vhds::default())), "vhds: is not supported by this proxy".into()),
        (host(|host| host.domains.clear()), "virtual_hosts[0].domains: is empty".into()),
        (host(|host| host.domains.push("*".into())), "virtual_hosts[0].domains[1]: \"*\" is served by".into()),
        (host(|host| host.require_tls = 2), "virtual_hosts[0].require_tls: is not supported".into()),
        (route(|route| route.r#match = None), format!("{ROUTE}.match: is missing")),
        (route(|route| route.action = None), format!("{ROUTE}: has no action")),
        (
            route(|route| {
                route.r#match = Some(RouteMatch {
                    path_specifier: Some(PathSpecifier::SafeRegex(RegexMatcher {
                        regex: "a(".into(),
                        engine_type: None,
                    })),
                    ..RouteMatch::default()
                });
            }),
            format!("{ROUTE}.match.safe_regex.regex: regular expression \"a(\":"),
        ),
        (
            route(|route| {
                let header = HeaderMatcher { name: "not a name".into(), ..HeaderMatcher::default() };
                route.r#match.as_mut().unwrap().headers = vec![header];
            }),
            format!("{ROUTE}.match.headers[0].name: \"not a name\" is no header name"),
        ),
        (
            route(|route| route.request_headers_to_add = vec![header("x", "%PROTOCOL%", AppendIfExistsOrAdd)]),
            format!("{ROUTE}.request_headers_to_add[0].header.value: `%PROTOCOL%` is not supported here"),
        ),
        (
            route(|route| route.request_headers_to_add = vec![header("content-length", "1", AppendIfExistsOrAdd)]),
            format!("{ROUTE}.request_headers_to_add[0].header.key: content-length must not be written"),
        ),
        (
            route(|route| route.response_headers_to_remove = vec![":status".into()]),
            format!("{ROUTE}.response_headers_to_remove[0]: \":status\" is no header name that may be edited"),
        ),
        (
            route(|route| route.typed_per_filter_config = settings([("envoy.filters.http.lua", unknown())])),
            format!(
                "{ROUTE}.typed_per_filter_config[envoy.filters.http.lua]: type example.Unknown is not supported by this proxy"
            ),
        ),
        (
            route(|route| route.typed_per_filter_config = settings([("envoy.filters.http.fault", fault(7))])),
            format!("{ROUTE}.typed_per_filter_config[envoy.filters.http.fault].abort.http_status: 7 is no status"),
        ),
        (action(|action| action.cluster_specifier = None), format!("{ROUTE}.route.cluster: is missing")),
        (
            action(|action| action.cluster_specifier = Some(ClusterSpecifier::ClusterHeader("x".into()))),
            format!("{ROUTE}.route.cluster_header: is not supported by this proxy"),
        ),
        (
            action(|action| action.cluster_specifier = weighted(vec![share("a", 0)]).cluster_specifier),
            format!("{ROUTE}.route.weighted_clusters.clusters: none has a weight above zero"),
        ),
        (action(|action| action.timeout = seconds(-1)), format!("{ROUTE}.route.timeout: -1s 0ns is negative")),
        (
            action(|action| {
                action.retry_policy = Some(RetryPolicy { retry_on: "5xx,at-will".into(), ..RetryPolicy::default() });
            }),
            format!("{ROUTE}.route.retry_policy.retry_on: \"at-will\" is no condition that this proxy knows"),
        ),
        (
            action(|action| {
                action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral("user@host".into()));
            }),
            format!("{ROUTE}.route.host_rewrite_literal: \"user@host\" is no host"),
        ),
        (
            action(|action| action.request_mirror_policies = vec![RequestMirrorPolicy::default()]),
            format!("{ROUTE}.route.request_mirror_policies[0].cluster: is missing"),
        ),
        (
            action(|action| {
                action.upgrade_configs = vec![route_action::UpgradeConfig {
                    upgrade_type: "CONNECT".into(),
                    ..route_action::UpgradeConfig::default()
                }];
            }),
            format!("{ROUTE}.route.upgrade_configs[0].upgrade_type: \"CONNECT\" is not supported"),
        ),
        (
            action(|action| action.metadata_match = metadata_of(&[("envoy.lb", Struct::default())])),
            format!("{ROUTE}.route.metadata_match: is not supported"),
        ),
    ];
    for (change, expected) in cases {
        let mut table = table_of(vec![route_of(to("c"))]);
        change(&mut table);
        let refusal = refusal(ResourceType::Route, NAME, &table);
        let expected = format!("route configuration {NAME}: {expected}");
        assert!(refusal.starts_with(&expected), "\n  said     {refusal}\n  expected {expected}");
    }
}
