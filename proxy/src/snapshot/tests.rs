#![allow(clippy::unwrap_used, clippy::expect_used, deprecated)]
//! Resources as control planes write them, compiled through [`super::compile`] alone.

use std::collections::HashMap;

use xds::google::{Any, BoolValue, Duration, ListValue, Struct, UInt32Value, Value, value::Kind};
use xds::{core, listener, pack, route, string_value, struct_of, struct_value};

use super::*;

mod clusters;
mod endpoints;
mod hostile;
mod listeners;
mod routes;

fn refusal<M: Message>(kind: ResourceType, name: &str, message: &M) -> String {
    compile(kind, name, &message.encode_to_vec()).unwrap_err()
}

fn uint32(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

fn boolean(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn millis(millis: i32) -> Option<Duration> {
    Some(Duration { seconds: 0, nanos: millis * 1_000_000 })
}

fn unknown() -> Any {
    Any { type_url: "type.googleapis.com/example.Unknown".into(), value: Vec::new() }
}

fn address(host: &str, port: u32) -> Option<core::Address> {
    let socket = core::SocketAddress {
        address: host.into(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port)),
        ..core::SocketAddress::default()
    };
    Some(core::Address { address: Some(core::address::Address::SocketAddress(socket)) })
}

fn metadata_of(namespaces: &[(&str, Struct)]) -> Option<core::Metadata> {
    let filter_metadata = namespaces.iter().map(|(name, fields)| ((*name).to_owned(), fields.clone())).collect();
    Some(core::Metadata { filter_metadata, ..core::Metadata::default() })
}

/// `istio.config`: the object that a resource came from.
fn from_object(path: &str) -> Option<core::Metadata> {
    metadata_of(&[("istio", struct_of([("config", string_value(path))]))])
}

fn header(key: &str, value: &str, action: core::header_value_option::HeaderAppendAction) -> core::HeaderValueOption {
    core::HeaderValueOption {
        header: Some(core::HeaderValue { key: key.into(), value: value.into(), raw_value: Vec::new() }),
        append_action: action as i32,
        ..core::HeaderValueOption::default()
    }
}
