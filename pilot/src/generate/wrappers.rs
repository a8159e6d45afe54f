//! Short forms for what protobuf makes long: wrapped scalars, addresses, percentages.

use std::time::Duration;

use xds::core::{Address, RuntimeFractionalPercent, SocketAddress, address, socket_address};
use xds::google::{BoolValue, Duration as ProtoDuration, UInt32Value};
use xds::typ::{FractionalPercent, fractional_percent::DenominatorType};

use crate::model::Percentage;

pub(super) fn boolean(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

pub(super) fn uint32(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub(super) fn duration(value: Duration) -> Option<ProtoDuration> {
    Some(xds::from_duration(value))
}

/// A share over a million, the finest that Envoy knows.
pub(super) fn fraction(share: Percentage) -> Option<FractionalPercent> {
    Some(FractionalPercent { numerator: share.0, denominator: DenominatorType::Million as i32 })
}

/// A share that no runtime key overrides.
pub(super) fn runtime_fraction(share: Percentage) -> Option<RuntimeFractionalPercent> {
    Some(RuntimeFractionalPercent { default_value: fraction(share), runtime_key: String::new() })
}

pub(super) fn socket_address(host: impl ToString, port: u32) -> SocketAddress {
    SocketAddress {
        address: host.to_string(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    }
}

pub(super) fn address(host: impl ToString, port: u32) -> Option<Address> {
    Some(Address { address: Some(address::Address::SocketAddress(socket_address(host, port))) })
}
