//! Images without a registry: made from programs of this machine, imported under the names that manifests expect.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use images::Image;
use rcgen::generate_simple_self_signed;

use crate::{Cluster, ClusterError, Programs, containerd};

/// Istio's echo under the name that Gateway API's conformance suite uses: a server for HTTP, TCP and gRPC, and the program
/// `client`.
pub const ECHO_IMAGE: &str = "registry.k8s.io/gateway-api/echo-advanced:v1.5.1";
/// The user of that image upstream.
const ECHO_USER: &str = "1338";

/// The image [`ECHO_IMAGE`].
///
/// # Errors
/// When its programs have not been built.
pub fn echo(programs: &Programs) -> Result<Image, ClusterError> {
    let failed = |source| ClusterError::Certificate { who: "echo".to_owned(), source };
    let papers = generate_simple_self_signed(vec!["echo".to_owned()]).map_err(failed)?;
    Ok(Image::new(ECHO_IMAGE)
        .uncompressed()
        .user(ECHO_USER)
        .entrypoint(["/usr/local/bin/server"])
        .file(programs.get("echo-server")?, "/usr/local/bin/server", 0o755)
        .file(programs.get("echo-client")?, "/usr/local/bin/client", 0o755)
        .text("/cert.crt", papers.cert.pem())
        .text("/cert.key", papers.signing_key.serialize_pem()))
}

impl Cluster {
    /// Makes an image known to the node. Pods that use it need the pull policy IfNotPresent.
    ///
    /// # Errors
    /// When a file of it is missing, or containerd refuses it.
    pub fn load(&self, image: &Image) -> Result<(), ClusterError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let archive = self.site.path(&format!("image-{}.tar", COUNT.fetch_add(1, Ordering::Relaxed)));
        image.write(&archive)?;
        let loaded = self.load_archive(&archive);
        fs::remove_file(&archive).map_err(ClusterError::io(format!("remove {}", archive.display())))?;
        loaded
    }

    /// The same for an archive in OCI's or Docker's format.
    ///
    /// # Errors
    /// When containerd refuses it.
    pub fn load_archive(&self, archive: &Path) -> Result<(), ClusterError> {
        let socket = containerd::socket(&self.site);
        let archive = archive.display().to_string();
        lab::tools::run("ctr", &["--address", &socket, "--namespace", "k8s.io", "images", "import", &archive], "")?;
        Ok(())
    }

    pub(crate) fn load_pause(&self) -> Result<(), ClusterError> {
        let pause = self.site.programs.get("pause")?;
        let image = Image::new(containerd::PAUSE_IMAGE).uncompressed().user("65535:65535").entrypoint(["/pause"]);
        self.load(&image.file(pause, "/pause", 0o755))
    }
}
