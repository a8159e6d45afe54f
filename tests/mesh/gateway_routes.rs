//! HTTPRoute in directory mode, through real proxies: matches by precedence, weights, filters, and what the API asks for where a
//! backend is missing or nothing matches; and that it is read again when it changes.

use std::net::SocketAddr;
use std::time::Duration;

use lab::Lab;
use lab::http::Response;
use libtest_mimic::Trial;

use crate::config::{Config, NAMESPACE, Replica};
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const SHOP: ([u8; 4], u16) = ([10, 96, 2, 20], 80);

pub fn tests() -> Vec<Trial> {
    vec![test("gateway_routes::an_http_route_decides_for_a_service", decides)]
}

/// A route for `shop` with these rules, indented by four.
fn route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: shop, namespace: {NAMESPACE}}}\nspec:\n  \
         parentRefs: [{{group: \"\", kind: Service, name: shop, port: 80}}]\n  rules:\n{rules}"
    )
}

const RULES: &str = "    - matches: [{path: {type: PathPrefix, value: /cart}}]
      filters:
        - type: URLRewrite
          urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /basket}}
        - type: ResponseHeaderModifier
          responseHeaderModifier: {set: [{name: X-By, value: prefix}]}
      backendRefs: [{name: shop-v2, port: 80}]
    - matches: [{path: {type: Exact, value: /cart/sum}}]
      filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-By, value: exact}]}}]
      backendRefs: [{name: shop-v1, port: 80}]
    - matches: [{path: {type: Exact, value: /old}}]
      filters:
        - type: RequestRedirect
          requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 301}
    - matches: [{path: {type: Exact, value: /gone}}]
      backendRefs: [{name: nobody, port: 80}]
    - matches: [{path: {type: Exact, value: /}}]
      backendRefs: [{name: shop-v1, port: 80, weight: 0}, {name: shop-v2, port: 80, weight: 1}]
";

fn ask(lab: &Lab, path: &str) -> Result<Response, Box<dyn std::error::Error>> {
    let stream = lab.pod("client")?.connect(SocketAddr::from(SHOP))?;
    Ok(lab::http::get(stream, "shop", path, &[])?)
}

fn decides() -> Outcome {
    let config = Config::new();
    config.client("client", 2, true);
    let ports = [("http", 80, 8080)];
    for (name, ip, host, version) in
        [("shop-v1", "10.96.2.21", 21, "v1"), ("shop-v2", "10.96.2.22", 22, "v2"), ("shop", "10.96.2.20", 20, "v0")]
    {
        config.app(name, ip, &ports, &["echo"], &[Replica { pod: name, host, version }]);
    }
    config.write("route.yaml", &route(RULES));
    let lab = config.start()?;
    let by = |path: &str| -> Result<(u16, String), Box<dyn std::error::Error>> {
        let response = ask(&lab, path)?;
        Ok((response.status, response.header("x-by").unwrap_or("nobody").to_owned()))
    };
    ensure!(by("/cart/sum")? == (200, "exact".to_owned()), "an exact path: {:?}", by("/cart/sum")?);
    ensure!(by("/cart/a")? == (200, "prefix".to_owned()), "a prefix: {:?}", by("/cart/a")?);
    let rewritten = ask(&lab, "/cart/a?b")?.text();
    ensure!(rewritten.contains("/basket/a?b"), "the application saw {rewritten}");
    ensure!(by("/cartoon")?.0 == 404, "no rule matches: {:?}", by("/cartoon")?);
    ensure!(by("/gone")?.0 == 500, "a missing backend: {:?}", by("/gone")?);
    let moved = ask(&lab, "/old")?;
    let location = moved.header("location").unwrap_or_default().to_owned();
    ensure!(moved.status == 301 && location == "http://shop/new", "a redirect: {} to {location}", moved.status);
    for _ in 0..20 {
        let text = ask(&lab, "/")?.text();
        ensure!(text.contains("v2") && !text.contains("v1"), "a weight of 0 got {text}");
    }
    config.write("route.yaml", &route("    - backendRefs: [{name: shop-v1, port: 80}]\n"));
    until("the new route", Duration::from_secs(2), || {
        let text = ask(&lab, "/").map_err(|error| error.to_string())?.text();
        if text.contains("v1") { Ok(()) } else { Err(text) }
    })?;
    Ok(())
}
