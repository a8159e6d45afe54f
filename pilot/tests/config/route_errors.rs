//! What is reported of VirtualServices, word by word.

use crate::fixture::{each_gives, findings_of};

/// A VirtualService for catalog whose `spec.http[0]` starts on line 6.
fn rule(yaml: &str) -> String {
    let indented: String = yaml.lines().map(|line| format!("    {line}\n")).collect();
    let head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x, namespace: shop}\nspec:\n  hosts: [catalog]\n  http:\n";
    format!("{head}  - {}", indented.trim_start())
}

/// Each rule gives exactly this finding; the line is that of the file.
fn rules_give(table: &[(&str, &[&str])]) {
    for (yaml, expected) in table {
        assert_eq!(findings_of(&rule(yaml)), *expected, "of\n{}", rule(yaml));
    }
}

const TO_CATALOG: &str = "route: [{destination: {host: catalog}}]\n";

fn with_route(yaml: &str) -> String {
    rule(&format!("{TO_CATALOG}{yaml}"))
}

fn routed_give(table: &[(&str, &[&str])]) {
    for (yaml, expected) in table {
        assert_eq!(findings_of(&with_route(yaml)), *expected, "of\n{}", with_route(yaml));
    }
}

#[test]
fn destinations_must_exist() {
    rules_give(&[
        (
            "route:\n- destination: {host: catalog, subset: v1}\n  weight: 90\n- destination:\n    host: catalog\n    subset: v3\n  weight: 10",
            &[
                "x.yaml:12: spec.http[0].route[1].destination.subset: no subset \"v3\" of catalog.shop.svc.cluster.local in any DestinationRule; it has \"v1\", \"v2\"",
            ],
        ),
        (
            "route: [{destination: {host: catlog}}]",
            &[
                "x.yaml:7: spec.http[0].route[0].destination.host: no service \"catlog.shop.svc.cluster.local\"; did you mean \"catalog.shop.svc.cluster.local\"?",
            ],
        ),
        (
            "route: [{destination: {host: catalog.shop}}]",
            &[
                "x.yaml:7: spec.http[0].route[0].destination.host: no service \"catalog.shop\"; did you mean \"catalog.shop.svc.cluster.local\"?",
            ],
        ),
        (
            "route: [{destination: {host: payments.bank.svc.cluster.local}}]",
            &[
                "x.yaml:7: spec.http[0].route[0].destination.host: no service \"payments.bank.svc.cluster.local\"; add its Service or ServiceEntry, or correct the name",
            ],
        ),
        (
            "route:\n- destination:\n    host: catalog\n    port:\n      number: 8080",
            &[
                "x.yaml:11: spec.http[0].route[0].destination.port.number: catalog.shop.svc.cluster.local has no port 8080; it has 80, 9000",
            ],
        ),
        (
            "route: [{destination: {host: reviews, subset: v1}}]",
            &[
                "x.yaml:7: spec.http[0].route[0].destination.subset: no subset \"v1\" of reviews.shop.svc.cluster.local in any DestinationRule; it has none",
            ],
        ),
        (
            "route: [{destination: {host: catalog}}]\nmirror: {host: catalog, subset: v9}",
            &[
                "x.yaml:8: spec.http[0].mirror.subset: no subset \"v9\" of catalog.shop.svc.cluster.local in any DestinationRule; it has \"v1\", \"v2\"",
            ],
        ),
        (
            "route: [{destination: {host: \"*.shop.svc.cluster.local\"}}]",
            &["x.yaml:7: spec.http[0].route[0].destination.host: is a wildcard; name one service"],
        ),
        ("route: [{weight: 1}]", &["x.yaml:7: spec.http[0].route[0]: needs a destination"]),
        (
            "route: [{destination: {port: {number: 80}}}]",
            &["x.yaml:7: spec.http[0].route[0].destination.host: is missing; name a service"],
        ),
    ]);
}

#[test]
fn a_port_is_needed_when_requests_come_for_another() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: two, namespace: shop}\nspec:\n  clusterIP: 10.96.1.77\n  ports: [{name: a, port: 81}, {name: b, port: 82}]\n---\n";
    let to_two = rule("route: [{destination: {host: two}}]");
    assert_eq!(
        findings_of(&format!("{service}{to_two}")),
        [
            "x.yaml:14: spec.http[0].route[0].destination.port.number: is needed: two.shop.svc.cluster.local has the ports 81, 82, but requests come for another"
        ]
    );
}

#[test]
fn weights_must_share() {
    rules_give(&[
        (
            "route: [{destination: {host: catalog}}, {destination: {host: reviews}}]",
            &["x.yaml:7: spec.http[0].route: has several destinations but no weight; give each a weight"],
        ),
        (
            "route: [{destination: {host: catalog}, weight: -1}]",
            &["x.yaml:7: spec.http[0].route[0].weight: -1 is negative; use 0 or more"],
        ),
        (
            "route: [{destination: {host: catalog}, weight: 10%}]",
            &["x.yaml:7: spec.http[0].route[0].weight: expected a whole number, found the text \"10%\""],
        ),
        ("route: [{destination: {host: catalog}, weight: 3}, {destination: {host: reviews}, weight: 0}]", &[]),
    ]);
}

#[test]
fn a_rule_does_one_thing() {
    rules_give(&[
        ("name: x", &["x.yaml:7: spec.http[0]: does nothing; set one of route, redirect and directResponse"]),
        (
            "route: [{destination: {host: catalog}}]\nredirect: {uri: /x}",
            &["x.yaml:7: spec.http[0]: sets more than one of route, redirect and directResponse; keep one"],
        ),
        (
            "delegate: {name: other}",
            &["x.yaml:7: spec.http[0].delegate: is not supported yet; write the delegate's rules here"],
        ),
        (
            "redirect: {uri: /x}\nfault: {abort: {httpStatus: 500, percentage: {value: 1}}}",
            &["x.yaml:8: spec.http[0].fault: works with route only; this rule answers by itself"],
        ),
        (
            "redirect: {uri: /x}\nretries: {attempts: 1}",
            &["x.yaml:8: spec.http[0].retries: has no effect: this rule answers by itself"],
        ),
        (
            "redirect: {uri: /x, prefixRewrite: /y}",
            &["x.yaml:7: spec.http[0].redirect: sets both uri and prefixRewrite; keep one"],
        ),
        (
            "redirect: {authority: a.b, redirectCode: 304}",
            &["x.yaml:7: spec.http[0].redirect.redirectCode: 304 is not a redirect; use 301, 302, 303, 307 or 308"],
        ),
        ("redirect: {scheme: ftp}", &["x.yaml:7: spec.http[0].redirect.scheme: \"ftp\" is none; use http or https"]),
        (
            "redirect: {}",
            &[
                "x.yaml:7: spec.http[0].redirect: leads to where the request came from; set uri, authority, scheme or port",
            ],
        ),
        (
            "redirect: {derivePort: FROM_REQUEST}",
            &[
                "x.yaml:7: spec.http[0].redirect.derivePort: \"FROM_REQUEST\" is none of its values; use FROM_PROTOCOL_DEFAULT, FROM_REQUEST_PORT",
                "x.yaml:7: spec.http[0].redirect: leads to where the request came from; set uri, authority, scheme or port",
            ],
        ),
        ("directResponse: {body: {string: hi}}", &["x.yaml:7: spec.http[0].directResponse: needs a status"]),
        (
            "directResponse: {status: 99}",
            &["x.yaml:7: spec.http[0].directResponse.status: 99 is not an HTTP status; use 200 to 599"],
        ),
        (
            "directResponse: {status: 200, body: {bytes: \"***\"}}",
            &["x.yaml:7: spec.http[0].directResponse.body.bytes: is not base64"],
        ),
        ("directResponse: {status: 200, body: {bytes: aGk=}}", &[]),
    ]);
}

#[test]
fn matches_are_checked() {
    routed_give(&[
        ("match: [{uri: {}}]", &["x.yaml:8: spec.http[0].match[0].uri: is empty; set one of exact, prefix and regex"]),
        (
            "match:\n- uri: {prefix: /a, exact: /b}",
            &["x.yaml:9: spec.http[0].match[0].uri: sets more than one of exact, prefix and regex; keep one"],
        ),
        (
            "match: [{}]",
            &["x.yaml:8: spec.http[0].match[0]: is empty; remove the whole match list to match every request"],
        ),
        (
            "match:\n- uri:\n    regex: \"/a(b\"",
            &["x.yaml:10: spec.http[0].match[0].uri.regex: the expression is not valid RE2: unclosed group"],
        ),
        (
            "match: [{uri: {regex: \"(?=a)b\"}}]",
            &[
                "x.yaml:8: spec.http[0].match[0].uri.regex: the expression is not valid RE2: look-around, including look-ahead and look-behind, is not supported",
            ],
        ),
        (
            "match: [{uri: {regex: \"(((a{100}){100}){100})\"}}]",
            &[
                "x.yaml:8: spec.http[0].match[0].uri.regex: the expression is too complex; use fewer or smaller counted repetitions",
            ],
        ),
        (
            "match: [{uri: {regex: \"a{1001}\"}}]",
            &["x.yaml:8: spec.http[0].match[0].uri.regex: the expression is not RE2: it repeats more than 1000 times"],
        ),
        (
            "match: [{headers: {\"x user\": {exact: a}}}]",
            &[
                "x.yaml:8: spec.http[0].match[0].headers.x user: \"x user\" is not a header name; use letters, digits and \"-\"",
            ],
        ),
        (
            "match: [{headers: {uri: {exact: a}}}]",
            &["x.yaml:8: spec.http[0].match[0].headers.uri: has no effect; write it as the field \"uri\" of the match"],
        ),
        ("match: [{port: 70000}]", &["x.yaml:8: spec.http[0].match[0].port: 70000 is not a port; use 1 to 65535"]),
        (
            "match: [{uri: {prefix: /a}, statPrefix: a}]",
            &["x.yaml:8: spec.http[0].match[0].statPrefix: is not supported yet and has no effect"],
        ),
    ]);
    let long = format!("match: [{{uri: {{regex: \"{}\"}}}}]", "a".repeat(1025));
    let expected = "x.yaml:8: spec.http[0].match[0].uri.regex: the expression has 1025 bytes; at most 1024 are allowed";
    assert_eq!(findings_of(&with_route(&long)), [expected]);
}

#[test]
fn policies_are_checked() {
    routed_give(&[
        ("timeout: 5", &["x.yaml:8: spec.http[0].timeout: expected a text, found the number 5; put it in quotes"]),
        (
            "timeout: \"5\"",
            &[
                "x.yaml:8: spec.http[0].timeout: \"5\" is not a duration; write a number with a unit, such as 5s or 250ms",
            ],
        ),
        ("timeout: 10us", &["x.yaml:8: spec.http[0].timeout: 10us is too short; use at least 1ms"]),
        ("timeout: 0s", &[]),
        (
            "retries: {attempts: 2, retryOn: \"5xx,gatway-error,503\"}",
            &[
                "x.yaml:8: spec.http[0].retries.retryOn: \"gatway-error\" is not a condition to retry on; did you mean \"gateway-error\"?",
            ],
        ),
        ("retries: {attempts: -1}", &["x.yaml:8: spec.http[0].retries.attempts: -1 is negative; 0 turns retries off"]),
        (
            "retries:\n  attempts: 2\n  pertryTimeout: 1s",
            &["x.yaml:10: spec.http[0].retries.pertryTimeout: no such field; did you mean \"perTryTimeout\"?"],
        ),
        (
            "fault:\n  delay:\n    fixedDelay: 2s\n    percentage: {value: 130}",
            &["x.yaml:11: spec.http[0].fault.delay.percentage.value: 130 is not a percentage; use 0 to 100"],
        ),
        (
            "fault: {delay: {fixedDelay: 2s}}",
            &[
                "x.yaml:8: spec.http[0].fault.delay: has no percentage, which means 0: nothing is injected; set percentage.value",
            ],
        ),
        (
            "fault: {delay: {percentage: {value: 1}}}",
            &["x.yaml:8: spec.http[0].fault.delay: needs fixedDelay, such as 2s"],
        ),
        ("fault: {}", &["x.yaml:8: spec.http[0].fault: injects nothing; set delay or abort"]),
        (
            "fault: {abort: {percentage: {value: 1}}}",
            &["x.yaml:8: spec.http[0].fault.abort: needs one of httpStatus and grpcStatus"],
        ),
        (
            "fault: {abort: {httpStatus: 999, percentage: {value: 1}}}",
            &["x.yaml:8: spec.http[0].fault.abort.httpStatus: 999 is not an HTTP status; use 200 to 599"],
        ),
        (
            "fault: {abort: {grpcStatus: UNAVAILBLE, percentage: {value: 1}}}",
            &[
                "x.yaml:8: spec.http[0].fault.abort.grpcStatus: \"UNAVAILBLE\" is none of its values; did you mean UNAVAILABLE?",
            ],
        ),
        (
            "rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}",
            &["x.yaml:8: spec.http[0].rewrite: sets both uri and uriRegexRewrite; keep one"],
        ),
        (
            "rewrite: {uriRegexRewrite: {match: \"a(\", rewrite: b}}",
            &["x.yaml:8: spec.http[0].rewrite.uriRegexRewrite.match: the expression is not valid RE2: unclosed group"],
        ),
        (
            "headers: {request: {set: {\"bad name\": x}}}",
            &[
                "x.yaml:8: spec.http[0].headers.request.set.bad name: \"bad name\" is not a header name; use letters, digits and \"-\"",
            ],
        ),
        (
            "headers: {request: {add: {x-a: \"a\\nb\"}}}",
            &[
                "x.yaml:8: spec.http[0].headers.request.add.x-a: has a control character; a header's value is one line of text",
            ],
        ),
        (
            "headers: {response: {set: {x-a: \"%START_TIME%\"}}}",
            &[
                "x.yaml:8: spec.http[0].headers.response.set.x-a: Envoy's % commands are not supported yet; write %% for a percent sign",
            ],
        ),
        (
            "headers: {response: {remove: [\":status\"]}}",
            &[
                "x.yaml:8: spec.http[0].headers.response.remove[0]: \":status\" cannot be edited here; this has no effect",
            ],
        ),
        (
            "mirror: {host: reviews}\nmirrors: [{destination: {host: reviews}}]",
            &["x.yaml:8: spec.http[0].mirror: is set together with mirrors; keep one"],
        ),
        (
            "corsPolicy: {allowOrigins: [{regex: \"(\"}], unmatchedPreflights: IGNOR}",
            &[
                "x.yaml:8: spec.http[0].corsPolicy.allowOrigins[0].regex: the expression is not valid RE2: unclosed group",
                "x.yaml:8: spec.http[0].corsPolicy.unmatchedPreflights: \"IGNOR\" is none of its values; did you mean IGNORE?",
            ],
        ),
        ("timeuot: 5s", &["x.yaml:8: spec.http[0].timeuot: no such field; did you mean \"timeout\"?"]),
    ]);
}

#[test]
fn the_object_itself_is_checked() {
    let vs = |spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: x, namespace: shop}}\nspec:\n{spec}"
        )
    };
    for (spec, expected) in [
        (
            "  http: [{route: [{destination: {host: catalog}}]}]\n",
            &["x.yaml:4: spec.hosts: is missing; name the hosts whose requests are routed"][..],
        ),
        ("  hosts: [catalog]\n", &["x.yaml:4: spec: has no rules; add http, tls or tcp"]),
        (
            "  hosts: [10.0.0.1]\n  http: [{route: [{destination: {host: catalog}}]}]\n",
            &["x.yaml:5: spec.hosts[0]: 10.0.0.1 is an IP address; sidecars route by host name"],
        ),
        (
            "  hosts: [catalog, catalog.shop.svc.cluster.local]\n  http: [{route: [{destination: {host: catalog}}]}]\n",
            &["x.yaml:5: spec.hosts[1]: names catalog.shop.svc.cluster.local a second time; remove it"],
        ),
        (
            "  hosts: [Cat_alog!]\n  http: [{route: [{destination: {host: catalog}}]}]\n",
            &[
                "x.yaml:5: spec.hosts[0]: \"Cat_alog!.shop.svc.cluster.local\" is not a host name: each part between dots needs 1 to 63 letters, digits or \"-\", not \"cat_alog!\"",
            ],
        ),
        (
            "  hosts:\n  - catalog\n  - catalogue\n  http: [{route: [{destination: {host: catalog}}]}]\n",
            &[
                "x.yaml:7: spec.hosts[1]: no service \"catalogue.shop.svc.cluster.local\"; did you mean \"catalog.shop.svc.cluster.local\"?",
            ],
        ),
        (
            "  hosts: [catalog]\n  gateways: [front]\n  http: [{route: [{destination: {host: nowhere}}]}]\n",
            &[
                "x.yaml:6: spec.gateways: names gateways only, which are not supported yet; add \"mesh\" for sidecars to use it",
            ],
        ),
        (
            "  hosts: [catalog]\n  http:\n  - route: [{destination: {host: catalog}}]\n  - match: [{uri: {prefix: /a}}]\n    route: [{destination: {host: catalog}}]\n",
            &["x.yaml:8: spec.http[1]: is never reached: spec.http[0] matches every request; put it before that rule"],
        ),
        (
            "  hosts: [catalog]\n  exportTo: [Shop]\n  http: [{route: [{destination: {host: catalog}}]}]\n",
            &["x.yaml:6: spec.exportTo[0]: \"Shop\" is not a namespace; write \".\", \"*\" or a name"],
        ),
        (
            "  hosts: [catalog]\n  tcp: [{match: [{destinationSubnets: [10.0.0.0/40]}], route: [{destination: {host: catalog}}]}]\n",
            &[
                "x.yaml:6: spec.tcp[0].match[0].destinationSubnets[0]: \"10.0.0.0/40\" is not a network; write it as 10.0.0.0/8",
            ],
        ),
        ("  hosts: [catalog]\n  tcp: [{}]\n", &["x.yaml:6: spec.tcp[0].route: is missing; name a destination"]),
        (
            "  hosts: [catalog]\n  tls: [{route: [{destination: {host: catalog}}]}]\n",
            &["x.yaml:6: spec.tls[0].match: is missing; TLS rules need sniHosts"],
        ),
        (
            "  hosts: [catalog]\n  tls: [{match: [{port: 80, sniHosts: [other.org]}], route: [{destination: {host: catalog}}]}]\n",
            &[
                "x.yaml:6: spec.tls[0].match[0].sniHosts[0]: \"other.org\" is not among the hosts of this VirtualService",
            ],
        ),
    ] {
        assert_eq!(findings_of(&vs(spec)), *expected, "of\n{spec}");
    }
}

#[test]
fn text_that_is_no_object_is_reported() {
    each_gives(&[
        (
            "kind: VirtualService\nmetadata: {name: x}\n",
            &["x.yaml:1: apiVersion: is missing, for example networking.istio.io/v1"],
        ),
        ("\n\napiVersion: v1\nmetadata: {name: x}\n", &["x.yaml:3: kind: is missing, for example VirtualService"]),
        ("apiVersion: v1\nkind: Service\n", &["x.yaml:1: metadata.name: is missing, or no text"]),
        ("just text\n", &["x.yaml:1: is not an object; write apiVersion, kind and metadata"]),
        (
            "apiVersion: networking.istio.io/v1\nkind: VirtualServce\nmetadata: {name: x}\n",
            &[
                "x.yaml:2: kind: there is no kind \"VirtualServce\" in networking.istio.io; did you mean \"VirtualService\"?",
            ],
        ),
        (
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: x, namespace: shop}\nspec: {}\n",
            &[
                "x.yaml:2: kind: AuthorizationPolicy is not supported yet: nothing enforces it, and requests that it forbids are served",
            ],
        ),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n", &[]),
        (
            "# a comment\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: catalog\n  namespace: shop\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n",
            &["x.yaml:3: Service shop/catalog is defined before in shop.yaml:1, which stays in force; remove one"],
        ),
    ]);
    let broken = findings_of("a: [1, 2\nb: 3\n");
    assert!(broken[0].starts_with("x.yaml:2: is not YAML: "), "{broken:?}");
}
