//! What the lab needs of a configuration directory: the Pods that it runs, and the names that their applications look up.
//! Everything else in the directory is the control plane's business.

use crate::error::LabError;
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodStatus, Service};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// A Pod to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSpec {
    /// Its name.
    pub name: String,
    /// Its namespace (`default` when unset).
    pub namespace: String,
    /// Its service account (`default` when unset).
    pub service_account: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// `status.podIPs`, the first of which is `status.podIP`; never empty.
    pub ips: Vec<IpAddr>,
    /// The image of the first container.
    pub image: String,
    /// `command` and `args` of the first container, as written.
    pub command: Vec<String>,
    /// See `command`.
    pub args: Vec<String>,
    /// The environment of the first container.
    pub env: Vec<(String, String)>,
    /// The container ports of the first container: the pod is up when they accept.
    pub ports: Vec<u16>,
}

impl PodSpec {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Its first address.
    pub fn ip(&self) -> IpAddr {
        self.ips.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// Whether it gets a sidecar: the label `sidecar.istio.io/inject` says no, or nothing.
    pub fn has_sidecar(&self) -> bool {
        self.labels.get("sidecar.istio.io/inject").is_none_or(|value| value != "false")
    }
}

/// The objects of a directory that concern the lab.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    /// The Pods, in the order of files and documents.
    pub pods: Vec<PodSpec>,
    services: Vec<ServiceName>,
    external: Vec<(String, IpAddr)>,
}

#[derive(Debug, Clone)]
struct ServiceName {
    name: String,
    namespace: String,
    /// None for a headless service, which stands for its pods.
    addresses: Vec<IpAddr>,
    selector: BTreeMap<String, String>,
}

impl Manifests {
    /// Reads every `.yaml` and `.yml` file of `directory` and its folders.
    ///
    /// # Errors
    /// [`LabError::Manifest`] for a file that is not YAML or a Pod that cannot be run.
    pub fn read(directory: &Path) -> Result<Manifests, LabError> {
        let mut manifests = Manifests::default();
        for file in yaml_files(directory)? {
            let text = fs::read_to_string(&file).map_err(LabError::io(format!("read {}", file.display())))?;
            manifests.add(&text).map_err(|problem| LabError::Manifest { file, problem })?;
        }
        Ok(manifests)
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
        for document in documents {
            match document.pointer("/kind").and_then(Value::as_str) {
                Some("Pod") => self.pods.push(pod(document)?),
                Some("Service") => self.services.push(service(document)?),
                Some("ServiceEntry") => self.external.extend(external(&document)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The text of `/etc/hosts` for pods of one namespace: services by every name that cluster DNS would answer, pods by name.
    pub fn hosts(&self, namespace: &str) -> String {
        let mut text = String::from("127.0.0.1 localhost\n::1 localhost\n");
        // A service hides a pod of the same name, as in a cluster, where pods have no names to look up.
        let hidden = |name: &str| self.services.iter().any(|service| service.name == name);
        for pod in self.pods.iter().filter(|pod| !hidden(&pod.name)) {
            for ip in &pod.ips {
                text.push_str(&format!("{ip} {}\n", pod.name));
            }
        }
        for service in &self.services {
            let qualified = format!("{}.{}", service.name, service.namespace);
            let mut names = format!("{qualified} {qualified}.svc {qualified}.svc.cluster.local");
            if service.namespace == namespace {
                names.push_str(&format!(" {}", service.name));
            }
            for address in self.addresses(service) {
                text.push_str(&format!("{address} {names}\n"));
            }
        }
        for (host, address) in &self.external {
            text.push_str(&format!("{address} {host}\n"));
        }
        text
    }

    fn addresses(&self, service: &ServiceName) -> Vec<IpAddr> {
        if !service.addresses.is_empty() {
            return service.addresses.clone();
        }
        let selected = |pod: &&PodSpec| {
            pod.namespace == service.namespace
                && !service.selector.is_empty()
                && service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        };
        self.pods.iter().filter(selected).flat_map(|pod| pod.ips.iter().copied()).collect()
    }
}

fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>, LabError> {
    let reading = |path: &Path| LabError::io(format!("read the configuration directory {}", path.display()));
    let mut files = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(reading(&folder))? {
            let path = entry.map_err(reading(&folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn pod(document: Value) -> Result<PodSpec, String> {
    let pod: Pod = serde_json::from_value(document).map_err(|error| format!("Pod: {error}"))?;
    let name = pod.metadata.name.ok_or("Pod: metadata.name is missing")?;
    let namespace = pod.metadata.namespace.unwrap_or_else(|| "default".to_owned());
    let problem = |field: &str, what: &str| format!("Pod {namespace}/{name}: {field}: {what}");
    let ips = addresses(pod.status.unwrap_or_default()).map_err(|what| problem("status.podIP", &what))?;
    let spec = pod.spec.ok_or_else(|| problem("spec", "is missing"))?;
    let container = spec.containers.into_iter().next().ok_or_else(|| problem("spec.containers", "is empty"))?;
    let env = environment(&container, &name, &namespace, &ips);
    let ports = container.ports.iter().flatten().filter_map(|port| u16::try_from(port.container_port).ok()).collect();
    Ok(PodSpec {
        name,
        namespace,
        service_account: spec.service_account_name.unwrap_or_else(|| "default".to_owned()),
        labels: pod.metadata.labels.unwrap_or_default(),
        annotations: pod.metadata.annotations.unwrap_or_default(),
        ips,
        image: container.image.unwrap_or_default(),
        command: container.command.unwrap_or_default(),
        args: container.args.unwrap_or_default(),
        env,
        ports,
    })
}

/// `podIPs`, or `podIP` where a manifest has nothing else.
fn addresses(status: PodStatus) -> Result<Vec<IpAddr>, String> {
    let listed = status.pod_ips.unwrap_or_default().into_iter().map(|listed| listed.ip);
    let mut texts: Vec<String> = listed.collect();
    if texts.is_empty() {
        texts.extend(status.pod_ip);
    }
    if texts.is_empty() {
        return Err("is missing; the lab gives the pod this address".to_owned());
    }
    texts.iter().map(|text| text.parse().map_err(|_| format!("{text:?} is no address"))).collect()
}

/// Plain values and the fields of the downward API that a lab can know.
fn environment(container: &Container, name: &str, namespace: &str, ips: &[IpAddr]) -> Vec<(String, String)> {
    let listed: Vec<String> = ips.iter().map(ToString::to_string).collect();
    let field = |variable: &EnvVar| {
        let path = variable.value_from.as_ref()?.field_ref.as_ref()?.field_path.as_str();
        match path {
            "metadata.name" => Some(name.to_owned()),
            "metadata.namespace" => Some(namespace.to_owned()),
            "status.podIP" => listed.first().cloned(),
            "status.podIPs" => Some(listed.join(",")),
            _ => None,
        }
    };
    let value = |variable: &EnvVar| variable.value.clone().or_else(|| field(variable)).unwrap_or_default();
    container.env.iter().flatten().map(|variable| (variable.name.clone(), value(variable))).collect()
}

fn service(document: Value) -> Result<ServiceName, String> {
    let service: Service = serde_json::from_value(document).map_err(|error| format!("Service: {error}"))?;
    let spec = service.spec.unwrap_or_default();
    Ok(ServiceName {
        name: service.metadata.name.ok_or("Service: metadata.name is missing")?,
        namespace: service.metadata.namespace.unwrap_or_else(|| "default".to_owned()),
        addresses: match spec.cluster_ips {
            Some(all) => all.iter().filter_map(|address| address.parse().ok()).collect(),
            None => spec.cluster_ip.and_then(|address| address.parse().ok()).into_iter().collect(),
        },
        selector: spec.selector.unwrap_or_default(),
    })
}

/// Hosts of a ServiceEntry, with the address that DNS would give for them: the entry's own, or that of its first endpoint.
fn external(document: &Value) -> Vec<(String, IpAddr)> {
    let text = |path: &str| document.pointer(path).and_then(Value::as_str);
    let address = text("/spec/addresses/0").or_else(|| text("/spec/endpoints/0/address"));
    let Some(address) = address.and_then(|address| address.split('/').next()?.parse::<IpAddr>().ok()) else {
        return Vec::new();
    };
    let hosts = document.pointer("/spec/hosts").and_then(Value::as_array).into_iter().flatten();
    hosts.filter_map(Value::as_str).filter(|host| !host.contains('*')).map(|host| (host.to_owned(), address)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Manifests;

    const OBJECTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: shop}
spec: {clusterIP: None, selector: {app: catalog}}
---
apiVersion: v1
kind: Pod
metadata:
  name: catalog-v1
  namespace: shop
  labels: {app: catalog, version: v1, sidecar.istio.io/inject: "false"}
spec:
  serviceAccountName: catalog
  containers:
    - name: app
      image: meltemi/shop
      args: [catalog]
      ports: [{containerPort: 8080}]
      env:
        - {name: VERSION, value: v1}
        - {name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
status: {podIP: 10.44.0.21}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: shop}
spec: {hosts: [api.example.com, "*.example.org"], endpoints: [{address: 10.44.9.9}]}
"#;

    fn manifests(text: &str) -> Result<Manifests, String> {
        let mut manifests = Manifests::default();
        manifests.add(text).map(|()| manifests)
    }

    #[test]
    fn a_pod_says_how_it_is_run() {
        let manifests = manifests(OBJECTS).unwrap();
        let pod = &manifests.pods[0];
        assert_eq!(pod.full_name(), "shop/catalog-v1");
        assert_eq!((pod.service_account.as_str(), pod.ip().to_string().as_str()), ("catalog", "10.44.0.21"));
        assert_eq!((pod.args.as_slice(), pod.ports.as_slice()), (["catalog".to_owned()].as_slice(), [8080].as_slice()));
        assert_eq!(pod.env, [("VERSION", "v1"), ("ME", "catalog-v1")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(!pod.has_sidecar());
    }

    #[test]
    fn hosts_hold_what_cluster_dns_would_answer() {
        let manifests = manifests(OBJECTS).unwrap();
        let same = manifests.hosts("shop");
        assert!(same.contains("10.96.0.10 catalog.shop catalog.shop.svc catalog.shop.svc.cluster.local catalog\n"));
        assert!(same.contains("10.44.0.21 peers.shop "), "a headless service stands for its pods: {same}");
        assert!(same.contains("10.44.9.9 api.example.com\n") && !same.contains("example.org"));
        let other = manifests.hosts("elsewhere");
        assert!(
            other.contains("catalog.shop.svc.cluster.local\n"),
            "short names hold in their namespace only: {other}"
        );
    }

    #[test]
    fn a_pod_without_address_is_refused_by_name() {
        let text = "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: x}]}\n";
        assert!(manifests(text).unwrap_err().contains("Pod default/a: status.podIP"));
    }
}
