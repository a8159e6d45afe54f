//! What is reported of Kubernetes objects, word by word.

use crate::fixture::{each_gives, findings_of};

#[test]
fn services() {
    let service =
        |spec: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: x, namespace: shop}}\nspec:\n{spec}");
    for (spec, expected) in [
        (
            "  ports: [{port: 80}]\n",
            &[
                "x.yaml:4: spec.clusterIP: is missing: no API server assigns one here; write an address, or None for a headless service",
            ][..],
        ),
        (
            "  clusterIP: 127.0.0.1\n  ports: [{port: 80}]\n",
            &[
                "x.yaml:5: spec.clusterIP: 127.0.0.1 is a loopback address, which would lead into the proxy's own pod or node; use the address of the destination",
            ],
        ),
        (
            "  clusterIP: 10.0.0.256\n  ports: [{port: 80}]\n",
            &["x.yaml:5: spec.clusterIP: \"10.0.0.256\" is not an IP address"],
        ),
        ("  clusterIP: 10.0.0.2\n", &["x.yaml:4: spec.ports: is missing; list the ports that clients use"]),
        (
            "  clusterIP: 10.0.0.2\n  ports:\n  - port: 80\n  - {name: b, port: 0}\n",
            &[
                "x.yaml:7: spec.ports[0].name: is missing; a service with several ports must name each",
                "x.yaml:8: spec.ports[1].port: 0 is not a port; use 1 to 65535",
            ],
        ),
        (
            "  clusterIP: 10.0.0.2\n  ports: [{name: a, port: 80}, {name: a, port: 81}]\n",
            &["x.yaml:6: spec.ports[1].name: \"a\" occurs twice; names tell ports apart"],
        ),
        (
            "  clusterIP: 10.0.0.2\n  ports: [{name: a, port: 80}, {name: b, port: 80}]\n",
            &["x.yaml:6: spec.ports[1].port: 80 occurs twice; keep one"],
        ),
        (
            "  clusterIP: 10.0.0.2\n  selectors: {app: x}\n  ports: [{port: 80}]\n",
            &["x.yaml:6: spec.selectors: no such field; did you mean \"selector\"?"],
        ),
        (
            "  clusterIP: 10.0.0.2\n  brandNewOption: 1\n  ports: [{port: 80}]\n",
            &["x.yaml:6: spec.brandNewOption: no such field; it is ignored"],
        ),
        (
            "  clusterIP: 10.0.0.2\n  ports:\n  - port: http\n",
            &["x.yaml:7: spec.ports[0].port: expected a whole number, found the text \"http\""],
        ),
        ("  type: ExternalName\n  externalName: example.com\n", &[]),
        ("  clusterIP: None\n", &[]),
        (
            "  type: ExternalName\n",
            &["x.yaml:4: spec.externalName: is missing; it names the host that this is another name for"],
        ),
        (
            "  type: ExternalName\n  externalName: catalog.shop.svc.cluster.local\n",
            &[
                "x.yaml:6: spec.externalName: is another name for Service shop/catalog: what is sent to it is treated as sent to that; routes and policies that name x.shop.svc.cluster.local lead nowhere, name Service shop/catalog in them",
            ],
        ),
        (
            "  clusterIP: 10.96.1.20\n  ports: [{port: 80}]\n",
            &[
                "x.yaml:5: spec.clusterIP: 10.96.1.20 port 80 also belongs to Service shop/catalog, which gets the requests",
            ],
        ),
        (
            "  clusterIP: None\n  ports: [{port: 80}, {name: dns, port: 53, protocol: UDP}]\n",
            &["x.yaml:6: spec.ports[0].name: is missing; a service with several ports must name each"],
        ),
    ] {
        assert_eq!(findings_of(&service(spec)), *expected, "of\n{spec}");
    }
}

#[test]
fn endpoint_slices() {
    each_gives(&[
        (
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x, namespace: shop}\naddressType: IPv4\nendpoints: []\n",
            &[
                "x.yaml:3: metadata.labels[kubernetes.io/service-name]: is missing; it names the service whose endpoints these are",
            ],
        ),
        (
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: x\n  namespace: shop\n  labels:\n    kubernetes.io/service-name: catlog\naddressType: IPv4\nendpoints: []\n",
            &[
                "x.yaml:7: metadata.labels[kubernetes.io/service-name]: no Service \"catlog\" in this namespace; nothing leads to these endpoints",
            ],
        ),
        (
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x, namespace: shop, labels: {kubernetes.io/service-name: reviews}}\naddressType: FQDN\nports:\n- {name: htp, port: 80}\nendpoints:\n- addresses: [169.254.169.254]\n",
            &[
                "x.yaml:4: addressType: \"FQDN\" is not supported; use IPv4 or IPv6",
                "x.yaml:8: endpoints[0].addresses[0]: 169.254.169.254 is a link-local address, which would lead into the proxy's own pod or node; use the address of the destination",
            ],
        ),
        (
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x, namespace: shop, labels: {kubernetes.io/service-name: reviews}}\naddressType: IPv4\nports:\n- {name: htp, port: 80}\nendpoints:\n- addresses: [10.0.0.9]\n",
            &["x.yaml:6: ports[0].name: the Service has no port \"htp\"; it has \"http\""],
        ),
    ]);
}

#[test]
fn pods() {
    each_gives(&[
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: shop}\nstatus: {podIP: 10.44.1.21}\n",
            &["x.yaml:4: status.podIP: 10.44.1.21 is also the address of Pod shop/catalog-v1, which counts"],
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: {version: 2}}\nspec: {containers: []}\n",
            &["x.yaml:3: metadata.labels.version: expected a text, found the number 2; put it in quotes"],
        ),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}\nstatus: {phase: Pending}\n", &[]),
    ]);
}
