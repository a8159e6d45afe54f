//! A data point's attributes as Istio's labels, and the edge that they speak about.

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use record::Reporter;
use record::names::{LATEST, OVERFLOW, UNKNOWN};

use crate::identity::{Account, Peer};

/// Longest label value that is taken, in bytes. A host name has 253, a SPIFFE id may be longer.
const LONGEST_VALUE: usize = 512;

/// A service on one end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Party {
    pub service: String,
    pub namespace: String,
}

impl Party {
    /// Stands for whoever has no sidecar.
    pub fn unknown() -> Self {
        Self { service: UNKNOWN.into(), namespace: UNKNOWN.into() }
    }

    pub fn is_unknown(&self) -> bool {
        self.service == UNKNOWN
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Grpc,
    Http,
    Tcp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}

/// What tells one edge from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EdgeKey {
    pub source: Party,
    pub destination: Party,
    pub protocol: Protocol,
    /// Who the source is by its certificate, when the destination knows no more than that.
    pub known_as: Option<Account>,
}

/// Why a data point is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPoint {
    #[error("a label is no text, or longer than 512 bytes")]
    Label,
    #[error("the label reporter is neither source nor destination")]
    Reporter,
    #[error("the label request_protocol is none of http, grpc, tcp, or does not fit the metric")]
    Protocol,
    #[error("the labels of the reporter's own side name another namespace or principal than its certificate")]
    OtherSide,
    #[error("the reporter ran out of room for label sets and reports them as overflow")]
    Overflow,
    #[error("the value is no whole number from 0 to 1,000,000,000")]
    Value,
    #[error("the histogram's bounds are not Istio's, or its buckets do not match them")]
    Buckets,
}

/// The labels that the hub reads; what is missing is empty.
#[derive(Debug, Default)]
pub(crate) struct Labels<'a> {
    reporter: &'a str,
    source_service: &'a str,
    source_namespace: &'a str,
    source_principal: &'a str,
    destination_service: &'a str,
    destination_namespace: &'a str,
    destination_principal: &'a str,
    destination_revision: &'a str,
    service_host: &'a str,
    service_name: &'a str,
    service_namespace: &'a str,
    protocol: &'a str,
    response_code: &'a str,
    grpc_status: &'a str,
    flags: &'a str,
    security: &'a str,
}

impl<'a> Labels<'a> {
    pub fn read(attributes: &'a [KeyValue]) -> Result<Self, BadPoint> {
        let mut labels = Self::default();
        for pair in attributes {
            let Some(place) = labels.place(&pair.key) else {
                continue;
            };
            match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(any_value::Value::StringValue(value)) if value.len() <= LONGEST_VALUE => *place = value,
                _ => return Err(BadPoint::Label),
            }
        }
        Ok(labels)
    }

    fn place(&mut self, name: &str) -> Option<&mut &'a str> {
        Some(match name {
            "reporter" => &mut self.reporter,
            "source_canonical_service" => &mut self.source_service,
            "source_workload_namespace" => &mut self.source_namespace,
            "source_principal" => &mut self.source_principal,
            "destination_canonical_service" => &mut self.destination_service,
            "destination_workload_namespace" => &mut self.destination_namespace,
            "destination_principal" => &mut self.destination_principal,
            "destination_canonical_revision" => &mut self.destination_revision,
            "destination_service" => &mut self.service_host,
            "destination_service_name" => &mut self.service_name,
            "destination_service_namespace" => &mut self.service_namespace,
            "request_protocol" => &mut self.protocol,
            "response_code" => &mut self.response_code,
            "grpc_response_status" => &mut self.grpc_status,
            "response_flags" => &mut self.flags,
            "connection_security_policy" => &mut self.security,
            _ => return None,
        })
    }

    /// Which end reports, once it is certain that `peer` speaks of its own side only.
    pub fn reporter(&self, peer: &Peer) -> Result<Reporter, BadPoint> {
        let (reporter, namespace, principal) = match self.reporter {
            "source" => (Reporter::Source, self.source_namespace, self.source_principal),
            "destination" => (Reporter::Destination, self.destination_namespace, self.destination_principal),
            _ => return Err(BadPoint::Reporter),
        };
        if self.source_service == OVERFLOW && self.destination_service == OVERFLOW {
            return Err(BadPoint::Overflow);
        }
        let own_principal = principal == peer.uri || [UNKNOWN, ""].contains(&principal);
        if namespace == peer.account.namespace && own_principal { Ok(reporter) } else { Err(BadPoint::OtherSide) }
    }

    pub fn protocol(&self) -> Result<Protocol, BadPoint> {
        match self.protocol {
            "http" => Ok(Protocol::Http),
            "grpc" => Ok(Protocol::Grpc),
            "tcp" => Ok(Protocol::Tcp),
            _ => Err(BadPoint::Protocol),
        }
    }

    pub fn edge(&self, protocol: Protocol) -> EdgeKey {
        let source = party(self.source_service, self.source_namespace);
        let known_as = source.is_unknown().then(|| Account::from_spiffe(self.source_principal)).flatten();
        EdgeKey { source, destination: self.destination(), protocol, known_as }
    }

    /// A request that reached no endpoint has no destination workload; then it is what was asked for.
    fn destination(&self) -> Party {
        let destination = party(self.destination_service, self.destination_namespace);
        if destination.is_unknown() { party(self.service_name, self.service_namespace) } else { destination }
    }

    /// The destination's version, where an endpoint was reached and has one.
    pub fn version(&self) -> Option<&'a str> {
        let known = !["", UNKNOWN].contains(&self.destination_service);
        let versioned = !["", UNKNOWN, LATEST].contains(&self.destination_revision);
        (known && versioned).then_some(self.destination_revision)
    }

    pub fn host(&self) -> &'a str {
        self.service_host
    }

    pub fn mutual_tls(&self) -> bool {
        self.security == "mutual_tls"
    }

    /// Whether a request or connection ended well.
    pub fn good(&self, protocol: Protocol) -> bool {
        let http_good = !self.response_code.starts_with('5') && !["0", ""].contains(&self.response_code);
        match protocol {
            Protocol::Http => http_good,
            Protocol::Grpc if self.grpc_status.is_empty() => http_good,
            Protocol::Grpc => self.grpc_status == "0",
            Protocol::Tcp => ["-", ""].contains(&self.flags),
        }
    }
}

fn party(service: &str, namespace: &str) -> Party {
    if ["", UNKNOWN].contains(&service) {
        return Party::unknown();
    }
    let namespace = if namespace.is_empty() { UNKNOWN } else { namespace };
    Party { service: service.to_owned(), namespace: namespace.to_owned() }
}
