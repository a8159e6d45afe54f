//! The network between the pods: a bridge in a namespace of its own, and a veth pair for each pod.

use crate::error::LabError;
use crate::manifest::PodSpec;
use crate::namespaces::{Bind, Namespaces};
use crate::tools::{self, ToolError};
use std::fs;
use std::net::Ipv4Addr;

const BRIDGE: &str = "mesh0";

/// The bridge with its address, which is also where the control plane is.
#[derive(Debug)]
pub(crate) struct Fabric {
    pub namespaces: Namespaces,
    pub gateway: Ipv4Addr,
}

impl Fabric {
    /// A bridge that reaches the /16 network of the pods' addresses.
    pub fn create(pods: &[PodSpec], binds: Vec<Bind>) -> Result<Fabric, LabError> {
        let [a, b, ..] = pods.first().map_or([10, 44, 0, 0], |pod| pod.ip.octets());
        if let Some(stray) = pods.iter().find(|pod| pod.ip.octets()[..2] != [a, b]) {
            return Err(LabError::Manifest {
                file: stray.full_name().into(),
                problem: format!("status.podIP {} is outside {a}.{b}.0.0/16; all pods share one /16 network", stray.ip),
            });
        }
        let gateway = Ipv4Addr::new(a, b, 0, 1);
        let namespaces = Namespaces::create(binds).map_err(LabError::io("network namespace of the fabric"))?;
        let script = format!(
            "link set lo up\nlink add name {BRIDGE} type bridge\naddr add {gateway}/16 dev {BRIDGE}\nlink set {BRIDGE} up\n"
        );
        ip(&namespaces, &script)?;
        namespaces.enter(keep_rules_off_the_bridge).map_err(LabError::io("enter a network namespace"))?;
        Ok(Fabric { namespaces, gateway })
    }

    /// Connects all pods at once: their interfaces are made here, then set up inside each.
    pub fn connect(&self, pods: &[(Ipv4Addr, &Namespaces)]) -> Result<(), LabError> {
        let mut script = String::new();
        for (index, (_, namespaces)) in pods.iter().enumerate() {
            let id = namespaces.id();
            script.push_str(&format!("link add name veth{index} type veth peer name eth0 netns {id}\n"));
            script.push_str(&format!("link set veth{index} master {BRIDGE} up\n"));
        }
        ip(&self.namespaces, &script)?;
        for (address, namespaces) in pods {
            let gateway = self.gateway;
            let script = format!(
                "link set lo up\naddr add {address}/16 dev eth0\nlink set eth0 up\nroute add default via {gateway}\n"
            );
            ip(namespaces, &script)?;
        }
        Ok(())
    }
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
