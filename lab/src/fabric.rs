//! The network between the pods: a bridge in a namespace of its own, and a veth pair for each pod.

use crate::error::LabError;
use crate::manifest::PodSpec;
use crate::namespaces::{Bind, Namespaces};
use crate::tools::{self, ToolError};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BRIDGE: &str = "mesh0";

/// The bridge with its addresses, which are also those of the control plane.
#[derive(Debug)]
pub(crate) struct Fabric {
    pub namespaces: Namespaces,
    pub gateway: Ipv4Addr,
    /// Where some pod has an address of version 6.
    pub gateway_v6: Option<Ipv6Addr>,
}

impl Fabric {
    /// A bridge that reaches the /16 network of the pods' addresses, and the /64 network of those of version 6.
    pub fn create(pods: &[PodSpec], binds: Vec<Bind>) -> Result<Fabric, LabError> {
        let (gateway, gateway_v6) = gateways(pods);
        for pod in pods {
            if let Some(stray) = pod.ips.iter().find(|ip| !is_near(**ip, gateway, gateway_v6)) {
                return Err(LabError::Manifest {
                    file: pod.full_name().into(),
                    problem: format!(
                        "status.podIP {stray} is not in the network of {gateway}; all pods share one /16 network, or \
                         one /64 network of version 6"
                    ),
                });
            }
        }
        let namespaces = Namespaces::create(binds).map_err(LabError::io("network namespace of the fabric"))?;
        let mut script =
            format!("link set lo up\nlink add name {BRIDGE} type bridge\naddr add {gateway}/16 dev {BRIDGE}\n");
        if let Some(gateway) = gateway_v6 {
            script.push_str(&format!("addr add {gateway}/64 dev {BRIDGE} nodad\n"));
        }
        script.push_str(&format!("link set {BRIDGE} up\n"));
        ip(&namespaces, &script)?;
        namespaces.enter(keep_rules_off_the_bridge).map_err(LabError::io("enter a network namespace"))?;
        Ok(Fabric { namespaces, gateway, gateway_v6 })
    }

    /// Connects all pods at once: their interfaces are made here, then set up inside each.
    pub fn connect(&self, pods: &[(&[IpAddr], &Namespaces)]) -> Result<(), LabError> {
        let mut script = String::new();
        for (index, (_, namespaces)) in pods.iter().enumerate() {
            let id = namespaces.id();
            script.push_str(&format!("link add name veth{index} type veth peer name eth0 netns {id}\n"));
            script.push_str(&format!("link set veth{index} master {BRIDGE} up\n"));
        }
        ip(&self.namespaces, &script)?;
        for (addresses, namespaces) in pods {
            let mut script = "link set lo up\nlink set eth0 up\n".to_owned();
            for address in *addresses {
                script.push_str(&match (address, self.gateway_v6) {
                    (IpAddr::V4(ip), _) => {
                        format!("addr add {ip}/16 dev eth0\nroute add default via {}\n", self.gateway)
                    }
                    // Nobody else has the address, so it needs no check before its use.
                    (IpAddr::V6(ip), Some(gateway)) => {
                        format!("addr add {ip}/64 dev eth0 nodad\nroute add default via {gateway}\n")
                    }
                    (IpAddr::V6(_), None) => String::new(),
                });
            }
            ip(namespaces, &script)?;
        }
        Ok(())
    }
}

/// The first address of each network that pods are in.
fn gateways(pods: &[PodSpec]) -> (Ipv4Addr, Option<Ipv6Addr>) {
    let all = || pods.iter().flat_map(|pod| &pod.ips);
    let v4 = all().find_map(|ip| match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    });
    let v6 = all().find_map(|ip| match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(*ip),
    });
    let [a, b, ..] = v4.map_or([10, 44, 0, 0], |ip| ip.octets());
    (Ipv4Addr::new(a, b, 0, 1), v6.map(|ip| Ipv6Addr::from_bits(network(ip) | 1)))
}

fn is_near(ip: IpAddr, gateway: Ipv4Addr, gateway_v6: Option<Ipv6Addr>) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..2] == gateway.octets()[..2],
        IpAddr::V6(ip) => gateway_v6.is_some_and(|gateway| network(gateway) == network(ip)),
    }
}

/// The /64 network of an address.
fn network(ip: Ipv6Addr) -> u128 {
    ip.to_bits() & !u128::from(u64::MAX)
}

/// Where Kubernetes has been at home, packets that cross a bridge pass iptables too; here as on any other machine they do
/// not. Where the setting is absent or not ours to change, only speed differs.
fn keep_rules_off_the_bridge() {
    let _ = fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
}

fn ip(namespaces: &Namespaces, script: &str) -> Result<(), LabError> {
    let ran: Result<Result<String, ToolError>, _> = namespaces.enter(|| tools::run("ip", &["-batch", "-"], script));
    ran.map_err(LabError::io("enter a network namespace"))??;
    Ok(())
}
