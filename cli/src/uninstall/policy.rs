//! The policy of the mesh. It is that of all revisions, so Helm keeps it when the release that made it goes; it goes with the
//! last one, unless a person made it.

use super::Outcome;
use crate::cluster::{self, Told};
use crate::install::policy::{self, OBJECT};
use kube::Client;
use kube::api::DeleteParams;

/// Removes it if a release of ours made it.
pub async fn remove(client: &Client, outcome: &mut Outcome) -> anyhow::Result<()> {
    if policy::maker(client).await?.is_none() {
        return Ok(());
    }
    match policy::api(client).delete(policy::NAME, &DeleteParams::default()).await {
        Err(error) if cluster::is_absent(&error) => {}
        deleted => {
            deleted.doing(|| format!("cannot remove the {OBJECT}"))?;
            outcome.removed.push(format!("{OBJECT}, the policy of the mesh"));
        }
    }
    Ok(())
}
