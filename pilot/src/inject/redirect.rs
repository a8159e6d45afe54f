//! The init container that sets the redirect rules, with the flags of Istio's.

use super::settings::Settings;
use super::{INIT, InjectorConfig, PROXY_ID};
use serde_json::{Value, json};

/// Ports of the sidecar itself that are never captured: metrics and readiness.
const OWN_PORTS: [u16; 2] = [15090, 15021];

pub(super) fn container(config: &InjectorConfig, settings: &Settings) -> Value {
    let mut container = json!({
        "name": INIT,
        "image": config.init_image,
        "args": arguments(settings),
        "resources": config.init_resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "privileged": false,
            "capabilities": { "add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"] },
            // iptables over nf_tables, as the image has it, writes no lock file.
            "readOnlyRootFilesystem": true,
            // Said here also because a pod may say the opposite for all of its containers.
            "runAsNonRoot": false,
            "runAsUser": 0,
            "runAsGroup": 0,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    if !config.image_pull_policy.is_empty() {
        container["imagePullPolicy"] = config.image_pull_policy.as_str().into();
    }
    container
}

fn arguments(settings: &Settings) -> Vec<String> {
    let capture = &settings.capture;
    let id = PROXY_ID.to_string();
    let own = OWN_PORTS.iter().chain([&settings.status_port]).map(u16::to_string).collect::<Vec<_>>().join(",");
    let kept = if capture.exclude_inbound_ports.is_empty() { own } else { own + "," + &capture.exclude_inbound_ports };
    let always = [
        ("-p", "15001"),
        ("-z", "15006"),
        ("-u", &id),
        ("-m", "REDIRECT"),
        ("-i", &capture.include_outbound_ranges),
        ("-x", &capture.exclude_outbound_ranges),
        ("-b", &capture.include_inbound_ports),
        ("-d", &kept),
    ];
    let where_given = [
        ("-q", &capture.include_outbound_ports),
        ("-o", &capture.exclude_outbound_ports),
        ("-c", &capture.exclude_interfaces),
        ("-k", &capture.virtual_interfaces),
    ];
    let where_given = where_given.into_iter().filter(|(_, value)| !value.is_empty());
    let flags = always.into_iter().chain(where_given.map(|(flag, value)| (flag, value.as_str())));
    let flags = flags.flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]);
    std::iter::once("init".to_owned()).chain(flags).collect()
}
