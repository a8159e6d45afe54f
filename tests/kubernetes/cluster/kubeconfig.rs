//! Kubeconfig files: where an API server is and with which papers to speak to it.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::ClusterError;
use crate::pki::Papers;

/// All that a client of the API server needs, in one file.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    server: String,
    authority: String,
    papers: Papers,
}

impl Kubeconfig {
    pub(crate) fn new(server: String, authority: &str, papers: Papers) -> Kubeconfig {
        Kubeconfig { server, authority: authority.to_owned(), papers }
    }

    /// The same by another address of the API server, such as `https://127.0.0.1:6443`.
    #[must_use]
    pub fn with_server(&self, server: &str) -> Kubeconfig {
        Kubeconfig { server: server.to_owned(), ..self.clone() }
    }

    /// The file's text: JSON, which is YAML, too.
    pub fn text(&self) -> String {
        let data = |pem: &str| json!(ByteString(pem.as_bytes().to_vec()));
        let config: Value = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "meltemi", "cluster": {
                "server": self.server, "certificate-authority-data": data(&self.authority),
            }}],
            "users": [{"name": "meltemi", "user": {
                "client-certificate-data": data(&self.papers.certificate), "client-key-data": data(&self.papers.key),
            }}],
            "contexts": [{"name": "meltemi", "context": {"cluster": "meltemi", "user": "meltemi"}}],
            "current-context": "meltemi",
        });
        format!("{config:#}\n")
    }

    /// Writes it to a file that only its owner may read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ClusterError> {
        let failed = || ClusterError::io(format!("write {}", path.display()));
        let mut file =
            fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path).map_err(failed())?;
        std::io::Write::write_all(&mut file, self.text().as_bytes()).map_err(failed())
    }
}
