//! The same forty requests through Envoy and through our proxy, from the same objects, end the same way: status,
//! headers, upstream chosen, tries at the upstream.

use std::collections::BTreeMap;

use lab::Lab;
use serde_json::Value;

use crate::config::{Config, Replica};
use crate::{Outcome, ensure};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);

/// Headers that differ between any two answers: times, ids, and who measured.
const VARY: [&str; 7] = [
    "date",
    "x-request-id",
    "x-envoy-upstream-service-time",
    "traceparent",
    "x-forwarded-client-cert",
    "connection",
    "keep-alive",
];

struct Ask {
    method: &'static str,
    path: &'static str,
    authority: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
}

const fn get(path: &'static str, headers: &'static [(&'static str, &'static str)]) -> Ask {
    Ask { method: "GET", path, authority: "echo", headers, body: b"" }
}

const fn post(path: &'static str, headers: &'static [(&'static str, &'static str)]) -> Ask {
    Ask { method: "POST", path, authority: "echo", headers, body: b"a body" }
}

const ROUTES: &str = "    - match: [{uri: {exact: /v1}}, {headers: {x-version: {exact: v1}}}]
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{uri: {exact: /v2}}, {queryParams: {version: {exact: v2}}}]
      route: [{destination: {host: echo, subset: v2}}]
    - match: [{uri: {prefix: /prefix/}, method: {exact: GET}}]
      rewrite: {uri: /rewritten/}
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{uri: {regex: \"/re/[0-9]+\"}}]
      headers: {request: {set: {x-set: set}, add: {x-add: added}, remove: [x-remove]}, response: {add: {x-answer: yes-it-is}, remove: [x-served-by]}}
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{uri: {exact: /redirect}}]
      redirect: {uri: /elsewhere, authority: other.example}
    - match: [{uri: {exact: /redirect-prefix}}]
      redirect: {scheme: https, redirectCode: 307}
    - match: [{uri: {exact: /direct}}]
      directResponse: {status: 418, body: {string: a teapot}}
    - match: [{uri: {exact: /abort}}]
      fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{uri: {exact: /retry}}]
      retries: {attempts: 3, retryOn: \"503\"}
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{uri: {exact: /no-retry}}]
      retries: {attempts: 0}
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{uri: {exact: /timeout}}]
      timeout: 200ms
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{uri: {exact: /without}, withoutHeaders: {x-not: {}}}]
      route: [{destination: {host: echo, subset: v2}}]
    - match: [{uri: {exact: /case}, ignoreUriCase: true}]
      route: [{destination: {host: echo, subset: v2}}]
    - match: [{uri: {exact: /host}}]
      rewrite: {authority: rewritten.example}
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{uri: {prefix: /all}}]
      route: [{destination: {host: echo, subset: v1}}]";

const ASKS: [Ask; 40] = [
    get("/v1", &[]),
    get("/v2", &[]),
    get("/all", &[]),
    get("/all?q=1&r=a%20b", &[]),
    get("/anything", &[("x-version", "v1")]),
    get("/anything", &[("x-version", "v3")]),
    get("/anything?version=v2", &[]),
    get("/anything?version=v3", &[]),
    get("/prefix/a/b?x=y", &[]),
    post("/prefix/a", &[]),
    get("/re/42", &[("x-remove", "1"), ("x-add", "before")]),
    get("/re/42x", &[]),
    get("/redirect", &[]),
    get("/redirect?q=1", &[]),
    get("/redirect-prefix", &[]),
    get("/direct", &[]),
    post("/direct", &[]),
    get("/abort", &[]),
    post("/abort", &[]),
    get("/retry", &[]),
    get("/retry", &[("echo-fail-first", "1")]),
    get("/retry", &[("echo-fail-first", "3")]),
    get("/retry", &[("echo-fail-first", "9")]),
    post("/retry", &[("echo-fail-first", "2")]),
    get("/no-retry", &[("echo-fail-first", "1")]),
    get("/timeout", &[("echo-delay-ms", "2000")]),
    get("/timeout", &[]),
    get("/without", &[]),
    get("/without", &[("x-not", "1")]),
    get("/CaSe", &[]),
    get("/host", &[]),
    post("/all", &[]),
    post("/all", &[("echo-status", "201")]),
    get("/all", &[("echo-status", "404")]),
    get("/all", &[("echo-status", "500")]),
    get("/all", &[("echo-fail-first", "1")]),
    get("/all/../v2", &[]),
    get("/all/./x", &[]),
    get("/nowhere", &[]),
    Ask { method: "PUT", path: "/all", authority: "echo.test.svc.cluster.local:80", headers: &[], body: b"x" },
];

/// How a request ended.
#[derive(Debug, PartialEq)]
struct End {
    status: u16,
    headers: BTreeMap<String, String>,
    upstream: Value,
    path: Value,
    seen: BTreeMap<String, Value>,
    tries: Value,
}

pub fn run() -> Outcome {
    let config = Config::echo();
    config.client("client-envoy", 3, true);
    let replicas =
        [Replica { pod: "echo-v1", host: 11, version: "v1" }, Replica { pod: "echo-v2", host: 12, version: "v2" }];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &replicas);
    config.echo_routes(ROUTES);
    let mut options = config.options();
    options.sidecars.insert("client-envoy".to_owned(), super::envoy()?);
    let lab = Lab::start(options)?;
    let mut differ = Vec::new();
    for (number, ask) in ASKS.iter().enumerate() {
        let ours = ending(&lab, "client", number, ask)?;
        let theirs = ending(&lab, "client-envoy", number, ask)?;
        if ours != theirs {
            differ.push(format!(
                "{number}: {} {} {:?}\n  ours:  {ours:?}\n  Envoy: {theirs:?}",
                ask.method, ask.path, ask.headers
            ));
        }
    }
    println!("{} of {} requests ended the same way", ASKS.len() - differ.len(), ASKS.len());
    ensure!(differ.is_empty(), "{} of {} requests ended differently:\n{}", differ.len(), ASKS.len(), differ.join("\n"));
    Ok(())
}

fn ending(lab: &Lab, pod: &str, number: usize, ask: &Ask) -> Result<End, String> {
    let id = format!("{pod}-{number}");
    let mut headers = ask.headers.to_vec();
    headers.push(("x-request-id", &id));
    let told = |error: &dyn std::fmt::Display| format!("request {number} through {pod}: {error}");
    let pod = lab.pod(pod).map_err(|error| told(&error))?;
    let stream = pod.connect(ECHO).map_err(|error| told(&error))?;
    let response = lab::http::request(stream, ask.method, ask.authority, ask.path, &headers, ask.body)
        .map_err(|error| told(&error))?;
    let body: Value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    let seen = body["headers"].as_object().into_iter().flatten();
    Ok(End {
        status: response.status,
        headers: response
            .headers
            .into_iter()
            .filter(|(name, _)| !VARY.contains(&name.as_str()) && name != "content-length")
            .collect(),
        upstream: body["instance"].clone(),
        path: body["path"].clone(),
        seen: seen
            .filter(|(name, _)| !VARY.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        tries: body["attempt"].clone(),
    })
}
