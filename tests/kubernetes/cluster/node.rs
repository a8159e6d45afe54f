//! The node's network and mounts: namespaces of its own, a link to the sandbox, routes for pods and Services.

use std::fs;
use std::path::Path;

use lab::tools::{self, ToolError};
use lab::{Bind, Namespaces};
use nix::mount::{MsFlags, mount};

use crate::site::Site;
use crate::{Addresses, ClusterError};

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
            filter_the_bridge()?;
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
        let mut outside = format!("link add name {link} type veth peer name eth0 netns {id}\nlink set {link} up\n");
        let mut inside = "link set lo up\nlink set eth0 up\n".to_owned();
        for Family { outer, inner, networks, sysctl } in families(&site.addresses, site.options.dual_stack) {
            // From one cluster to another, and from pod to pod.
            forward(sysctl)?;
            self.inside(|| forward(sysctl))??;
            outside.push_str(&format!("addr add {outer} dev {link}\n"));
            inside.push_str(&format!("addr add {inner} dev eth0\nroute add default via {}\n", host(&outer)));
            for network in networks {
                outside.push_str(&format!("route add {network} via {}\n", host(&inner)));
            }
        }
        ip(&outside)?;
        Ok(self.inside(|| ip(&inside))??)
    }
}

/// One address family of the link: both ends as `ip addr` takes them, and the networks behind the inner one.
struct Family {
    outer: String,
    inner: String,
    networks: [String; 2],
    /// The setting below /proc/sys/net that lets packets pass on.
    sysctl: &'static str,
}

fn families(addresses: &Addresses, dual_stack: bool) -> Vec<Family> {
    let mut families = vec![Family {
        outer: format!("{}/24", addresses.outside()),
        inner: format!("{}/24", addresses.node()),
        networks: [addresses.pods(), addresses.services()],
        sysctl: "ipv4/ip_forward",
    }];
    if dual_stack {
        // Nobody else has these addresses, so they need no check before their use.
        families.push(Family {
            outer: format!("{}/64 nodad", addresses.outside_v6()),
            inner: format!("{}/64 nodad", addresses.node_v6()),
            networks: [addresses.pods_v6(), addresses.services_v6()],
            sysctl: "ipv6/conf/all/forwarding",
        });
    }
    families
}

fn host(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
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

/// Lets the namespace of the calling thread pass packets on.
fn forward(sysctl: &str) -> Result<(), ClusterError> {
    let file = format!("/proc/sys/net/{sysctl}");
    fs::write(&file, "1").map_err(ClusterError::io(format!("write {file}")))
}

/// Lets kube-proxy's rules see what goes from one pod to another over the bridge.
fn filter_the_bridge() -> Result<(), ClusterError> {
    let folder = Path::new("/proc/sys/net/bridge");
    if !folder.exists() {
        // A module on most machines; where there is no modprobe, the error below says what is missing.
        let _ = tools::run("modprobe", &["br_netfilter"], "");
    }
    ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"].into_iter().try_for_each(|name| {
        let missing = format!("write {} (kernel module br_netfilter)", folder.join(name).display());
        fs::write(folder.join(name), "1").map_err(ClusterError::io(missing))
    })
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
