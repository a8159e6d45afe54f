//! `meltemi install`: the charts by Helm, then a proof that two pods of this cluster talk over mTLS.

mod charts;
mod definitions;
pub mod namespace;
pub mod policy;
mod progress;
mod proof;
pub mod rollout;

use crate::cluster::ClusterArgs;
use crate::helm::Helm;
use crate::names::{self, CHART, CRDS, DEFAULT_REVISION};
use anyhow::Context;
use charts::Charts;
use clap::{ArgAction, Args};
use progress::Progress;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `meltemi install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// File of values for the chart; may be given several times, the last one wins.
    #[arg(short = 'f', long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// A value for the chart, such as `image.tag=1.2.3`; may be given several times. Those of an earlier install are kept;
    /// `KEY=null` brings back the chart's own.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The revision that namespaces name in `istio.io/rev`; "default" is also what `istio-injection: enabled` means. With
    /// another one it is installed beside an Istio or another Meltemi.
    #[arg(long, default_value = DEFAULT_REVISION)]
    revision: String,
    /// Wait until the control plane is available.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    wait: bool,
    /// The longest wait for the control plane, and then for the proof.
    #[arg(long, default_value = "3m", value_parser = crate::duration::parse)]
    timeout: Duration,
    /// Do not prove an mTLS request between two pods at the end.
    #[arg(long)]
    no_proof: bool,
    /// Print what would be installed, without asking the cluster anything.
    #[arg(long)]
    dry_run: bool,
    /// The program `helm`; without it the one in PATH.
    #[arg(long, env = "HELM", value_name = "FILE")]
    helm: Option<PathBuf>,
}

/// Runs until Meltemi is installed and proven, or says what failed.
pub fn run(args: &InstallArgs) -> anyhow::Result<()> {
    let helm = Helm::find(args.helm.as_deref(), &args.cluster)?;
    let charts = Charts::unpack()?;
    if args.dry_run {
        let release = names::control_plane(&args.revision);
        print!("{}", helm.render(CRDS, &charts.chart(CRDS), &[])?);
        print!("{}", helm.render(&release, &charts.chart(CHART), &args.chart_values())?);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(install(args, &helm, &charts))
}

impl InstallArgs {
    fn chart_values(&self) -> Vec<String> {
        let files = self.values.iter().flat_map(|file| ["--values".to_owned(), file.display().to_string()]);
        let values = self.set.iter().flat_map(|value| ["--set".to_owned(), value.clone()]);
        // Last, so that it holds: the names of all that follows depend on it. As text, for a name may consist of digits.
        let revision = ["--set-string".to_owned(), format!("revision={}", self.revision)];
        files.chain(values).chain(revision).collect()
    }
}

async fn install(args: &InstallArgs, helm: &Helm, charts: &Charts) -> anyhow::Result<()> {
    let progress = Progress::start();
    let client = args.cluster.connect().await?;
    if namespace::ensure(&client).await? {
        progress.done("namespace", "meltemi-system made, with Pod Security \"restricted\"");
    }
    helm.apply(CRDS, &charts.chart(CRDS), &[])?;
    definitions::established(&client, &charts::definitions()).await?;
    progress.done("definitions", "Istio's kinds are known to the cluster (Helm release meltemi-crds)");
    let release = names::control_plane(&args.revision);
    helm.apply(&release, &charts.chart(CHART), &args.chart_values())?;
    progress.done("control plane", &format!("applied (Helm release {release})"));
    if let Some(kept) = policy::kept(&client, &release, &helm.manifest(&release)?).await? {
        println!("{kept}");
    }
    if !args.wait {
        println!("Not waited for. `meltemi check` tells when all is well.");
        return Ok(());
    }
    let control_plane = rollout::wait(&client, &release, args.timeout).await?;
    progress.done("control plane", &format!("available, {} of {}", control_plane.ready, control_plane.wanted));
    if args.no_proof {
        println!("Installed in {}, without proof. `meltemi check` tells whether all is well.", progress.elapsed());
        return Ok(());
    }
    let proof = proof::run(&client, &control_plane, args.timeout)
        .await
        .context("Meltemi is installed, but a request between two pods could not be proven to be mTLS")?;
    progress.done("proof", &format!("{} called {} over mTLS", proof.client, proof.server));
    println!("Installed: {} from start to a proven mTLS request.", progress.elapsed());
    println!("{}", next_step(&control_plane.revision));
    Ok(())
}

fn next_step(revision: &str) -> String {
    let label = if revision == DEFAULT_REVISION {
        "istio-injection=enabled".to_owned()
    } else {
        format!("istio.io/rev={revision}")
    };
    format!(
        "Next: `kubectl label namespace NAME {label}`, then restart its pods; `meltemi check` watches over all of it."
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::InstallArgs;
    use clap::Parser;

    #[derive(Parser)]
    struct Wrapped {
        #[command(flatten)]
        install: InstallArgs,
    }

    fn read(line: &str) -> InstallArgs {
        Wrapped::try_parse_from(std::iter::once("install").chain(line.split_whitespace())).unwrap().install
    }

    #[test]
    fn values_reach_helm_in_their_order_and_the_revision_last() {
        let args = read("--revision blue -f a.yaml --values b.yaml --set x=1 --set y=2");
        assert_eq!(
            args.chart_values().join(" "),
            "--values a.yaml --values b.yaml --set x=1 --set y=2 --set-string revision=blue"
        );
        assert_eq!(read("").chart_values().join(" "), "--set-string revision=default");
    }

    #[test]
    fn waiting_is_the_default_and_can_be_left() {
        assert!(read("").wait && read("--wait").wait && read("--wait=true").wait);
        assert!(!read("--wait=false").wait);
    }
}
