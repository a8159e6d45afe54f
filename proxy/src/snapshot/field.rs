//! Reading protobuf's small values: durations, numbers and shares.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::StatusCode;
use ipnet::IpNet;
use xds::core::{self, address, socket_address};
use xds::google;
use xds::typ::{FractionalPercent, fractional_percent::DenominatorType};

use super::reason::{Reason, Under};
use crate::http::fraction::Fraction;

/// A duration, if there is one.
pub(super) fn duration(field: &str, value: Option<&google::Duration>) -> Result<Option<Duration>, Reason> {
    value.map(xds::to_duration).transpose().map_err(|error| Reason::at(field, error.to_string()))
}

/// A limit in time: zero means none, and without a word `default` holds.
pub(super) fn limit(
    field: &str,
    value: Option<&google::Duration>,
    default: impl Into<Option<Duration>>,
) -> Result<Option<Duration>, Reason> {
    match duration(field, value)? {
        None => Ok(default.into()),
        Some(value) => Ok((!value.is_zero()).then_some(value)),
    }
}

/// A wrapped number, else `default`.
pub(super) fn number(value: Option<&google::UInt32Value>, default: u32) -> u32 {
    value.map_or(default, |value| value.value)
}

/// A wrapped truth value, else `default`.
pub(super) fn truth(value: Option<&google::BoolValue>, default: bool) -> bool {
    value.map_or(default, |value| value.value)
}

/// A number of this API's `uint32` that has to be a port; 0 is none.
pub(super) fn port(value: u32) -> Result<u16, Reason> {
    u16::try_from(value).map_err(|_| Reason::new(format!("{value} is not a port number")))
}

/// A status that a response can have.
pub(super) fn status(value: u32) -> Result<StatusCode, Reason> {
    let status = u16::try_from(value).ok().filter(|code| (200..600).contains(code));
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    status.ok_or_else(|| Reason::new(format!("{value} is no status of a response; it must be from 200 to 599")))
}

/// A share.
pub(super) fn fraction(value: &FractionalPercent) -> Result<Fraction, Reason> {
    let denominator = match DenominatorType::try_from(value.denominator) {
        Ok(DenominatorType::Hundred) => 100,
        Ok(DenominatorType::TenThousand) => 10_000,
        Ok(DenominatorType::Million) => 1_000_000,
        Err(_) => return Err(Reason::at("denominator", format!("{} is none of those known", value.denominator))),
    };
    Ok(Fraction::new(value.numerator, denominator))
}

/// A share that Envoy would let its runtime change: here its default value holds. Without one, everything.
pub(super) fn runtime_fraction(value: &core::RuntimeFractionalPercent) -> Result<Fraction, Reason> {
    value.default_value.as_ref().map_or(Ok(Fraction::ALL), fraction).under("default_value")
}

/// Host, an address or a name, and port.
pub(super) fn host_and_port(value: Option<&core::Address>) -> Result<(&str, u16), Reason> {
    match value.and_then(|value| value.address.as_ref()) {
        Some(address::Address::SocketAddress(socket)) => socket_host_and_port(socket).under("socket_address"),
        Some(address::Address::Pipe(_)) => Err(Reason::unsupported("pipe")),
        Some(address::Address::EnvoyInternalAddress(_)) => Err(Reason::unsupported("envoy_internal_address")),
        None => Err(Reason::new("is missing")),
    }
}

fn socket_host_and_port(socket: &core::SocketAddress) -> Result<(&str, u16), Reason> {
    if socket.protocol != socket_address::Protocol::Tcp as i32 {
        return Err(Reason::at("protocol", "only TCP is supported by this proxy"));
    }
    super::reason::none_set(&[
        ("resolver_name", !socket.resolver_name.is_empty()),
        ("network_namespace_filepath", !socket.network_namespace_filepath.is_empty()),
    ])?;
    match &socket.port_specifier {
        Some(socket_address::PortSpecifier::PortValue(value)) => {
            Ok((&socket.address, port(*value).under("port_value")?))
        }
        Some(socket_address::PortSpecifier::NamedPort(_)) => Err(Reason::unsupported("named_port")),
        None => Err(Reason::at("port_value", "is missing")),
    }
}

/// An IP address and a port.
pub(super) fn socket_address(value: Option<&core::Address>) -> Result<SocketAddr, Reason> {
    let (host, port) = host_and_port(value)?;
    Ok(SocketAddr::new(ip(host).under("socket_address.address")?, port))
}

/// An IP address.
pub(super) fn ip(text: &str) -> Result<IpAddr, Reason> {
    text.parse().map_err(|_| Reason::new(format!("{text:?} is not an IP address")))
}

/// A range of addresses.
pub(super) fn network(range: &core::CidrRange) -> Result<IpNet, Reason> {
    let address = ip(&range.address_prefix).under("address_prefix")?;
    let length = number(range.prefix_len.as_ref(), 0);
    let length = u8::try_from(length).ok().and_then(|length| IpNet::new(address, length).ok());
    Ok(length.ok_or_else(|| Reason::at("prefix_len", format!("too long for {address}")))?.trunc())
}
