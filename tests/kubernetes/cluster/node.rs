//! The node's network and mounts: namespaces of its own, a link to the sandbox, routes for pods and Services.

use std::fs;
use std::path::Path;

use lab::tools::{self, ToolError};
use lab::{Bind, Namespaces};
use nix::mount::{MsFlags, mount};

use crate::ClusterError;
use crate::site::Site;

/// Settings of the kernel that kubelet would change for the whole machine: it sees that they are as it wants them.
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];
/// Folders whose names are fixed in kubelet, containerd or the CNI plugins. What they write there stays in the cluster.
const WRITTEN: [&str; 2] = ["/var/lib", "/var/log"];

/// The namespaces of the node, with their end of the link.
#[derive(Debug)]
pub struct Node {
    pub namespaces: Namespaces,
    link: String,
}

impl Node {
    pub fn create(site: &Site) -> Result<Node, ClusterError> {
        let namespaces = Namespaces::create(settings(site)?).map_err(ClusterError::io("namespaces of the node"))?;
        let node = Node { namespaces, link: site.addresses.link() };
        node.connect(site)?;
        node.inside(|| {
            allow_forwarding()?;
            WRITTEN.into_iter().try_for_each(|folder| cover(folder, site))
        })??;
        Ok(node)
    }

    /// Runs something on a thread that is inside.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, ClusterError> {
        self.namespaces.enter(work).map_err(ClusterError::io("enter the node's namespaces"))
    }

    fn connect(&self, site: &Site) -> Result<(), ClusterError> {
        let (link, id) = (&self.link, self.namespaces.id());
        let (outside, node) = (site.addresses.outside(), site.addresses.node());
        let script = format!(
            "link add name {link} type veth peer name eth0 netns {id}\n\
             addr add {outside}/24 dev {link}\n\
             link set {link} up\n\
             route add {pods} via {node}\n\
             route add {services} via {node}\n",
            pods = site.addresses.pods(),
            services = site.addresses.services(),
        );
        ip(&script)?;
        // From one cluster to another.
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(ClusterError::io("allow forwarding"))?;
        let script =
            format!("link set lo up\naddr add {node}/24 dev eth0\nlink set eth0 up\nroute add default via {outside}\n");
        Ok(self.inside(|| ip(&script))??)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its other end, and the routes, go with it; without this, when the kernel gets round to the namespace.
        let _ = ip(&format!("link del {}\n", self.link));
    }
}

fn ip(script: &str) -> Result<(), ToolError> {
    tools::run("ip", &["-batch", "-"], script).map(drop)
}

fn settings(site: &Site) -> Result<Vec<Bind>, ClusterError> {
    SETTINGS
        .into_iter()
        .map(|(name, value)| {
            let file = format!("settings/{}", name.replace('/', "."));
            site.write(&file, &format!("{value}\n"))?;
            Ok(Bind { from: site.path(&file), to: Path::new("/proc/sys").join(name) })
        })
        .collect()
}

/// Between pods, and for Services also between pods on the one bridge.
fn allow_forwarding() -> Result<(), ClusterError> {
    let bridge = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if !Path::new(bridge).exists() {
        // A module on most machines; where there is no modprobe, the error below says what is missing.
        let _ = tools::run("modprobe", &["br_netfilter"], "");
    }
    for file in ["/proc/sys/net/ipv4/ip_forward", bridge] {
        fs::write(file, "1").map_err(ClusterError::io(format!("write {file} (kernel module br_netfilter)")))?;
    }
    Ok(())
}

/// Lets writes below `folder` go to the cluster's own folder; what was there is still seen.
fn cover(folder: &str, site: &Site) -> Result<(), ClusterError> {
    let name = format!("written{}", folder.replace('/', "."));
    let (upper, work) = (format!("{name}/files"), format!("{name}/work"));
    site.make_folder(&upper)?;
    site.make_folder(&work)?;
    let layers = format!("lowerdir={folder},upperdir={},workdir={}", site.text(&upper), site.text(&work));
    mount(Some("overlay"), folder, Some("overlay"), MsFlags::empty(), Some(layers.as_str()))
        .map_err(ClusterError::io(format!("mount an overlay on {folder}")))
}
