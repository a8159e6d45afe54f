//! What a pod is given before it starts, as a cluster would mount it: its token and the mesh's root certificate.

use crate::error::LabError;
use crate::manifest::PodSpec;
use citadel::ca::CertificateAuthority;
use citadel::spiffe::TrustDomain;
use citadel::token::TokenIssuer;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The audience that Istio's agents ask for and its CA expects.
const AUDIENCE: &str = "istio-ca";
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys of the control plane's state directory, made here before the control plane starts with them.
pub(crate) struct Issuer {
    tokens: TokenIssuer,
    roots: String,
}

impl Issuer {
    pub fn open(state_dir: &Path, trust_domain: &str) -> Result<Issuer, LabError> {
        let failed = |problem: String| LabError::Identity { who: "the mesh".to_owned(), problem };
        let trust_domain: TrustDomain = trust_domain.parse().map_err(|error| failed(format!("{error}")))?;
        let authority = CertificateAuthority::load_or_create(state_dir, trust_domain);
        let authority = authority.map_err(|error| failed(error.to_string()))?;
        let tokens = TokenIssuer::load_or_create(state_dir).map_err(|error| failed(error.to_string()))?;
        Ok(Issuer { tokens, roots: authority.roots_pem().to_owned() })
    }

    /// Writes `token` and `root-cert.pem` into the pod's folder.
    pub fn write(&self, pod: &PodSpec, folder: &Path) -> Result<(), LabError> {
        let failed = |problem: String| LabError::Identity { who: pod.full_name(), problem };
        let token = self.tokens.issue(&pod.namespace, &pod.service_account, AUDIENCE, TOKEN_LIFE);
        let token = token.map_err(|error| failed(error.to_string()))?;
        fs::write(folder.join("token"), token).map_err(|error| failed(error.to_string()))?;
        fs::write(folder.join("root-cert.pem"), &self.roots).map_err(|error| failed(error.to_string()))
    }
}
