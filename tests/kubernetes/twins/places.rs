//! Where redirects lead, to the letter: the suite looks at their status alone.

use super::Twin;
use super::client::{Answer, Ask};
use super::world::World;
use crate::Outcome;

pub fn twins() -> Vec<Twin> {
    vec![
        Twin { name: "MeshHTTPRouteRedirectHostAndStatus", routes: HOSTS, check: hosts },
        Twin { name: "MeshHTTPRouteRedirectPath", routes: PATHS, check: paths },
        Twin { name: "MeshHTTPRouteRedirectPort", routes: PORTS, check: ports },
        Twin { name: "MeshHTTPRouteSchemeRedirect", routes: SCHEMES, check: schemes },
        Twin { name: "MeshHTTPRoute303Redirect", routes: SEE_OTHER, check: see_other },
        Twin { name: "MeshHTTPRoute307Redirect", routes: TEMPORARY, check: temporary },
        Twin { name: "MeshHTTPRoute308Redirect", routes: PERMANENT, check: permanent },
    ]
}

/// A route with a rule for each prefix and its redirect.
macro_rules! redirects {
    ($name:literal, $(($prefix:literal, $redirect:literal)),+ $(,)?) => {
        concat!(
            "\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: ", $name, ", namespace: MESH}\n",
            "spec:\n  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]\n  rules:\n",
            $(
                "    - matches: [{path: {type: PathPrefix, value: ", $prefix, "}}]\n",
                "      filters: [{type: RequestRedirect, requestRedirect: {", $redirect, "}}]\n",
            )+
        )
    };
}

const HOSTS: &str = redirects!(
    "hosts",
    ("/hostname-redirect", "hostname: example.org"),
    ("/host-and-status", "statusCode: 301, hostname: example.org"),
);

const PATHS: &str = redirects!(
    "paths",
    ("/original-prefix", "path: {type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix}"),
    ("/full", "path: {type: ReplaceFullPath, replaceFullPath: /full-path-replacement}"),
    (
        "/path-and-host",
        "hostname: example.org, path: {type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix}"
    ),
    ("/path-and-status", "statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix}"),
    ("/full-path-and-host", "hostname: example.org, path: {type: ReplaceFullPath, replaceFullPath: /replacement-full}"),
    ("/full-path-and-status", "statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /replacement-full}"),
);

const PORTS: &str = redirects!(
    "ports",
    ("/port", "port: 8083"),
    ("/port-and-host", "hostname: example.org, port: 8083"),
    ("/port-and-status", "port: 8083, statusCode: 301"),
    ("/port-and-host-and-status", "port: 8083, hostname: example.org, statusCode: 302"),
);

const SCHEMES: &str = redirects!(
    "schemes",
    ("/scheme", "scheme: https"),
    ("/scheme-and-host", "scheme: https, hostname: example.org"),
    ("/scheme-and-status", "scheme: https, statusCode: 301"),
    ("/scheme-and-host-and-status", "scheme: https, hostname: example.org, statusCode: 302"),
);

const SEE_OTHER: &str = redirects!("see-other", ("/redirect", "statusCode: 303"));
const TEMPORARY: &str = redirects!("temporary", ("/temporary", "statusCode: 307"));
const PERMANENT: &str = redirects!("permanent", ("/permanent", "statusCode: 308"));

/// Fails unless each path leads to its place with its status, and no backend hears of it.
fn lead(world: &World<'_>, table: &[(&str, u16, &str)]) -> Outcome {
    for (path, status, place) in table {
        let url = format!("http://echo{path}");
        let right =
            |answer: &Answer| answer.status == *status && answer.back("Location") == [*place] && answer.pod.is_empty();
        world.all(Ask { url: &url, ..Ask::default() }, right)?;
    }
    Ok(())
}

fn hosts(world: &World<'_>) -> Outcome {
    lead(
        world,
        &[
            ("/hostname-redirect", 302, "http://example.org/hostname-redirect"),
            ("/host-and-status", 301, "http://example.org/host-and-status"),
        ],
    )
}

fn paths(world: &World<'_>) -> Outcome {
    lead(
        world,
        &[
            ("/original-prefix/lemon", 302, "http://echo/replacement-prefix/lemon"),
            ("/original-prefix?q=1", 302, "http://echo/replacement-prefix?q=1"),
            ("/full/path/original", 302, "http://echo/full-path-replacement"),
            ("/path-and-host", 302, "http://example.org/replacement-prefix"),
            ("/path-and-status", 301, "http://echo/replacement-prefix"),
            ("/full-path-and-host", 302, "http://example.org/replacement-full"),
            ("/full-path-and-status", 301, "http://echo/replacement-full"),
        ],
    )
}

fn ports(world: &World<'_>) -> Outcome {
    lead(
        world,
        &[
            ("/port", 302, "http://echo:8083/port"),
            ("/port-and-host", 302, "http://example.org:8083/port-and-host"),
            ("/port-and-status", 301, "http://echo:8083/port-and-status"),
            ("/port-and-host-and-status", 302, "http://example.org:8083/port-and-host-and-status"),
        ],
    )
}

fn schemes(world: &World<'_>) -> Outcome {
    lead(
        world,
        &[
            ("/scheme", 302, "https://echo/scheme"),
            ("/scheme-and-host", 302, "https://example.org/scheme-and-host"),
            ("/scheme-and-status", 301, "https://echo/scheme-and-status"),
            ("/scheme-and-host-and-status", 302, "https://example.org/scheme-and-host-and-status"),
        ],
    )
}

fn see_other(world: &World<'_>) -> Outcome {
    lead(world, &[("/redirect", 303, "http://echo/redirect")])
}

fn temporary(world: &World<'_>) -> Outcome {
    lead(world, &[("/temporary", 307, "http://echo/temporary")])
}

fn permanent(world: &World<'_>) -> Outcome {
    lead(world, &[("/permanent", 308, "http://echo/permanent")])
}
