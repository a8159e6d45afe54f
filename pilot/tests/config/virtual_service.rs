//! VirtualServices become rules of the model.

use crate::fixture::{Fixture, host};
use pilot::model::{
    Abort, AbortStatus, Action, Delay, HttpRule, Labels, Percentage, Redirect, RedirectPath, RedirectPort, Retries,
    StringMatch, UriRewrite,
};
use std::time::Duration;

fn rules(http: &str) -> Vec<HttpRule> {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: x, namespace: shop}}\nspec:\n  hosts: [catalog]\n  http:\n{http}"
    );
    let fixture = Fixture::with("x.yaml", &text);
    assert!(fixture.findings().is_empty(), "{:?}", fixture.findings());
    let world = fixture.world();
    world.virtual_service("shop", &host("catalog")).unwrap().http.clone()
}

#[test]
fn routes_weights_and_policies() {
    let rules = rules(
        "  - name: main
    match:
    - uri: {prefix: /a}
      ignoreUriCase: true
      headers: {X-User: {exact: jason}, x-any: {}, x-re: {regex: '*'}}
      withoutHeaders: {x-not: {regex: a.*}}
      queryParams: {q: {exact: '1'}}
      sourceLabels: {app: front}
      sourceNamespace: shop
    route:
    - destination: {host: catalog, subset: v1, port: {number: 80}}
      weight: 90
      headers: {request: {set: {x-to: v1}}}
    - destination: {host: reviews}
      weight: 10
    timeout: 1.5s
    retries: {attempts: 3, perTryTimeout: 250ms, retryOn: 'gateway-error, 503'}
    rewrite: {uri: /b, authority: reviews}
    fault:
      delay: {fixedDelay: 2s, percentage: {value: 30}}
      abort: {grpcStatus: UNAVAILABLE, percentage: {value: 0.5}}
    headers: {request: {set: {Host: other, X-A: 100%%}, remove: [x-b]}, response: {add: {x-c: d}}}
    mirrors: [{destination: {host: reviews}, percentage: {value: 0}}, {destination: {host: reviews}}]
",
    );
    let rule = &rules[0];
    let found = &rule.matches[0];
    assert_eq!((rule.name.as_deref(), found.ignore_uri_case), (Some("main"), true));
    assert_eq!(found.uri, Some(StringMatch::Prefix("/a".into())));
    let headers: Vec<_> = found.headers.iter().map(|(name, found)| (&**name, found.clone())).collect();
    assert_eq!(
        headers,
        [
            ("x-user", StringMatch::Exact("jason".into())),
            ("x-any", StringMatch::Present),
            ("x-re", StringMatch::Present)
        ]
    );
    assert_eq!(found.source_labels, [("app", "front")].into_iter().collect::<Labels>());
    assert_eq!(found.source_namespace.as_deref(), Some("shop"));
    assert!(!rule.is_catch_all());
    let to: Vec<_> = rule.destinations().iter().map(|d| (d.destination.host.to_string(), d.weight)).collect();
    assert_eq!(
        to,
        [("catalog.shop.svc.cluster.local".to_owned(), 90), ("reviews.shop.svc.cluster.local".to_owned(), 10)]
    );
    assert_eq!(rule.timeout, Some(Duration::from_millis(1500)));
    let retry_on: Vec<_> = rule.retries.retry_on.iter().map(|on| &**on).collect();
    assert_eq!((rule.retries.attempts, &rule.retries.retriable_status_codes[..]), (3, &[503][..]));
    assert_eq!(retry_on, ["gateway-error", "retriable-status-codes"]);
    assert_eq!(rule.rewrite.as_ref().unwrap().uri, Some(UriRewrite::Replace("/b".into())));
    let fault = rule.fault.as_ref().unwrap();
    assert_eq!(fault.delay, Some(Delay { fixed: Duration::from_secs(2), percentage: Percentage(300_000) }));
    assert_eq!(fault.abort, Some(Abort { status: AbortStatus::Grpc(14), percentage: Percentage(5_000) }));
    assert_eq!(rule.headers.authority.as_deref(), Some("other"));
    assert_eq!(rule.headers.request.set, [("x-a".into(), "100%".into())]);
    assert_eq!(rule.mirrors.len(), 1);
}

#[test]
fn defaults_redirects_and_answers() {
    let rules = rules(
        "  - match: [{uri: {exact: /old}}]
    redirect: {uri: /new, derivePort: FROM_REQUEST_PORT, redirectCode: 308}
  - match: [{uri: {exact: /teapot}, gateways: [mesh]}]
    directResponse: {status: 418, body: {string: short and stout}}
  - match: [{uri: {prefix: /front}, gateways: [front]}]
    route: [{destination: {host: reviews}}]
  - route: [{destination: {host: catalog}}]
    timeout: 0s
",
    );
    assert_eq!(rules.len(), 3, "the rule for gateways is not for sidecars");
    let redirect = Redirect {
        path: Some(RedirectPath::Full("/new".into())),
        authority: None,
        scheme: None,
        port: Some(RedirectPort::Request),
        code: 308,
    };
    assert_eq!(rules[0].action, Action::Redirect(redirect));
    let Action::DirectResponse(answer) = &rules[1].action else { panic!("no direct response") };
    assert_eq!((answer.status, answer.body.as_deref()), (418, Some(&b"short and stout"[..])));
    assert_eq!((rules[2].timeout, &rules[2].retries), (None, &Retries::default()));
    assert!(rules[2].is_catch_all());
}

#[test]
fn retries_are_off_with_zero_attempts() {
    let rules = rules("  - route: [{destination: {host: catalog}}]\n    retries: {attempts: 0}\n");
    assert_eq!(rules[0].retries.attempts, 0);
}

#[test]
fn every_version_of_the_api_is_read() {
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let text = format!(
            "apiVersion: networking.istio.io/{version}\nkind: VirtualService\nmetadata: {{name: x, namespace: shop}}\nspec: {{hosts: [catalog], tcp: [{{match: [{{port: 80}}], route: [{{destination: {{host: reviews}}}}]}}]}}\n"
        );
        let fixture = Fixture::with("x.yaml", &text);
        assert!(fixture.findings().is_empty());
        let world = fixture.world();
        assert_eq!(world.virtual_service("shop", &host("catalog")).unwrap().tcp[0].matches[0].port, Some(80));
    }
}
