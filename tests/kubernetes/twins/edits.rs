//! What a backend sees of a request: headers that were edited and paths that were rewritten, to the letter.

use super::Twin;
use super::client::{Answer, Ask};
use super::world::World;
use crate::Outcome;

pub fn twins() -> Vec<Twin> {
    vec![
        Twin { name: "MeshHTTPRouteRequestHeaderModifier", routes: OF_RULES, check: headers },
        Twin { name: "MeshHTTPRouteBackendRequestHeaderModifier", routes: OF_BACKENDS, check: headers },
        Twin { name: "MeshHTTPRouteRewritePath", routes: REWRITES, check: rewrites },
    ]
}

/// The suite's rules with `$filters` before the backend or in it.
macro_rules! modifiers {
    ($name:literal, $before:literal, $after:literal) => {
        concat!(
            "\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: ", $name, ", namespace: MESH}\n",
            "spec:\n  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]\n  rules:\n",
            modifiers!(rule "/set", $before, "{set: [{name: X-Header-Set, value: set-overwrites-values}]}", $after),
            modifiers!(rule "/add", $before, "{add: [{name: X-Header-Add, value: add-appends-values}]}", $after),
            modifiers!(rule "/remove", $before, "{remove: [X-Header-Remove]}", $after),
            modifiers!(
                rule "/multiple",
                $before,
                "{set: [{name: X-Header-Set-1, value: header-set-1}, {name: X-Header-Set-2, value: header-set-2}], \
                 add: [{name: X-Header-Add-1, value: header-add-1}, {name: X-Header-Add-2, value: header-add-2}, \
                 {name: X-Header-Add-3, value: header-add-3}], remove: [X-Header-Remove-1, X-Header-Remove-2]}",
                $after
            ),
            modifiers!(
                rule "/case-insensitivity",
                $before,
                "{set: [{name: X-Header-Set, value: header-set}], add: [{name: X-Header-Add, value: header-add}], \
                 remove: [X-Header-Remove]}",
                $after
            ),
        )
    };
    (rule $path:literal, $before:literal, $modifier:literal, $after:literal) => {
        concat!(
            "    - {matches: [{path: {type: PathPrefix, value: ", $path, "}}], ", $before,
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: ", $modifier, "}]", $after, "}\n"
        )
    };
}

const OF_RULES: &str = modifiers!("of-rules", "", ", backendRefs: [{name: echo-v1, port: 8080}]");
const OF_BACKENDS: &str = modifiers!("of-backends", "backendRefs: [{name: echo-v1, port: 8080, ", "}]");

const REWRITES: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: rewrites, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /prefix/one}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /one}}}]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /strip-prefix}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /full/one}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /one}}}]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /full/rewrite-path-and-modify-headers}}]
      filters:
        - {type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /test}}}
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set: [{name: X-Header-Set, value: set-overwrites-values}]
            add: [{name: X-Header-Add, value: header-val-1}, {name: X-Header-Add-Append, value: header-val-2}]
            remove: [X-Header-Remove]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /prefix/rewrite-path-and-modify-headers}}]
      filters:
        - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /prefix}}}
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set: [{name: X-Header-Set, value: set-overwrites-values}]
            add: [{name: X-Header-Add, value: header-val-1}, {name: X-Header-Add-Append, value: header-val-2}]
            remove: [X-Header-Remove]
      backendRefs: [{name: echo-v1, port: 80}]
";

/// A request, and which values of which headers the backend must see of it: those that the filters name.
type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a [&'a str])]);

const CASES: &[Case<'_>] = &[
    (
        "/set",
        &["Some-Other-Header:val"],
        &[("Some-Other-Header", &["val"]), ("X-Header-Set", &["set-overwrites-values"])],
    ),
    ("/set", &["X-Header-Set:some-other-value"], &[("X-Header-Set", &["set-overwrites-values"])]),
    ("/add", &[], &[("X-Header-Add", &["add-appends-values"])]),
    ("/add", &["X-Header-Add:some-other-value"], &[("X-Header-Add", &["some-other-value", "add-appends-values"])]),
    ("/remove", &["X-Header-Remove:val"], &[("X-Header-Remove", &[])]),
    (
        "/multiple",
        &["X-Header-Set-2:set-val-2", "X-Header-Add-2:add-val-2", "X-Header-Remove-2:remove-val-2", "Another-Header:a"],
        &[
            ("X-Header-Set-1", &["header-set-1"]),
            ("X-Header-Set-2", &["header-set-2"]),
            ("X-Header-Add-1", &["header-add-1"]),
            ("X-Header-Add-2", &["add-val-2", "header-add-2"]),
            ("X-Header-Add-3", &["header-add-3"]),
            ("X-Header-Remove-1", &[]),
            ("X-Header-Remove-2", &[]),
            ("Another-Header", &["a"]),
        ],
    ),
    (
        "/case-insensitivity",
        &["x-header-set:original-val-set", "x-header-add:original-val-add", "x-header-remove:original-val-remove"],
        &[
            ("X-Header-Set", &["header-set"]),
            ("X-Header-Add", &["original-val-add", "header-add"]),
            ("X-Header-Remove", &[]),
        ],
    ),
];

/// Whether a backend saw these values, as lines of their own or in one line.
fn saw(answer: &Answer, expected: &[(&str, &[&str])]) -> bool {
    expected.iter().all(|(name, values)| answer.seen(name).join(",") == values.join(","))
}

fn headers(world: &World<'_>) -> Outcome {
    for (path, headers, expected) in CASES {
        let url = format!("http://echo{path}");
        let right = |answer: &Answer| answer.backend() == "echo-v1" && answer.path == *path && saw(answer, expected);
        world.all(Ask { url: &url, headers, ..Ask::default() }, right)?;
    }
    Ok(())
}

fn rewrites(world: &World<'_>) -> Outcome {
    let headers = ["X-Header-Remove:remove-val", "X-Header-Add-Append:append-val-1", "X-Header-Set:set-val"];
    let edited: &[(&str, &[&str])] = &[
        ("X-Header-Add", &["header-val-1"]),
        ("X-Header-Add-Append", &["append-val-1", "header-val-2"]),
        ("X-Header-Set", &["set-overwrites-values"]),
        ("X-Header-Remove", &[]),
    ];
    for (path, rewritten, expected) in [
        ("/prefix/one/two", "/one/two", &[][..]),
        ("/prefix/one", "/one", &[]),
        ("/strip-prefix/three", "/three", &[]),
        ("/strip-prefix/three?q=1", "/three?q=1", &[]),
        ("/strip-prefix", "/", &[]),
        ("/full/one/two", "/one", &[]),
        ("/full/rewrite-path-and-modify-headers/test", "/test", edited),
        ("/prefix/rewrite-path-and-modify-headers/one", "/prefix/one", edited),
    ] {
        let url = format!("http://echo{path}");
        let right =
            |answer: &Answer| answer.backend() == "echo-v1" && answer.path == rewritten && saw(answer, expected);
        world.all(Ask { url: &url, headers: &headers, ..Ask::default() }, right)?;
    }
    Ok(())
}
