//! The container runtime and the pods' network: Debian's containerd, runc and CNI plugins.

use serde_json::json;

use crate::ClusterError;
use crate::site::Site;

/// What every pod holds open; made by us, see [`crate::image`].
pub const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";
/// Where Debian puts the CNI plugins.
const PLUGINS: &str = "/usr/lib/cni";

pub fn arguments(site: &Site) -> Vec<String> {
    vec!["--config".to_owned(), site.text("containerd/config.toml"), "--log-level=warn".to_owned()]
}

pub fn socket(site: &Site) -> String {
    site.text("containerd/socket")
}

pub fn configure(site: &Site) -> Result<(), ClusterError> {
    site.write("containerd/config.toml", &config(site))?;
    let range = |subnet: String| json!([{"subnet": subnet}]);
    let network = json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods0",
                "isGateway": true,
                "ipMasq": true,
                // A pod may reach itself through its own Service.
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": site.families(range(site.addresses.pods()), range(site.addresses.pods_v6())),
                    "routes": site.families(json!({"dst": "0.0.0.0/0"}), json!({"dst": "::/0"})),
                    "dataDir": site.text("cni/leases"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    site.write("cni/net.d/10-pods.conflist", &format!("{network:#}"))
}

/// Some containers have no right to lower an out-of-memory score (CAP_SYS_RESOURCE), so it is never asked for.
fn config(site: &Site) -> String {
    let path = |name: &str| site.text(name);
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{networks}"
"#,
        root = path("containerd/root"),
        state = path("containerd/state"),
        socket = socket(site),
        opt = path("containerd/opt"),
        networks = path("cni/net.d"),
    )
}
