//! The values that annotations and the injector's configuration have. Each reader gives the value as the containers
//! need it, or says behind the value what would be right.

use crate::validate;
use ipnet::IpNet;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::time::Duration;

/// The longest name of a network interface, in bytes (IFNAMSIZ without its end).
const INTERFACE_NAME: usize = 15;

pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither \"true\" nor \"false\"".into()),
    }
}

/// A number that Kubernetes takes for seconds or counts.
pub(super) fn count(text: &str) -> Result<i32, String> {
    match text.trim().parse() {
        Ok(number) if number >= 0 => Ok(number),
        _ => Err("is no whole number; write one such as 15".into()),
    }
}

pub(super) fn at_least_one(text: &str) -> Result<i32, String> {
    match count(text)? {
        0 => Err("is too small; write at least 1".into()),
        number => Ok(number),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("is no port; write a number from 1 to 65535".into()),
    }
}

/// Ports, as comma-separated text without spaces; empty for none.
pub(super) fn ports(text: &str) -> Result<String, String> {
    let wrong =
        |item: &str| format!("has {item:?}, which is no port; write numbers from 1 to 65535, such as 8080,9090");
    listed(text, |item| port(item).map(|port| port.to_string()).map_err(|_| wrong(item)))
}

/// The same, or `*` for all.
pub(super) fn ports_or_all(text: &str) -> Result<String, String> {
    if text.trim() == "*" { Ok("*".into()) } else { ports(text) }
}

/// Ranges of addresses, as comma-separated text without spaces; empty for none.
pub(super) fn ranges(text: &str) -> Result<String, String> {
    let is_range = |item: &str| item.parse::<IpNet>().is_ok() || item.parse::<IpAddr>().is_ok();
    listed(text, |item| match is_range(item) {
        true => Ok(item.to_owned()),
        false => Err(format!("has {item:?}, which is no range of addresses; write such as 10.0.0.0/8,192.0.2.7")),
    })
}

/// The same, or `*` for all.
pub(super) fn ranges_or_all(text: &str) -> Result<String, String> {
    if text.trim() == "*" { Ok("*".into()) } else { ranges(text) }
}

pub(super) fn interfaces(text: &str) -> Result<String, String> {
    let is_name = |item: &str| item.len() <= INTERFACE_NAME && !item.contains(['/', ' ', ':', '"', '\'']);
    listed(text, |item| match is_name(item) {
        true => Ok(item.to_owned()),
        false => Err(format!("has {item:?}, which is no name of a network interface; write such as eth1,net1")),
    })
}

fn listed(text: &str, read: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let items: Vec<String> = items.map(read).collect::<Result<_, _>>()?;
    Ok(items.join(","))
}

/// An amount of a resource as Kubernetes writes it.
pub(super) fn quantity(text: &str) -> Result<String, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let exponent = |suffix: &str| suffix.strip_prefix(['e', 'E']).is_some_and(|rest| rest.parse::<i8>().is_ok());
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    match number.parse::<f64>().is_ok() && (known.contains(&suffix) || exponent(suffix)) {
        true => Ok(text.to_owned()),
        false => Err("is no amount; write such as 100m or 0.5 of a processor, 128Mi of memory".into()),
    }
}

pub(super) fn image(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("is no image; write such as registry.example/meltemi:1.0".into()),
    }
}

/// Istio's levels in the words of this program.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    Ok(match text {
        "trace" | "debug" | "info" | "warn" | "error" | "off" => text.into(),
        "warning" => "warn".into(),
        "critical" => "error".into(),
        _ => return Err("is no level; use trace, debug, info, warning, error or off".into()),
    })
}

/// `host:port`.
pub(super) fn host_port(text: &str) -> Result<String, String> {
    let right = text.rsplit_once(':').is_some_and(|(host, port_text)| {
        let named = host.starts_with('[') && host.ends_with(']') || !host.contains(':');
        !host.is_empty() && named && host.chars().all(|c| c.is_ascii_graphic()) && port(port_text).is_ok()
    });
    match right {
        true => Ok(text.to_owned()),
        false => Err("is no address; write host:port, such as meltemi.meltemi-system.svc:15012".into()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    validate::parse_duration(text).ok_or_else(|| "is no duration; write a number with a unit, such as 5s".into())
}

/// A duration for the proxy's command line.
pub(super) fn written(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// Volumes or mounts: a JSON list of objects with a `name`, or a JSON object of such by name (Istio takes both).
pub(super) fn named_objects(text: &str) -> Result<Vec<Value>, String> {
    let wrong = || "is no JSON list of objects that have a name, such as [{\"name\": \"x\", ...}]".to_owned();
    let named = |name: String, mut object: Map<String, Value>| {
        object.insert("name".into(), name.into());
        Value::Object(object)
    };
    match serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))? {
        Value::Array(items) => match items.iter().all(|item| item["name"].is_string()) {
            true => Ok(items),
            false => Err(wrong()),
        },
        Value::Object(entries) => {
            let items = entries.into_iter().map(|(name, value)| match value {
                Value::Object(object) => Ok(named(name, object)),
                _ => Err(wrong()),
            });
            items.collect()
        }
        _ => Err(wrong()),
    }
}
