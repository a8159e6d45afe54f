//! Service ports and the protocol that is declared for them.

use std::sync::Arc;

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The port that clients dial.
    pub number: u16,
    /// Its name; empty when the service has one unnamed port.
    pub name: Arc<str>,
    /// The port of the workload behind it.
    pub target: TargetPort,
    /// What is spoken there, as far as declared.
    pub protocol: Protocol,
}

/// The workload's side of a service port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// The name of a container port; endpoints carry its number.
    Name(Arc<str>),
}

/// The application protocol declared for a port, folded to what makes a difference to the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.x (and WebSocket).
    Http,
    /// HTTP/2 without gRPC.
    Http2,
    /// gRPC, also gRPC-Web.
    Grpc,
    /// Opaque bytes, also Mongo, Redis and MySQL.
    Tcp,
    /// TLS that the application speaks itself, also HTTPS.
    Tls,
    /// Not declared: to be detected.
    Unknown,
}

impl Protocol {
    /// Whether requests can be told apart once the protocol is known: HTTP of any version.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc)
    }

    /// Whether the upstream speaks HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }

    /// The protocol that a port declares: `appProtocol`, then the prefix of the port's name before the first
    /// `-`, then well-known server-first port numbers. None for UDP and SCTP, which the mesh does not carry.
    pub fn declared(transport: &str, app_protocol: Option<&str>, name: &str, number: u16) -> Option<Self> {
        if !transport.is_empty() && !transport.eq_ignore_ascii_case("tcp") {
            return None;
        }
        match app_protocol {
            Some("kubernetes.io/h2c") => return Some(Self::Http2),
            Some("kubernetes.io/ws") => return Some(Self::Http),
            Some("kubernetes.io/wss") => return Some(Self::Tls),
            Some(text) => return Some(Self::named(text).or_else(|| Self::registered(text)).unwrap_or(Self::Unknown)),
            None => {}
        }
        let lower = name.to_ascii_lowercase();
        if lower == "grpc-web" || lower.starts_with("grpc-web-") {
            return Some(Self::Grpc);
        }
        let prefix = lower.split('-').next().unwrap_or_default();
        if prefix == "udp" {
            return None;
        }
        Some(Self::named(prefix).unwrap_or_else(|| Self::undeclared(number)))
    }

    /// A protocol by the name that Istio gives it; None for a name that Istio does not know.
    pub fn named(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "http2" => Self::Http2,
            "grpc" | "grpc-web" => Self::Grpc,
            "tcp" | "mongo" | "redis" | "mysql" => Self::Tcp,
            "tls" | "https" => Self::Tls,
            _ => return None,
        })
    }

    /// A protocol by its name in IANA's registry of services, which `appProtocol` takes. Names that say nothing about
    /// how the mesh has to treat a port are left out: its protocol is detected.
    fn registered(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "www" | "www-http" | "http-alt" => Self::Http,
            "imaps" | "pop3s" | "ldaps" | "submissions" | "amqps" | "secure-mqtt" | "domain-s" => Self::Tls,
            "amqp" | "domain" | "ftp" | "imap" | "ldap" | "mongodb" | "mqtt" | "ms-sql-s" | "pop3" | "postgresql"
            | "smtp" | "ssh" | "submission" | "telnet" => Self::Tcp,
            _ => return None,
        })
    }

    /// Ports whose server speaks first are never sniffed: SMTP, DNS, MySQL, MongoDB.
    fn undeclared(number: u16) -> Self {
        if matches!(number, 25 | 53 | 3306 | 27017) { Self::Tcp } else { Self::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_protocol_then_name_then_number_declare() {
        use Protocol::{Grpc, Http, Http2, Tcp, Tls, Unknown};
        for (app, name, number, expected) in [
            (None, "http", 80, Http),
            (None, "HTTP-web", 80, Http),
            (None, "http2-x", 80, Http2),
            (None, "grpc", 80, Grpc),
            (None, "grpc-web", 80, Grpc),
            (None, "https", 443, Tls),
            (None, "mongo-x", 1, Tcp),
            (None, "web", 80, Unknown),
            (None, "httpx", 80, Unknown),
            (None, "", 3306, Tcp),
            (None, "http", 3306, Http),
            (Some("kubernetes.io/h2c"), "http", 80, Http2),
            (Some("kubernetes.io/ws"), "", 80, Http),
            (Some("kubernetes.io/wss"), "", 80, Tls),
            (Some("HTTP"), "tcp", 80, Http),
            (Some("acme.com/own"), "http", 80, Unknown),
            (Some("grpc"), "http", 80, Grpc),
            (Some("https"), "http", 80, Tls),
            (Some("tls"), "http", 80, Tls),
            (Some("tcp"), "http", 80, Tcp),
            (Some("http2"), "tcp", 80, Http2),
            (Some("postgresql"), "http", 80, Tcp),
            (Some("http-alt"), "tcp", 8080, Http),
            (Some("imaps"), "", 993, Tls),
            (Some("ntp"), "http", 80, Unknown),
        ] {
            assert_eq!(Protocol::declared("TCP", app, name, number), Some(expected), "{app:?} {name} {number}");
        }
        assert_eq!(Protocol::declared("UDP", None, "http", 80), None);
        assert_eq!(Protocol::declared("", None, "udp-dns", 53), None);
    }
}
