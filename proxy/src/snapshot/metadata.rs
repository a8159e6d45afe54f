//! What Istio's convention writes into a resource's metadata: where it came from, and whom it stands for.

use std::sync::Arc;

use record::{Service, Workload};
use xds::core::Metadata;
use xds::google::{Struct, value::Kind};
use xds::string_field;

fn istio(metadata: Option<&Metadata>) -> Option<&Struct> {
    metadata?.filter_metadata.get("istio")
}

/// The object that a resource was made from, as a path of the API server: `istio.config`.
pub(super) fn provenance(metadata: Option<&Metadata>) -> Option<Arc<str>> {
    string_field(istio(metadata)?, "config").map(Arc::from)
}

/// How many requests under way are too many for a connection each: `meltemi.multiplex_above`, a number.
pub(super) fn multiplex_above(metadata: Option<&Metadata>) -> Option<u32> {
    match metadata?.filter_metadata.get("meltemi")?.fields.get("multiplex_above")?.kind.as_ref()? {
        Kind::NumberValue(number) if (0.0..=f64::from(u32::MAX)).contains(number) => Some(*number as u32),
        _ => None,
    }
}

/// The first of the services behind a cluster: `istio.services`.
pub(super) fn service(metadata: Option<&Metadata>) -> Option<Service> {
    let Kind::ListValue(services) = istio(metadata)?.fields.get("services")?.kind.as_ref()? else { return None };
    let Kind::StructValue(first) = services.values.first()?.kind.as_ref()? else { return None };
    let text = |key| string_field(first, key).filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    let unknown = Service::default();
    Some(Service {
        host: text("host")?,
        name: text("name").unwrap_or(unknown.name),
        namespace: text("namespace").unwrap_or(unknown.namespace),
    })
}

/// The service that a cluster's name tells of: `outbound|<port>|<subset>|<host>`.
pub(super) fn service_of_name(cluster: &str) -> Service {
    let mut parts = cluster.splitn(4, '|');
    let host = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("outbound" | "outbound_"), Some(_), Some(_), Some(host)) if !host.is_empty() => host,
        (Some("PassthroughCluster" | "BlackHoleCluster" | "InboundPassthroughCluster"), None, _, _) => {
            return Service { name: cluster.to_owned(), ..Service::default() };
        }
        _ => return Service::default(),
    };
    let mut labels = host.splitn(4, '.');
    match (labels.next(), labels.next(), labels.next(), labels.next()) {
        (Some(name), Some(namespace), Some("svc"), _) => {
            Service { host: host.to_owned(), name: name.to_owned(), namespace: namespace.to_owned() }
        }
        _ => Service { host: host.to_owned(), name: host.to_owned(), ..Service::default() },
    }
}

/// Who an endpoint is: `istio.workload`, `<name>;<namespace>;<canonical name>;<canonical revision>;<cluster>`.
pub(super) fn workload(metadata: Option<&Metadata>) -> Option<Workload> {
    let text = string_field(istio(metadata)?, "workload")?;
    let mut parts = text.split(';');
    let mut next = |value: &mut String| {
        if let Some(part) = parts.next().filter(|part| !part.is_empty()) {
            part.clone_into(value);
        }
    };
    let mut workload = Workload::default();
    next(&mut workload.name);
    next(&mut workload.namespace);
    next(&mut workload.canonical_service);
    next(&mut workload.canonical_revision);
    next(&mut workload.cluster);
    called_as_usual(&mut workload);
    Some(workload)
}

/// Labels `app` and `version` do not travel; canonical name and revision are made from them, unless somebody set those.
/// A revision `latest` says that there is no such label.
pub(super) fn called_as_usual(workload: &mut Workload) {
    workload.app.clone_from(&workload.canonical_service);
    if workload.canonical_revision != Workload::default().canonical_revision {
        workload.version.clone_from(&workload.canonical_revision);
    }
}

/// What an endpoint says of itself to `transport_socket_matches`: `envoy.transport_socket_match`.
pub(super) fn transport_match(metadata: Option<&Metadata>) -> Vec<(Box<str>, Box<str>)> {
    let fields = metadata.and_then(|metadata| metadata.filter_metadata.get("envoy.transport_socket_match"));
    fields.map(strings).unwrap_or_default()
}

/// The fields of a tree that are strings, in order of their names.
pub(super) fn strings(fields: &Struct) -> Vec<(Box<str>, Box<str>)> {
    let text = |key: &String| Some((key.as_str().into(), string_field(fields, key)?.into()));
    let mut pairs: Vec<(Box<str>, Box<str>)> = fields.fields.keys().filter_map(text).collect();
    pairs.sort();
    pairs
}

/// Whether subsets of a cluster are chosen by metadata: `envoy.lb`.
pub(super) fn has_subset(metadata: Option<&Metadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.filter_metadata.contains_key("envoy.lb"))
}
