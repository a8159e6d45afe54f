//! Label sets as values: what tells one of Istio's series from another, and how it reads as text.

use std::sync::Arc;

use prometheus::proto::LabelPair;

use crate::families::label;
use crate::flags::ResponseFlags;
use crate::names::{LABELS, LATEST, OVERFLOW, PARTY_LABELS, TCP_LABELS, UNKNOWN};
use crate::series::{HttpKey, TcpKey};
use crate::workload::{Protocol, Reporter, Security, Service, Workload};

/// Who speaks with whom: Istio's first twenty labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Parties {
    reporter: Reporter,
    source: Arc<Workload>,
    destination: Arc<Workload>,
    service: Arc<Service>,
}

/// How a request or connection went. In the overflow series it reads `overflow` throughout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Known { response_code: u16, grpc_status: Option<u16>, flags: ResponseFlags, security: Security },
    Overflow,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HttpLabels {
    pub parties: Parties,
    protocol: Protocol,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TcpLabels {
    parties: Parties,
    outcome: Outcome,
}

impl Parties {
    fn overflow(&self) -> Self {
        let workload = Arc::new(Workload::filled(OVERFLOW, OVERFLOW));
        Self {
            reporter: self.reporter,
            source: workload.clone(),
            destination: workload,
            service: Arc::new(Service::filled(OVERFLOW)),
        }
    }

    pub fn pairs(&self) -> Vec<LabelPair> {
        LABELS.iter().zip(self.values()).map(|(name, value)| label(name, value.to_owned())).collect()
    }

    fn values(&self) -> [&str; PARTY_LABELS] {
        let (source, destination) = (&self.source, &self.destination);
        [
            self.reporter.as_str(),
            known(&source.name),
            known(&source.canonical_service),
            revision(source),
            known(&source.namespace),
            known(&source.principal),
            known(&source.app),
            known(&source.version),
            known(&source.cluster),
            known(&destination.name),
            known(&destination.namespace),
            known(&destination.principal),
            known(&destination.app),
            known(&destination.version),
            known(&self.service.host),
            known(&destination.canonical_service),
            revision(destination),
            known(&self.service.name),
            known(&self.service.namespace),
            known(&destination.cluster),
        ]
    }
}

fn known(value: &str) -> &str {
    if value.is_empty() { UNKNOWN } else { value }
}

fn revision(workload: &Workload) -> &str {
    if workload.canonical_revision.is_empty() { LATEST } else { &workload.canonical_revision }
}

impl Outcome {
    fn response_code(&self) -> String {
        match self {
            Self::Known { response_code, .. } => response_code.to_string(),
            Self::Overflow => OVERFLOW.into(),
        }
    }

    fn grpc_status(&self) -> String {
        match self {
            Self::Known { grpc_status, .. } => grpc_status.map(|status| status.to_string()).unwrap_or_default(),
            Self::Overflow => OVERFLOW.into(),
        }
    }

    fn flags(&self) -> String {
        match self {
            Self::Known { flags, .. } => flags.to_string(),
            Self::Overflow => OVERFLOW.into(),
        }
    }

    fn security(&self) -> String {
        match self {
            Self::Known { security, .. } => security.as_str().into(),
            Self::Overflow => OVERFLOW.into(),
        }
    }
}

impl HttpLabels {
    pub fn of(key: &HttpKey<'_>) -> Self {
        Self {
            parties: Parties {
                reporter: key.reporter,
                source: key.source.clone(),
                destination: key.destination.clone(),
                service: key.service.clone(),
            },
            protocol: key.protocol,
            outcome: Outcome::Known {
                response_code: key.response_code,
                grpc_status: key.grpc_status,
                flags: key.flags,
                security: key.security,
            },
        }
    }

    /// The label set that stands in when there is no room. Reporter and protocol stay: they are few.
    pub fn overflow(&self) -> Self {
        Self { parties: self.parties.overflow(), protocol: self.protocol, outcome: Outcome::Overflow }
    }

    pub fn pairs(&self) -> Vec<LabelPair> {
        let mut pairs = self.parties.pairs();
        let outcome = [
            self.protocol.as_str().to_owned(),
            self.outcome.response_code(),
            self.outcome.grpc_status(),
            self.outcome.flags(),
            self.outcome.security(),
        ];
        pairs.extend(LABELS[PARTY_LABELS..].iter().zip(outcome).map(|(name, value)| label(name, value)));
        pairs
    }
}

impl TcpLabels {
    pub fn of(key: &TcpKey<'_>) -> Self {
        Self {
            parties: Parties {
                reporter: key.reporter,
                source: key.source.clone(),
                destination: key.destination.clone(),
                service: key.service.clone(),
            },
            outcome: Outcome::Known { response_code: 0, grpc_status: None, flags: key.flags, security: key.security },
        }
    }

    /// See [`HttpLabels::overflow`].
    pub fn overflow(&self) -> Self {
        Self { parties: self.parties.overflow(), outcome: Outcome::Overflow }
    }

    pub fn pairs(&self) -> Vec<LabelPair> {
        let mut pairs = self.parties.pairs();
        let outcome = [Protocol::Tcp.as_str().to_owned(), self.outcome.flags(), self.outcome.security()];
        pairs.extend(TCP_LABELS[PARTY_LABELS..].iter().zip(outcome).map(|(name, value)| label(name, value)));
        pairs
    }
}
