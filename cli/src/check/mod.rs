//! `meltemi check`: tells whether all is well, one line for each thing looked at, each failure with what to do. Each check
//! is a file: it reads objects, and a pure function judges them.

mod authority;
mod before;
pub mod control_plane;
mod dry_run;
mod leader;
pub mod line;
pub mod pods;
mod rejected;
mod rights;
mod roots;
mod sidecars;
mod version;
pub mod wanted;
mod webhooks;

use crate::cluster::ClusterArgs;
use crate::helm::Helm;
use crate::install::rollout;
use crate::names::{APP, DEFAULT_REVISION, SYSTEM};
use clap::{Args, ValueEnum};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, ListParams};
use line::{Line, Outcome, or_unreadable};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `meltemi check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Look at a cluster before Meltemi is installed on it.
    #[arg(long)]
    pre: bool,
    /// With --pre: the revision that is to be installed.
    #[arg(long, default_value = DEFAULT_REVISION)]
    revision: String,
    /// How it is printed.
    #[arg(short, long, default_value = "text")]
    output: Output,
    /// With --pre: the program `helm`; without it the one in PATH.
    #[arg(long, env = "HELM", value_name = "FILE")]
    helm: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Prints the lines; the exit code is 1 when one of them failed.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = runtime.block_on(check(args))?;
    let well = lines.iter().all(|line| line.outcome != Outcome::Failed);
    match args.output {
        Output::Text => print!("{}", line::text(&lines)),
        Output::Json => println!("{:#}", json!({ "ok": well, "checks": lines })),
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check(args: &CheckArgs) -> anyhow::Result<Vec<Line>> {
    let client = args.cluster.connect().await?;
    let mut lines = or_unreadable("api", version::check(&client).await);
    if lines.iter().any(|line| line.outcome == Outcome::Failed) {
        // Without an API server, or with one too old, all else would fail for that reason alone.
        return Ok(lines);
    }
    if args.pre {
        lines.push(before::helm(Helm::find(args.helm.as_deref(), &args.cluster)));
        lines.extend(before::check(&client, &args.revision).await);
    } else {
        lines.extend(after(&client).await);
    }
    Ok(lines)
}

async fn after(client: &Client) -> Vec<Line> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let found = match deployments.list(&ListParams::default().labels(APP)).await {
        Ok(found) => found.items,
        Err(error) => return or_unreadable("control plane", Err(error)),
    };
    if found.is_empty() {
        let what = format!("there is none in the namespace {SYSTEM}");
        return vec![Line::failed("control plane", what, "run `meltemi install`; `meltemi check --pre` before it")];
    }
    let mut lines = Vec::new();
    let mut planes = Vec::new();
    for deployment in &found {
        match rollout::describe(deployment) {
            Ok(plane) => {
                let judged = control_plane::check(client, deployment, &plane).await;
                lines.extend(or_unreadable("control plane", judged));
                planes.push(plane);
            }
            Err(error) => lines.push(Line::failed("control plane", error.to_string(), "run `meltemi install` again")),
        }
    }
    lines.extend(or_unreadable("leader", leader::check(client).await));
    lines.extend(or_unreadable("authority", authority::check(client, &planes).await));
    lines.extend(or_unreadable("roots", roots::check(client).await));
    lines.extend(or_unreadable("webhooks", webhooks::check(client, &planes).await));
    lines.extend(or_unreadable("sidecars", sidecars::check(client, &planes).await));
    lines.extend(or_unreadable("objects", rejected::check(client).await));
    lines
}
