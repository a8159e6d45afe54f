//! What is checked of a response before anybody else sees it. The control plane may be broken or hostile.

use std::{collections::HashSet, sync::Arc};

use prost::{Message, bytes::Bytes};

use super::Received;
use crate::{ResourceType, discovery::Resource};

/// The resources of a response, sorted out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Inspected {
    pub good: Vec<Received>,
    /// Names with the reason why they are refused.
    pub bad: Vec<(String, String)>,
}

/// The name inside of a message: Envoy's five kinds all have it in field 1.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// Sorts out the resources of one response. `heartbeat` says whether a resource without content is one that is held
/// in that version: it only renews the resource's time to live, which we do not use.
pub(super) fn inspect(
    kind: ResourceType,
    resources: Vec<Resource>,
    heartbeat: impl Fn(&str, &str) -> bool,
) -> Inspected {
    let mut seen = HashSet::new();
    let twice: HashSet<String> = resources
        .iter()
        .filter(|resource| !seen.insert(&resource.name))
        .map(|resource| resource.name.clone())
        .collect();
    let mut inspected = Inspected::default();
    for name in &twice {
        inspected.bad.push((name.clone(), "comes twice in one response".to_owned()));
    }
    for resource in resources {
        if twice.contains(&resource.name)
            || (resource.resource.is_none() && heartbeat(&resource.name, &resource.version))
        {
            continue;
        }
        let name = resource.name.clone();
        match checked(kind, resource) {
            Ok(received) => inspected.good.push(received),
            Err(reason) => inspected.bad.push((name, reason)),
        }
    }
    inspected
}

fn checked(kind: ResourceType, resource: Resource) -> Result<Received, String> {
    let any = resource.resource.ok_or("has no content")?;
    if any.type_url != kind.type_url() {
        return Err(format!("expected {}, got `{}`", kind.type_url(), any.type_url));
    }
    if resource.name.is_empty() {
        return Err("a resource without a name".to_owned());
    }
    if kind != ResourceType::Address {
        let inner =
            Named::decode(any.value.as_slice()).map_err(|error| format!("the bytes are no valid message: {error}"))?;
        if inner.name != resource.name {
            return Err(format!("the message inside is named `{}`", inner.name));
        }
    }
    Ok(Received {
        name: Arc::from(resource.name),
        version: Arc::from(resource.version),
        value: Bytes::from(any.value),
        type_url: kind.type_url(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::Cluster, google::Any, listener::Listener, pack};

    fn cluster(name: &str) -> Resource {
        let message = Cluster { name: name.into(), ..Cluster::default() };
        Resource { name: name.into(), version: "1".into(), resource: Some(pack(&message)), ..Resource::default() }
    }

    fn names(resources: Vec<Resource>) -> (Vec<String>, Vec<(String, String)>) {
        let inspected = inspect(ResourceType::Cluster, resources, |name, version| (name, version) == ("held", "1"));
        (inspected.good.iter().map(|received| received.name.to_string()).collect(), inspected.bad)
    }

    #[test]
    fn one_bad_resource_does_not_cost_its_neighbours() {
        let other_type =
            Resource { resource: Some(pack(&Listener { name: "b".into(), ..Listener::default() })), ..cluster("b") };
        let other_name = Resource { name: "c".into(), ..cluster("impostor") };
        let garbage = Any { value: vec![0xff; 9], ..pack(&Cluster::default()) };
        let garbage = Resource { resource: Some(garbage), ..cluster("d") };
        let (good, bad) = names(vec![cluster("a"), other_type, other_name, garbage, cluster("e")]);
        assert_eq!(good, ["a", "e"]);
        assert_eq!(bad.len(), 3);
        assert!(bad[0].1.contains("expected type.googleapis.com/envoy.config.cluster.v3.Cluster"), "{}", bad[0].1);
        assert!(bad[1].1.contains("`impostor`"), "{}", bad[1].1);
        assert!(bad[2].1.contains("no valid message"), "{}", bad[2].1);
    }

    #[test]
    fn a_name_that_comes_twice_is_refused_once_and_whole() {
        let (good, bad) = names(vec![cluster("a"), cluster("b"), cluster("a"), cluster("a")]);
        assert_eq!(good, ["b"]);
        assert_eq!(bad, [("a".to_owned(), "comes twice in one response".to_owned())]);
    }

    #[test]
    fn no_content_is_a_heartbeat_for_what_is_held_and_else_a_fault() {
        let empty = |name: &str| Resource { resource: None, ..cluster(name) };
        let (good, bad) = names(vec![empty("held"), empty("other")]);
        assert!(good.is_empty());
        assert_eq!(bad, [("other".to_owned(), "has no content".to_owned())]);
    }

    #[test]
    fn a_resource_without_a_name_is_refused() {
        let (good, bad) = names(vec![cluster("")]);
        assert!(good.is_empty());
        assert_eq!(bad.len(), 1);
    }
}
