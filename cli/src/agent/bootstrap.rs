//! Envoy's bootstrap: everything else comes over ADS. As JSON, which Envoy reads as its protobuf.

use crate::workload::WorkloadArgs;
use anyhow::Context;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::Path;

const ADMIN_PORT: u16 = 15000;
const READINESS_PORT: u16 = 15021;
const METRICS_PORTS: [u16; 2] = [15020, 15090];
/// `SOL_SOCKET` and `SO_MARK` on Linux (socket(7)).
const SOL_SOCKET: u32 = 1;
const SO_MARK: u32 = 36;

/// The bootstrap of a sidecar that fetches its secrets from `sds_socket`.
///
/// # Errors
/// When the control plane's address has no port.
pub fn envoy(workload: &WorkloadArgs, sds_socket: &Path) -> anyhow::Result<Value> {
    let ips = workload.ips();
    let mut listeners = vec![forward("readiness", &ips, READINESS_PORT, "/healthz/ready", "/ready")];
    let metrics = "/stats/prometheus";
    listeners.extend(METRICS_PORTS.map(|port| forward("metrics", &ips, port, metrics, metrics)));
    let mut bootstrap = json!({
        "node": node(workload),
        "admin": { "address": address("127.0.0.1", ADMIN_PORT) },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc" } }],
            },
            "cds_config": { "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" },
            "lds_config": { "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" },
        },
        "static_resources": {
            "clusters": [control_plane(workload)?, sds(sds_socket), own_admin()],
            "listeners": listeners,
        },
        "layered_runtime": { "layers": [{ "name": "admin", "admin_layer": {} }] },
    });
    if let Some(mark) = workload.mark {
        let option = json!({
            "description": "spared by the redirect rules",
            "level": SOL_SOCKET, "name": SO_MARK, "int_value": mark, "state": "STATE_PREBIND",
        });
        bootstrap["cluster_manager"] = json!({ "upstream_bind_config": { "socket_options": [option] } });
    }
    Ok(bootstrap)
}

fn node(workload: &WorkloadArgs) -> Value {
    let info = workload.node("envoy");
    json!({
        "id": info.id(),
        "cluster": info.cluster,
        "metadata": {
            "NAMESPACE": info.namespace,
            "LABELS": info.labels,
            "WORKLOAD_NAME": info.workload,
            "SERVICE_ACCOUNT": info.service_account,
            "CLUSTER_ID": info.cluster_id,
            "INSTANCE_IPS": workload.ips().iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        },
    })
}

/// TLS with the workload's own certificate, and the server's name checked.
fn control_plane(workload: &WorkloadArgs) -> anyhow::Result<Value> {
    let (host, port) = workload.control_plane.rsplit_once(':').context("--control-plane needs host:port")?;
    let port: u16 = port.parse().with_context(|| format!("port of --control-plane {}", workload.control_plane))?;
    let host = host.trim_matches(['[', ']']);
    let kind = if host.parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
    let secret = |name: &str| {
        let services = json!([{ "envoy_grpc": { "cluster_name": "sds-grpc" } }]);
        let source = json!({ "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": services });
        json!({ "name": name, "sds_config": { "api_config_source": source, "resource_api_version": "V3" } })
    };
    let name = json!({ "san_type": "DNS", "matcher": { "exact": workload.control_plane_name } });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": workload.control_plane_name,
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
            "tls_certificate_sds_secret_configs": [secret("default")],
            "combined_validation_context": {
                "default_validation_context": { "match_typed_subject_alt_names": [name] },
                "validation_context_sds_secret_config": secret("ROOTCA"),
            },
        },
    });
    let mut cluster = cluster("xds-grpc", kind, address(host, port));
    cluster["transport_socket"] = json!({ "name": "envoy.transport_sockets.tls", "typed_config": tls });
    cluster["upstream_connection_options"] = json!({ "tcp_keepalive": { "keepalive_time": 20 } });
    Ok(cluster)
}

fn sds(socket: &Path) -> Value {
    cluster("sds-grpc", "STATIC", json!({ "pipe": { "path": socket } }))
}

/// HTTP/2 to one address.
fn cluster(name: &str, kind: &str, address: Value) -> Value {
    json!({
        "name": name,
        "type": kind,
        "connect_timeout": "5s",
        "load_assignment": assignment(name, address),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {} },
            },
        },
    })
}

fn own_admin() -> Value {
    let assignment = assignment("prometheus_stats", address("127.0.0.1", ADMIN_PORT));
    json!({ "name": "prometheus_stats", "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment })
}

fn assignment(name: &str, address: Value) -> Value {
    json!({ "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] })
}

fn address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

/// A listener that gives one path of the admin port to everybody who reaches one of the pod's addresses.
fn forward(name: &str, ips: &[IpAddr], port: u16, path: &str, admin_path: &str) -> Value {
    let route = json!({
        "match": { "path": path },
        "route": { "cluster": "prometheus_stats", "prefix_rewrite": admin_path },
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": { "virtual_hosts": [{ "name": name, "domains": ["*"], "routes": [route] }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    let filter = json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager });
    let families = [("0.0.0.0", ips.iter().any(IpAddr::is_ipv4)), ("::", ips.iter().any(IpAddr::is_ipv6))];
    let mut any = families.iter().filter(|(_, there)| *there).map(|(any, _)| address(any, port));
    json!({
        "name": format!("{name}-{port}"),
        "address": any.next(),
        "additional_addresses": any.map(|more| json!({ "address": more })).collect::<Vec<_>>(),
        "filter_chains": [{ "filters": [filter] }],
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::envoy;
    use crate::workload::WorkloadArgs;
    use clap::Parser;
    use std::path::Path;

    #[derive(Parser)]
    struct Wrapped {
        #[command(flatten)]
        workload: WorkloadArgs,
    }

    fn workload(more: &[&str]) -> WorkloadArgs {
        let line = [
            "agent",
            "--pod=catalog-v1",
            "--namespace=shop",
            "--service-account=catalog",
            "--ip=10.44.1.21",
            "--label=app=catalog",
        ];
        Wrapped::parse_from(line.iter().chain(more)).workload
    }

    #[test]
    fn the_node_says_who_it_is_as_istios_does() {
        let bootstrap = envoy(&workload(&[]), Path::new("/w/sds.sock")).unwrap();
        let node = &bootstrap["node"];
        assert_eq!(node["id"], "sidecar~10.44.1.21~catalog-v1.shop~shop.svc.cluster.local");
        assert_eq!(node["cluster"], "catalog.shop");
        assert_eq!(node["metadata"]["WORKLOAD_NAME"], "catalog-v1");
    }

    #[test]
    fn the_control_plane_is_reached_by_address_or_by_name() {
        let kind = |address: &str| {
            let bootstrap = envoy(&workload(&["--control-plane", address]), Path::new("/w/sds.sock"));
            bootstrap.map(|bootstrap| bootstrap["static_resources"]["clusters"][0]["type"].clone())
        };
        assert_eq!(kind("10.44.0.1:15012").unwrap(), "STATIC");
        assert_eq!(kind("[fd00::1]:15012").unwrap(), "STATIC");
        assert_eq!(kind("istiod.istio-system.svc:15012").unwrap(), "STRICT_DNS");
        assert!(kind("istiod.istio-system.svc").is_err());
    }

    #[test]
    fn what_everybody_may_read_is_there_in_the_families_of_the_pod() {
        let listeners = |more: &[&str]| {
            let bootstrap = envoy(&workload(more), Path::new("/w/sds.sock")).unwrap();
            let first = &bootstrap["static_resources"]["listeners"][0];
            let more = &first["additional_addresses"][0]["address"]["socket_address"]["address"];
            [&first["address"]["socket_address"]["address"], more].map(|address| address.as_str().map(str::to_owned))
        };
        assert_eq!(listeners(&[]), [Some("0.0.0.0".to_owned()), None]);
        let both = ["--ips=10.44.1.21,fd44::21"];
        assert_eq!(listeners(&both), [Some("0.0.0.0".to_owned()), Some("::".to_owned())]);
        let node = &envoy(&workload(&both), Path::new("/w/sds.sock")).unwrap()["node"];
        assert_eq!(node["metadata"]["INSTANCE_IPS"], "10.44.1.21,fd44::21");
    }

    #[test]
    fn a_mark_is_set_on_all_of_envoys_own_connections() {
        let marked = envoy(&workload(&["--mark=1337"]), Path::new("/w/sds.sock")).unwrap();
        let option = &marked["cluster_manager"]["upstream_bind_config"]["socket_options"][0];
        assert_eq!((&option["name"], &option["int_value"]), (&36.into(), &1337.into()));
        assert!(envoy(&workload(&[]), Path::new("/w/s")).unwrap().get("cluster_manager").is_none());
    }
}
