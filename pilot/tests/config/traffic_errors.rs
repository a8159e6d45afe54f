//! What is reported of DestinationRules, ServiceEntries and PeerAuthentications, word by word.

use crate::fixture::findings_of;

fn specs_give(api_version: &str, kind: &str, table: &[(&str, &[&str])]) {
    for (spec, expected) in table {
        let text =
            format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\nspec:\n{spec}");
        assert_eq!(findings_of(&text), *expected, "of\n{text}");
    }
}

#[test]
fn destination_rules() {
    specs_give(
        "networking.istio.io/v1beta1",
        "DestinationRule",
        &[
            ("  subsets: []\n", &["x.yaml:4: spec.host: is missing; name a service"]),
            (
                "  host: reviws\n",
                &[
                    "x.yaml:5: spec.host: no service \"reviws.shop.svc.cluster.local\"; did you mean \"reviews.shop.svc.cluster.local\"?",
                ],
            ),
            ("  host: \"*.example.org\"\n", &["x.yaml:5: spec.host: no service is covered by \"*.example.org\""]),
            (
                "  host: reviews\n  subsets:\n  - {name: a}\n  - {name: a}\n  - {labels: {x: y}}\n",
                &[
                    "x.yaml:8: spec.subsets[1].name: \"a\" occurs twice; keep one",
                    "x.yaml:9: spec.subsets[2].name: \"\" is not a subset's name; use letters and digits",
                ],
            ),
            (
                "  host: reviews\n  trafficPolicy:\n    loadBalancer:\n      simple: ROUNDROBIN\n",
                &[
                    "x.yaml:8: spec.trafficPolicy.loadBalancer.simple: \"ROUNDROBIN\" is none of its values; did you mean ROUND_ROBIN?",
                ],
            ),
            (
                "  host: reviews\n  trafficPolicy:\n    outlierDetection: {}\n    loadBalancer: {consistentHash: {useSourceIp: true}}\n",
                &[
                    "x.yaml:7: spec.trafficPolicy.outlierDetection: is not supported yet and has no effect",
                    "x.yaml:8: spec.trafficPolicy.loadBalancer.consistentHash: is not supported yet and has no effect",
                ],
            ),
            (
                "  host: reviews\n  trafficPolicy: {tls: {mode: MUTUAL}}\n",
                &[
                    "x.yaml:6: spec.trafficPolicy.tls.clientCertificate: is missing; MUTUAL needs its path",
                    "x.yaml:6: spec.trafficPolicy.tls.privateKey: is missing; MUTUAL needs its path",
                ],
            ),
            (
                "  host: reviews\n  trafficPolicy: {tls: {mode: SIMPLE, credentialName: x}}\n",
                &[
                    "x.yaml:6: spec.trafficPolicy.tls.credentialName: secrets are not supported yet; use clientCertificate, privateKey and caCertificates",
                ],
            ),
            (
                "  host: reviews\n  trafficPolicy: {tls: {mode: ISTIO_MUTAL}}\n",
                &[
                    "x.yaml:6: spec.trafficPolicy.tls.mode: \"ISTIO_MUTAL\" is none of its values; did you mean ISTIO_MUTUAL?",
                ],
            ),
            (
                "  host: reviews\n  trafficPolicy: {portLevelSettings: [{port: {number: 81}}]}\n",
                &[
                    "x.yaml:6: spec.trafficPolicy.portLevelSettings: reviews.shop.svc.cluster.local has no port 81; it has 80",
                ],
            ),
            (
                "  host: reviews\n  trafficPolicy: {portLevelSettings: [{}]}\n",
                &["x.yaml:6: spec.trafficPolicy.portLevelSettings[0].port.number: is missing; name the service's port"],
            ),
            (
                "  host: reviews\n  workloadSelector: {labels: {a: b}}\n",
                &[
                    "x.yaml:6: spec.workloadSelector: is not supported yet, and without it the rule would hold for every client; remove it",
                ],
            ),
            (
                "  host: catalog\n  subsets: [{name: v1, labels: {version: v9}}]\n",
                &[
                    "x.yaml:6: spec.subsets[0].name: \"v1\" is already a subset in DestinationRule shop/catalog, which is older and decides",
                ],
            ),
            (
                "  host: reviews\n  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 1}}}\n",
                &[
                    "x.yaml:6: spec.trafficPolicy.connectionPool.tcp.connectTimeout: expected a text, found the number 1; put it in quotes",
                ],
            ),
        ],
    );
}

#[test]
fn service_entries() {
    let local = "which would lead into the proxy's own pod or node; use the address of the destination";
    let ports = "  ports: [{number: 443, name: tls, protocol: TLS}]\n";
    let cases: &[(&str, &str)] = &[
        ("  hosts: []\n", "x.yaml:5: spec.hosts: has 0 hosts; name 1 to 256"),
        (
            "  hosts: [\"*\"]\n",
            "x.yaml:5: spec.hosts[0]: \"*\" would take every host of the mesh; name the domain, as in \"*.example.com\"",
        ),
        (
            "  hosts: [localhost]\n",
            "x.yaml:5: spec.hosts[0]: \"localhost\" is the proxy's own host; name the destination",
        ),
        (
            "  hosts: [\"*.example.com\"]\n  resolution: DNS\n",
            "x.yaml:5: spec.hosts[0]: a wildcard cannot be resolved; list endpoints or use resolution NONE",
        ),
        (
            "  hosts: [a.example.com]\n  resolution: STATIC\n  endpoints:\n  - address: 127.0.0.1\n",
            &format!("x.yaml:8: spec.endpoints[0].address: 127.0.0.1 is a loopback address, {local}"),
        ),
        (
            "  hosts: [a.example.com]\n  addresses: [169.254.169.254]\n",
            &format!("x.yaml:6: spec.addresses[0]: 169.254.169.254 is a link-local address, {local}"),
        ),
        (
            "  hosts: [a.example.com]\n  addresses: [\"::6\"]\n",
            &format!("x.yaml:6: spec.addresses[0]: ::6 is a loopback address, {local}"),
        ),
        (
            "  hosts: [a.example.com]\n  addresses: [\"::ffff:127.0.0.1\"]\n",
            &format!("x.yaml:6: spec.addresses[0]: 127.0.0.1 is a loopback address, {local}"),
        ),
        (
            "  hosts: [a.example.com]\n  addresses: [10.0.0.0/8]\n",
            "x.yaml:6: spec.addresses[0]: 10.0.0.0/8: networks are not supported yet; list single addresses",
        ),
        (
            "  hosts: [a.example.com]\n  resolution: STATIC\n",
            "x.yaml:6: spec.resolution: STATIC without endpoints or workloadSelector: requests are answered with 503",
        ),
        (
            "  hosts: [a.example.com]\n  resolution: STATIC\n  endpoints: [{address: b.example.com}]\n",
            "x.yaml:7: spec.endpoints[0].address: \"b.example.com\" is not an IP address; use one, or resolution DNS",
        ),
        (
            "  hosts: [a.example.com]\n  resolution: DNS\n  endpoints: [{address: \"unix:///x\"}]\n",
            "x.yaml:7: spec.endpoints[0].address: Unix sockets are not supported yet; use an IP address or a host name",
        ),
        (
            "  hosts: [a.example.com]\n  endpoints: [{address: 10.0.0.1}]\n",
            "x.yaml:6: spec.endpoints: does not go with resolution NONE, which keeps the client's address; use STATIC or DNS",
        ),
        (
            "  hosts: [a.example.com]\n  resolution: DYNAMIC_DNS\n",
            "x.yaml:6: spec.resolution: DYNAMIC_DNS is not supported yet; use DNS, or NONE for a wildcard host",
        ),
        (
            "  hosts: [a.example.com]\n  location: MESH_EXTRENAL\n",
            "x.yaml:6: spec.location: \"MESH_EXTRENAL\" is none of its values; did you mean MESH_EXTERNAL?",
        ),
        (
            "  hosts: [a.example.com]\n  resolution: DNS\n  endpoints: [{address: 10.0.0.1, ports: {http: 80}}]\n",
            "x.yaml:7: spec.endpoints[0].ports.http: there is no port \"http\" in spec.ports",
        ),
        (
            "  hosts: [catalog.shop.svc.cluster.local]\n",
            "x.yaml:5: spec.hosts[0]: is the host of Service shop/catalog: only subjectAltNames are taken from here",
        ),
    ];
    for (spec, expected) in cases {
        specs_give("networking.istio.io/v1", "ServiceEntry", &[(&format!("{spec}{ports}"), &[expected])]);
    }
    specs_give(
        "networking.istio.io/v1",
        "ServiceEntry",
        &[
            ("  hosts: [a.example.com]\n", &["x.yaml:4: spec.ports: is missing; list the ports that clients use"]),
            (
                "  hosts: [a.example.com]\n  ports: [{number: 80, name: a, protocol: HTPP}, {name: b}]\n",
                &[
                    "x.yaml:6: spec.ports[0].protocol: \"HTPP\" is none of its values; did you mean HTTP?",
                    "x.yaml:6: spec.ports[1].number: is missing",
                ],
            ),
        ],
    );
}

#[test]
fn a_service_entry_may_not_take_over_the_service_of_another_namespace() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: x, namespace: other}\nspec:\n  hosts: [catalog.shop.svc.cluster.local]\n  ports: [{number: 80, name: http}]\n";
    assert_eq!(
        findings_of(text),
        [
            "x.yaml:5: spec.hosts[0]: catalog.shop.svc.cluster.local is the host of Service shop/catalog, which only its own namespace may describe further"
        ]
    );
}

const STRICT: &str =
    "x.yaml:1: STRICT is in force for whom it is for until it is mended: no right version of it is known";
const UNTOLD: &str = "x.yaml:1: it is not in force, and nothing is in its place, because whom it is for cannot be told: where no other policy forbids it, plain text is served until it is mended";

#[test]
fn peer_authentications() {
    specs_give(
        "security.istio.io/v1",
        "PeerAuthentication",
        &[
            (
                "  mtls: {mode: STRCT}\n",
                &[STRICT, "x.yaml:5: spec.mtls.mode: \"STRCT\" is none of its values; did you mean STRICT?"],
            ),
            (
                "  portLevelMtls: {8080: {mode: DISABLE}}\n",
                &[STRICT, "x.yaml:5: spec.portLevelMtls: needs a selector: ports belong to workloads"],
            ),
            (
                "  selector: {matchLabels: {app: x}}\n  portLevelMtls: {http: {mode: DISABLE}}\n",
                &[STRICT, "x.yaml:6: spec.portLevelMtls.http: \"http\" is not a port; use 1 to 65535"],
            ),
            (
                "  selector: {labels: {app: x}}\n",
                &[UNTOLD, "x.yaml:5: spec.selector.labels: no such field; there are matchLabels"],
            ),
        ],
    );
    let root = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: x, namespace: istio-system}\nspec:\n  selector: {matchLabels: {app: x}}\n";
    assert_eq!(
        findings_of(root),
        [
            UNTOLD,
            "x.yaml:5: spec.selector: has no effect in the root namespace, where only a policy for the whole mesh counts; move it to the workload's namespace"
        ]
    );
}
