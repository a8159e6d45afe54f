//! `meltemi inject`: gives the pods of YAML files their sidecar, as the webhook would.

use crate::cluster::{ClusterArgs, Told};
use crate::names;
use anyhow::{Context, bail};
use clap::Args;
use k8s_openapi::api::core::v1::ConfigMap;
use pilot::inject::{InjectorConfig, NoteKind, inject_file};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The key of the ConfigMap that the webhook reads.
const CONFIG_KEY: &str = "injector.yaml";

/// Arguments of `meltemi inject`.
#[derive(Debug, Args)]
pub struct InjectArgs {
    /// File with Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs or Lists; `-` for standard input.
    #[arg(short = 'f', long = "filename")]
    file: PathBuf,
    /// What sidecars get: the file that the chart puts into the ConfigMap meltemi-injector; the chart's defaults without it.
    #[arg(long, conflicts_with = "from_cluster")]
    injector_config: Option<PathBuf>,
    /// Read what sidecars get from the ConfigMap meltemi-injector of the cluster that kubectl would use.
    #[arg(long)]
    from_cluster: bool,
    /// The revision whose ConfigMap that is.
    #[arg(long, requires = "from_cluster", default_value = names::DEFAULT_REVISION)]
    revision: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Namespace of objects that name none.
    #[arg(short = 'n', long, default_value = "default")]
    namespace: String,
    /// Where the result goes; standard output without it.
    #[arg(short = 'o', long)]
    output: Option<PathBuf>,
}

/// Writes the injected file. What should have a sidecar and cannot have one is an error, and nothing is written.
pub fn run(args: &InjectArgs) -> anyhow::Result<()> {
    let config = config(args)?;
    let name = if is_standard(&args.file) { "standard input".into() } else { args.file.display().to_string() };
    let text = read(&args.file).with_context(|| format!("read {name}"))?;
    let file = inject_file(&text, &args.namespace, &config);
    for note in &file.notes {
        let word = match note.kind {
            NoteKind::Refused => "error",
            NoteKind::Warning => "warning",
            NoteKind::Left => "note",
        };
        eprintln!("{word}: {name}:{note}");
    }
    let refused = file.notes.iter().filter(|note| note.kind == NoteKind::Refused).count();
    if refused > 0 {
        bail!("nothing is written: correct the {refused} errors above");
    }
    match &args.output {
        Some(path) if !is_standard(path) => {
            std::fs::write(path, file.text).with_context(|| format!("write {}", path.display()))
        }
        _ => std::io::stdout().write_all(file.text.as_bytes()).context("write to standard output"),
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read(path: &Path) -> std::io::Result<String> {
    if !is_standard(path) {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn config(args: &InjectArgs) -> anyhow::Result<InjectorConfig> {
    let (text, from) = match &args.injector_config {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            (text, path.display().to_string())
        }
        None if args.from_cluster => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            (runtime.block_on(of_cluster(args))?, "the configuration in the cluster".to_owned())
        }
        None => return Ok(InjectorConfig::default()),
    };
    InjectorConfig::read(&text).context(from)
}

async fn of_cluster(args: &InjectArgs) -> anyhow::Result<String> {
    let name = names::injector(&args.revision);
    let from = format!("ConfigMap {}/{name}", names::SYSTEM);
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(args.cluster.connect().await?, names::SYSTEM);
    let map = maps.get(&name).await.doing(|| format!("read {from}"))?;
    map.data.unwrap_or_default().remove(CONFIG_KEY).with_context(|| format!("{from} has no key {CONFIG_KEY}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::duration;
    use crate::init::InitArgs;
    use crate::proxy::ProxyArgs;
    use clap::Parser;
    use pilot::inject::{InjectorConfig, Namespace, Outcome, review};
    use serde_json::{Value, json};

    // Parsed once in a test: its size is nobody's concern.
    #[allow(clippy::large_enum_variant)]
    #[derive(Debug, Parser)]
    enum Meltemi {
        #[command(args_override_self = true)]
        Proxy(ProxyArgs),
        Init(InitArgs),
    }

    /// Both containers of a pod that uses everything that reaches a command line.
    fn containers() -> Value {
        let annotations = json!({
            "status.sidecar.istio.io/port": "15999",
            "traffic.sidecar.istio.io/includeOutboundPorts": "5432",
            "traffic.sidecar.istio.io/excludeOutboundPorts": "3306",
            "traffic.sidecar.istio.io/excludeInterfaces": "net1",
            "istio.io/reroute-virtual-interfaces": "k6t"
        });
        let pod = json!({
            "metadata": { "name": "app", "labels": { "app": "app", "version": "v1" }, "annotations": annotations },
            "spec": { "containers": [{ "name": "app" }] }
        });
        let namespace = Namespace { name: "shop".into(), selected: true, ..Namespace::default() };
        let Outcome::Injected { patch, .. } = review(&pod, &namespace, None, &InjectorConfig::default()) else {
            panic!("not injected")
        };
        let patch = serde_json::to_value(&patch).unwrap();
        let operations = patch.as_array().unwrap();
        operations.iter().find(|it| it["path"] == "/spec/initContainers").unwrap()["value"].clone()
    }

    fn read(container: &Value, more: &[&str]) -> Meltemi {
        let arguments = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
        Meltemi::try_parse_from(std::iter::once("meltemi").chain(arguments).chain(more.iter().copied())).unwrap()
    }

    #[test]
    fn the_injected_containers_start_this_program() {
        let containers = containers();
        let init = read(&containers[0], &[]);
        assert!(matches!(init, Meltemi::Init(_)), "{init:?}");
        // What the downward API brings.
        let Meltemi::Proxy(proxy) = read(&containers[1], &["--pod", "app", "--ip", "10.0.0.1"]) else {
            panic!("no proxy")
        };
        let text = format!("{proxy:?}");
        for part in ["(\"app\", \"app\")", "(\"version\", \"v1\")", "[::]:15999", "[::]:15090"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for variable in containers[1]["env"].as_array().unwrap() {
            if variable["name"].as_str().unwrap().ends_with("_DRAIN_DURATION") {
                duration::parse(variable["value"].as_str().unwrap()).unwrap();
            }
        }
    }
}
