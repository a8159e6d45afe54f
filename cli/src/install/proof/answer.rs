//! What the client printed, judged: only an answer in which the server saw the client's certificate is a proof.

use super::objects::{CLIENT, SERVER};
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Who called whom, by the identities in their certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub client: String,
    pub server: String,
}

/// One line of `meltemi shop ask`.
#[derive(Debug, Deserialize)]
struct Output {
    status: Option<u16>,
    failure: Option<String>,
    #[serde(default)]
    body: String,
}

/// What `meltemi shop echo` answers.
#[derive(Debug, Deserialize)]
struct Seen {
    headers: BTreeMap<String, Vec<String>>,
}

/// Reads the client's output.
pub fn judge(output: &str, namespace: &str) -> anyhow::Result<Proof> {
    let line = output.lines().rev().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("the client printed no answer but: {}", output.trim()))?;
    let output: Output = serde_json::from_str(line).with_context(|| format!("the client printed {line}"))?;
    match (output.status, output.failure) {
        (Some(200), _) => {}
        (Some(status), _) => bail!("the server's answer was {status}: {}", output.body),
        (None, failure) => bail!("the server could not be reached: {}", failure.unwrap_or_default()),
    }
    let seen: Seen =
        serde_json::from_str(&output.body).with_context(|| format!("the server answered {}", output.body))?;
    let certificate = seen.headers.get("x-forwarded-client-cert").and_then(|values| values.last());
    let certificate = certificate.context(
        "the request arrived, but not by mTLS: the server's sidecar saw no client certificate; a PeerAuthentication or \
         DestinationRule of the whole mesh may turn mTLS off",
    )?;
    let part = |name: &str| certificate.split([';', ',']).filter_map(|part| part.strip_prefix(name)).next_back();
    let (Some(client), Some(server)) = (part("URI="), part("By=")) else {
        bail!("the server's sidecar saw a certificate without identities: {certificate}");
    };
    for (identity, account) in [(client, CLIENT), (server, SERVER)] {
        if !identity.ends_with(&format!("/ns/{namespace}/sa/{account}")) {
            bail!("the {account}'s certificate is that of {identity}");
        }
    }
    Ok(Proof { client: client.to_owned(), server: server.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Proof, judge};
    use serde_json::json;

    fn output(status: u16, headers: serde_json::Value) -> String {
        let body = json!({ "headers": headers }).to_string();
        format!("{}\n", json!({ "status": status, "attempts": 3, "body": body }))
    }

    const SEEN: &str = "By=spiffe://cluster.local/ns/p/sa/server;Hash=ab;URI=spiffe://cluster.local/ns/p/sa/client";

    #[test]
    fn a_certificate_of_the_client_is_a_proof() {
        let proof = judge(&output(200, json!({ "x-forwarded-client-cert": [SEEN] })), "p").unwrap();
        let identity = |account: &str| format!("spiffe://cluster.local/ns/p/sa/{account}");
        assert_eq!(proof, Proof { client: identity("client"), server: identity("server") });
    }

    #[test]
    fn nothing_else_is() {
        let other = SEEN.replace("sa/client", "sa/other");
        for (output, said) in [
            (output(200, json!({ "host": ["server"] })), "not by mTLS"),
            (
                output(200, json!({ "x-forwarded-client-cert": [other] })),
                "that of spiffe://cluster.local/ns/p/sa/other",
            ),
            (output(503, json!({})), "503"),
            ("{\"failure\": \"refused\"}".to_owned(), "could not be reached: refused"),
            ("panic".to_owned(), "no answer but: panic"),
        ] {
            let error = format!("{:#}", judge(&output, "p").unwrap_err());
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
