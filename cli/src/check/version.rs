//! The API server answers, and is new enough.

use super::line::Line;
use kube::Client;

/// Native sidecars, which the injected pods are made of, are part of Kubernetes from this minor version on.
const OLDEST: u32 = 33;

pub async fn check(client: &Client) -> Result<Vec<Line>, kube::Error> {
    let version = client.apiserver_version().await?;
    Ok(vec![judge(&version.git_version, &version.major, &version.minor)])
}

/// Providers write the minor version as `33+`, too.
fn judge(name: &str, major: &str, minor: &str) -> Line {
    let number: String = minor.chars().take_while(char::is_ascii_digit).collect();
    match (major, number.parse::<u32>()) {
        ("1", Ok(minor)) if minor >= OLDEST => Line::ok("api", format!("Kubernetes {name} answers")),
        _ => Line::failed(
            "api",
            format!("Kubernetes {name} is too old: sidecar containers are there from 1.{OLDEST} on"),
            format!("upgrade the cluster to Kubernetes 1.{OLDEST} or newer"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::check::line::Outcome;

    #[test]
    fn versions_from_1_33_on_are_right() {
        for (minor, outcome) in
            [("32", Outcome::Failed), ("33", Outcome::Ok), ("33+", Outcome::Ok), ("100", Outcome::Ok)]
        {
            assert_eq!(judge("v", "1", minor).outcome, outcome, "1.{minor}");
        }
        assert_eq!(judge("v", "0", "40").outcome, Outcome::Failed);
    }
}
