//! ServiceEntry (istio-api service_entry.proto).

use super::Check;
use super::address::is_local_name;
use crate::api::{ServiceEntrySpec, ServicePortSpec, WorkloadEntrySpec};
use crate::model::{
    Endpoint, EndpointAddress, EndpointPort, EndpointState, Host, Labels, Locality, Location, Port, Protocol,
    Resolution, Service, ServiceKind, TargetPort, Workload,
};
use crate::object::{Content, ServiceEntry};
use crate::yaml::FieldPath;
use std::net::IpAddr;
use std::sync::Arc;

/// Limits of the API.
const MAX_HOSTS: usize = 256;
const MAX_ENDPOINTS: usize = 4096;

pub(super) fn check(spec: &ServiceEntrySpec, creation: i64, check: &mut Check<'_>) -> Option<Content> {
    let at = FieldPath::of("spec");
    let locations = [("MESH_EXTERNAL", Location::External), ("MESH_INTERNAL", Location::Internal)];
    let location = check.one_of(&at.key("location"), spec.location.as_deref(), &locations, Location::External);
    let resolution = check.resolution(&at, spec);
    let hosts = check.entry_hosts(&at.key("hosts"), spec, resolution);
    let ports = check.entry_ports(&at.key("ports"), &spec.ports);
    let addresses_at = at.key("addresses");
    let listed = spec.addresses.iter().enumerate();
    let addresses: Vec<IpAddr> =
        listed.filter_map(|(i, text)| check.virtual_address(&addresses_at.index(i), text)).collect();
    let selector = spec.workload_selector.as_ref().map(|selector| Labels::new(selector.labels.clone()));
    if selector.is_some() && !spec.endpoints.is_empty() {
        check.problems.error(&at.key("workloadSelector"), "is set together with endpoints; keep one");
    }
    let endpoints = check.entry_endpoints(&at.key("endpoints"), spec, resolution, &ports);
    let service = Service {
        host: Host::parse("*").ok()?,
        namespace: check.namespace().clone(),
        name: check.reference.name.clone(),
        kind: ServiceKind::ServiceEntry { location, resolution },
        addresses,
        ports,
        subject_alt_names: spec.subject_alt_names.iter().map(|name| Arc::from(name.as_str())).collect(),
        export_to: check.export_to(&at.key("exportTo"), &spec.export_to),
        selector,
        creation,
        source: check.reference.clone(),
        headless: false,
    };
    let services = hosts.into_iter().map(|host| of_host(&service, host, &endpoints));
    Some(Content::ServiceEntry(ServiceEntry { services: services.collect() }))
}

/// The service of one host. Without endpoints a resolved one has its own name as the endpoint.
fn of_host(template: &Service, host: Host, endpoints: &[Endpoint]) -> (Arc<Service>, Vec<Endpoint>) {
    let resolved = matches!(template.resolution(), Resolution::Dns | Resolution::DnsRoundRobin);
    let mut endpoints = endpoints.to_vec();
    if endpoints.is_empty() && resolved {
        endpoints.push(Endpoint {
            address: EndpointAddress::Name(host.shared()),
            other: None,
            ports: template.ports.iter().filter_map(own_port).collect(),
            workload: None,
            locality: Locality::default(),
            weight: 1,
            state: EndpointState::Ready,
            mtls: false,
        });
    }
    (Arc::new(Service { name: host.shared(), host, ..template.clone() }), endpoints)
}

fn own_port(port: &Port) -> Option<EndpointPort> {
    let TargetPort::Number(number) = port.target else { return None };
    Some(EndpointPort { service_port: port.number, number })
}

impl Check<'_> {
    fn resolution(&mut self, at: &FieldPath, spec: &ServiceEntrySpec) -> Resolution {
        let at = at.key("resolution");
        if spec.resolution.as_deref() == Some("DYNAMIC_DNS") {
            self.problems.error(&at, "DYNAMIC_DNS is not supported yet; use DNS, or NONE for a wildcard host");
            return Resolution::None;
        }
        let values = [
            ("NONE", Resolution::None),
            ("STATIC", Resolution::Static),
            ("DNS", Resolution::Dns),
            ("DNS_ROUND_ROBIN", Resolution::DnsRoundRobin),
        ];
        let resolution = self.one_of(&at, spec.resolution.as_deref(), &values, Resolution::None);
        let several = spec.endpoints.len() > 1;
        if resolution == Resolution::DnsRoundRobin && several {
            self.problems.error(&at, "DNS_ROUND_ROBIN takes at most one endpoint; use DNS for several");
        }
        if resolution == Resolution::Static && spec.endpoints.is_empty() && spec.workload_selector.is_none() {
            self.problems.warning(&at, "STATIC without endpoints or workloadSelector: requests are answered with 503");
        }
        resolution
    }

    fn entry_hosts(&mut self, at: &FieldPath, spec: &ServiceEntrySpec, resolution: Resolution) -> Vec<Host> {
        if spec.hosts.is_empty() || spec.hosts.len() > MAX_HOSTS {
            self.problems.error(at, format!("has {} hosts; name 1 to {MAX_HOSTS}", spec.hosts.len()));
        }
        let dns = matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin);
        let mut hosts = Vec::new();
        for (index, text) in spec.hosts.iter().enumerate() {
            let at = at.index(index);
            let Some(host) = self.problems.ok(&at, Host::parse(text)) else { continue };
            if host.as_str() == "*" {
                self.problems
                    .error(&at, "\"*\" would take every host of the mesh; name the domain, as in \"*.example.com\"");
            } else if is_local_name(host.as_str()) {
                self.problems.error(&at, format!("\"{host}\" is the proxy's own host; name the destination"));
            } else if host.is_wildcard() && dns && spec.endpoints.is_empty() {
                self.problems.error(&at, "a wildcard cannot be resolved; list endpoints or use resolution NONE");
            } else if hosts.contains(&host) {
                self.problems.error(&at, format!("names {host} a second time; remove it"));
            }
            hosts.push(host);
        }
        hosts
    }

    fn entry_ports(&mut self, at: &FieldPath, specs: &[ServicePortSpec]) -> Vec<Port> {
        if specs.is_empty() {
            self.problems.error(at, "is missing; list the ports that clients use");
        }
        let mut ports: Vec<Port> = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.index(index);
            let Some(port) = self.entry_port(&at, spec) else { continue };
            if ports.iter().any(|known| known.number == port.number) {
                self.problems.error(&at.key("number"), format!("{} occurs twice; keep one", port.number));
            } else if ports.iter().any(|known| known.name == port.name) {
                self.problems.error(&at.key("name"), format!("\"{}\" occurs twice; names tell ports apart", port.name));
            }
            ports.push(port);
        }
        ports.sort_by_key(|port| port.number);
        ports
    }

    fn entry_port(&mut self, at: &FieldPath, spec: &ServicePortSpec) -> Option<Port> {
        let Some(number) = spec.number else {
            self.problems.error(&at.key("number"), "is missing");
            return None;
        };
        let number = self.port(&at.key("number"), number)?;
        if spec.name.is_empty() {
            self.problems.error(&at.key("name"), "is missing; names tell ports apart");
        }
        let protocol = match spec.protocol.as_deref() {
            None | Some("") => Protocol::declared("", None, &spec.name, number)?,
            Some(text) => {
                let named = ["HTTP", "HTTP2", "HTTPS", "GRPC", "GRPC-WEB", "TCP", "TLS", "MONGO", "REDIS", "MYSQL"];
                let values = named.map(|name| (name, Protocol::named(name).unwrap_or(Protocol::Unknown)));
                self.one_of(&at.key("protocol"), Some(&text.to_ascii_uppercase()), &values, Protocol::Unknown)
            }
        };
        let target = match spec.target_port {
            None => number,
            Some(target) => self.port(&at.key("targetPort"), target)?,
        };
        Some(Port { number, name: spec.name.as_str().into(), target: TargetPort::Number(target), protocol })
    }

    fn entry_endpoints(
        &mut self,
        at: &FieldPath,
        spec: &ServiceEntrySpec,
        resolution: Resolution,
        ports: &[Port],
    ) -> Vec<Endpoint> {
        if spec.endpoints.len() > MAX_ENDPOINTS {
            self.problems
                .error(at, format!("has {} endpoints; at most {MAX_ENDPOINTS} are allowed", spec.endpoints.len()));
        }
        if resolution == Resolution::None && !spec.endpoints.is_empty() {
            self.problems
                .error(at, "does not go with resolution NONE, which keeps the client's address; use STATIC or DNS");
        }
        let listed = spec.endpoints.iter().enumerate();
        listed.filter_map(|(i, entry)| self.entry_endpoint(&at.index(i), entry, resolution, ports)).collect()
    }

    fn entry_endpoint(
        &mut self,
        at: &FieldPath,
        spec: &WorkloadEntrySpec,
        resolution: Resolution,
        ports: &[Port],
    ) -> Option<Endpoint> {
        let address = self.entry_address(&at.key("address"), &spec.address, resolution)?;
        if spec.network.as_deref().is_some_and(|network| !network.is_empty()) {
            self.problems.warning(&at.key("network"), "is not supported yet and has no effect");
        }
        let ports_at = at.key("ports");
        for (name, number) in &spec.ports {
            self.port(&ports_at.key(name), *number);
            if !ports.iter().any(|port| *port.name == **name) {
                self.problems.error(&ports_at.key(name), format!("there is no port \"{name}\" in spec.ports"));
            }
        }
        let own = ports.iter().filter_map(|port| {
            let named = spec.ports.get(&*port.name).and_then(|number| u16::try_from(*number).ok());
            named.map(|number| EndpointPort { service_port: port.number, number }).or_else(|| own_port(port))
        });
        let workload = Arc::new(self.entry_workload(&address, spec));
        Some(Endpoint {
            ports: own.collect(),
            locality: workload.locality.clone(),
            mtls: workload.mtls,
            workload: Some(workload),
            weight: spec.weight.unwrap_or(1),
            state: EndpointState::Ready,
            address,
            other: None,
        })
    }

    fn entry_address(&mut self, at: &FieldPath, text: &str, resolution: Resolution) -> Option<EndpointAddress> {
        if text.starts_with("unix://") {
            self.problems.error(at, "Unix sockets are not supported yet; use an IP address or a host name");
            return None;
        }
        if text.parse::<IpAddr>().is_ok() {
            return self.address(at, text).map(EndpointAddress::Ip);
        }
        if resolution == Resolution::Static {
            self.problems.error(at, format!("\"{text}\" is not an IP address; use one, or resolution DNS"));
            return None;
        }
        let host = self.problems.ok(at, Host::parse(text))?;
        if host.is_wildcard() || is_local_name(host.as_str()) {
            self.problems.error(at, format!("\"{host}\" is not the name of one other host"));
            return None;
        }
        Some(EndpointAddress::Name(host.shared()))
    }

    /// Who answers at an endpoint; the sidecar is there only when the entry says so.
    fn entry_workload(&self, address: &EndpointAddress, spec: &WorkloadEntrySpec) -> Workload {
        let labels = Labels::new(spec.labels.clone());
        let name: Arc<str> = match address {
            EndpointAddress::Ip(ip) => ip.to_string().into(),
            EndpointAddress::Name(name) => name.clone(),
        };
        let label = |names: [&str; 3], default: &str| {
            Arc::<str>::from(names.iter().find_map(|name| labels.get(name)).unwrap_or(default))
        };
        let canonical = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
        let revision = ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];
        Workload {
            namespace: self.namespace().clone(),
            service_account: spec.service_account.as_deref().unwrap_or_default().into(),
            canonical_service: label(canonical, &self.reference.name),
            canonical_revision: label(revision, "latest"),
            node: "".into(),
            locality: locality(spec.locality.as_deref().unwrap_or_default()),
            mtls: labels.get("security.istio.io/tlsMode") == Some("istio"),
            instance: name,
            name: self.reference.name.clone(),
            labels,
        }
    }
}

/// `region/zone/sub-zone`.
fn locality(text: &str) -> Locality {
    let mut parts = text.splitn(3, '/').map(Arc::from);
    let mut next = || parts.next().unwrap_or_else(|| "".into());
    Locality { region: next(), zone: next(), sub_zone: next() }
}
