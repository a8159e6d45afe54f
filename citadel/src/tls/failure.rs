//! Turns a failed handshake into a text and a label that an operator can act on.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::identity::Identity;

/// Why a handshake failed: a short label for a metric, and a text that says what to do where that is known.
/// `identity` is that of this side: if it is unusable, that is the reason, whatever the peer saw.
pub fn failure(identity: Option<&Identity>, error: &io::Error) -> (&'static str, String) {
    if let Some(Err(own)) = identity.map(Identity::usable) {
        return ("no_identity", own.to_string());
    }
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::TimedOut => ("timeout", error.to_string()),
            _ => ("connection", format!("the peer went away during the TLS handshake: {error}")),
        };
    };
    (label(error), text(error))
}

fn label(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(_) => "certificate_refused",
        Error::NoCertificatesPresented => "no_certificate",
        Error::AlertReceived(_) => "refused_by_peer",
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => "not_tls",
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => "incompatible",
        _ => "tls",
    }
}

fn text(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(inner)) => inner.0.to_string(),
        Error::NoCertificatesPresented => {
            "the peer presented no certificate, and one of this mesh is required".to_owned()
        }
        Error::AlertReceived(alert) => format!("the peer refused: {alert:?}{}", hint(*alert)),
        Error::InvalidMessage(_) => format!("the peer does not speak TLS: {error}"),
        other => other.to_string(),
    }
}

fn hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => " (it wants a client certificate of its mesh)",
        AlertDescription::UnknownCA => " (it does not trust the root of our certificate)",
        AlertDescription::CertificateExpired => " (it takes our certificate for expired; do the clocks differ?)",
        AlertDescription::AccessDenied => " (it may have no certificate of its own at the moment)",
        AlertDescription::CertificateUnknown | AlertDescription::BadCertificate => {
            " (it does not accept our certificate; its log says why)"
        }
        AlertDescription::ProtocolVersion => " (it does not speak TLS 1.3)",
        AlertDescription::NoApplicationProtocol => " (it speaks none of the offered ALPN protocols)",
        _ => "",
    }
}
