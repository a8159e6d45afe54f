//! Which object a resource came from, written into its metadata as Istio does: filter metadata `istio`, field
//! `config`, and the services behind a cluster in the field `services`.

use xds::core::Metadata;
use xds::google::{ListValue, Struct, Value, value::Kind};
use xds::{string_value, struct_of, struct_value};

use crate::model::{Host, ObjectRef, Service, ServicePort};

/// The namespace of the metadata.
const NAMESPACE: &str = "istio";

/// The metadata of a resource that came from one object.
pub(super) fn of(source: &ObjectRef) -> Option<Metadata> {
    metadata(struct_of([("config", string_value(source.config_path()))]))
}

/// The metadata of an outbound cluster: the object that shaped it last, and its service.
pub(super) fn of_cluster(source: &ObjectRef, service: &Service) -> Option<Metadata> {
    let services = list(vec![service_value(&service.host, &service.name, &service.namespace)]);
    metadata(struct_of([("config", string_value(source.config_path())), ("services", services)]))
}

/// The metadata of an inbound cluster: the services that lead to the port, and the object of the first.
pub(super) fn of_services(source: Option<&ObjectRef>, services: &[ServicePort]) -> Option<Metadata> {
    let values = services.iter().map(|port| service_value(&port.host, &port.name, &port.namespace));
    let config = source.map(|source| ("config", string_value(source.config_path())));
    metadata(struct_of(config.into_iter().chain([("services", list(values.collect()))])))
}

fn metadata(fields: Struct) -> Option<Metadata> {
    Some(Metadata { filter_metadata: [(NAMESPACE.to_owned(), fields)].into(), ..Metadata::default() })
}

fn service_value(host: &Host, name: &str, namespace: &str) -> Value {
    let fields =
        [("host", string_value(host.as_str())), ("name", string_value(name)), ("namespace", string_value(namespace))];
    struct_value(struct_of(fields))
}

fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(Kind::ListValue(ListValue { values })) }
}
