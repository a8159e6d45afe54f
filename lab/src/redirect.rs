//! What a pod's annotations ask of the redirect rules, as arguments of `meltemi init`.

use crate::manifest::PodSpec;

/// The mark on the proxy's own connections. In a user namespace there is but one uid, so that marks tell them apart.
pub(crate) const PROXY_MARK: u32 = 1337;
const EXCLUDED_INBOUND: &str = "15090,15021,15020";

/// The arguments after `meltemi`, as Istio's injection template gives them, with the annotations
/// `traffic.sidecar.istio.io/*` in their places.
pub(crate) fn init_arguments(pod: &PodSpec) -> Vec<String> {
    let annotation = |name: &str| pod.annotations.get(&format!("traffic.sidecar.istio.io/{name}"));
    let or = |name: &str, default: &str| annotation(name).map_or(default, String::as_str).to_owned();
    let mut arguments: Vec<String> = ["init", "-p", "15001", "-z", "15006", "-m", "REDIRECT"].map(str::to_owned).into();
    arguments.extend(["--proxy-mark".to_owned(), PROXY_MARK.to_string()]);
    let excluded_inbound = match annotation("excludeInboundPorts").filter(|ports| !ports.is_empty()) {
        Some(ports) => format!("{EXCLUDED_INBOUND},{ports}"),
        None => EXCLUDED_INBOUND.to_owned(),
    };
    for (flag, value) in [
        ("-i", or("includeOutboundIPRanges", "*")),
        ("-x", or("excludeOutboundIPRanges", "")),
        ("-b", or("includeInboundPorts", "*")),
        ("-d", excluded_inbound),
        ("-q", or("includeOutboundPorts", "")),
        ("-o", or("excludeOutboundPorts", "")),
        ("-c", or("excludeInterfaces", "")),
        ("-k", or("kubevirtInterfaces", "")),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::init_arguments;
    use crate::manifest::PodSpec;
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    #[test]
    fn annotations_become_flags() {
        let annotations =
            [("includeInboundPorts", "8080"), ("excludeInboundPorts", "9000"), ("excludeOutboundPorts", "22")];
        let annotations: BTreeMap<String, String> = annotations
            .into_iter()
            .map(|(name, value)| (format!("traffic.sidecar.istio.io/{name}"), value.to_owned()))
            .collect();
        let pod = PodSpec {
            name: "a".to_owned(),
            namespace: "b".to_owned(),
            service_account: "c".to_owned(),
            labels: BTreeMap::new(),
            annotations,
            ips: vec![Ipv4Addr::LOCALHOST.into()],
            image: String::new(),
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            ports: Vec::new(),
        };
        let line = init_arguments(&pod).join(" ");
        assert!(line.contains("-i * -x  -b 8080 -d 15090,15021,15020,9000 -q  -o 22"), "{line}");
    }
}
