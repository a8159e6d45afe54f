//! What the administration port shows, as JSON: never a key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::control::store::Store;
use crate::handover::Handover;
use crate::model::Known;

/// All configuration in force, by kind and name.
pub fn configuration(store: &Store) -> Value {
    let tables = store.tables();
    json!({
        "version": tables.version,
        "waiting": store.waiting(),
        "listeners": section(store.listeners()),
        "routes": section(&tables.routes),
        "clusters": section(&tables.clusters),
        "endpoints": section(&tables.endpoints),
        "workloads": tables.workloads.iter().map(|(ip, known)| (ip.to_string(), entry(known))).collect::<Map<_, _>>(),
    })
}

fn section<T: std::fmt::Debug>(all: &HashMap<Arc<str>, Known<T>>) -> Map<String, Value> {
    all.iter().map(|(name, known)| (name.to_string(), entry(known))).collect()
}

fn entry<T: std::fmt::Debug>(known: &Known<T>) -> Value {
    match known {
        Known::Present(value) => json!({ "state": "in force", "config": format!("{value:?}") }),
        Known::Absent => json!({ "state": "does not exist" }),
        Known::Refused(reason) => json!({ "state": "refused", "reason": **reason }),
    }
}

/// Our certificate's name and times.
pub fn certificate(handover: &Handover) -> Value {
    let Some(credentials) = handover.identity.current() else { return json!({ "state": "none yet" }) };
    json!({
        "id": credentials.id().to_string(),
        "not_before": seconds(credentials.not_before()),
        "not_after": seconds(credentials.not_after()),
        "chain_pem": credentials.chain_pem(),
        "roots_pem": credentials.roots_pem(),
    })
}

/// Who this proxy is.
pub fn server_info(handover: &Handover) -> Value {
    let options = &handover.options;
    json!({
        "node": options.node.id(),
        "version": env!("CARGO_PKG_VERSION"),
        "phase": format!("{:?}", *handover.phase.borrow()),
        "control_plane": options.control_plane,
        "uptime_seconds": handover.seconds(),
        "connections": handover.connections(),
        "workers": options.workers,
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
