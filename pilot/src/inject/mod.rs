//! Sidecar injection: whether a pod gets a sidecar, and as a JSON patch what changes when it does. All of it is pure:
//! the webhook and `meltemi inject` call the same functions.

mod annotations;
mod config;
mod decide;
mod documents;
mod findings;
mod metadata;
mod overrides;
mod patch;
mod probes;
mod proxy_config;
mod redirect;
mod security;
mod settings;
mod sidecar;
mod values;
mod volumes;

pub use config::{ConfigError, InjectorConfig};
pub use decide::{Decision, Namespace, Reason, decide};
pub use documents::{InjectedFile, Note, NoteKind, inject_file};

use crate::yaml::{Node, read};
use findings::Findings;
use json_patch::Patch;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use patch::Edits;
use serde::Deserialize;
use serde_json::Value;
use settings::Settings;

/// The sidecar's container, and what overrides of it are named.
pub const PROXY: &str = "istio-proxy";
/// The container that sets the redirect rules.
pub const INIT: &str = "istio-init";
/// Written on pods that were injected: JSON that names what was added.
const STATUS: &str = "sidecar.istio.io/status";
/// User and group of the sidecar, which the redirect rules leave alone.
const PROXY_ID: i64 = 1337;

/// What becomes of a pod.
#[derive(Debug)]
pub enum Outcome {
    /// It gets a sidecar by this patch.
    Injected {
        /// From the pod as it came.
        patch: Patch,
        /// For its author.
        warnings: Vec<String>,
    },
    /// It stays as it is.
    Left(Reason),
    /// It should get a sidecar and cannot: each text says why, and what would be right.
    Refused(Vec<String>),
}

/// One pod on its way through the injector.
struct Subject<'a> {
    /// As it came: what the patch applies to.
    raw: &'a Value,
    /// The same as far as this program knows it.
    pod: Pod,
    /// What owns it, where its own metadata does not say it: a template in a file.
    workload: Option<&'a str>,
    namespace: &'a Namespace,
}

/// Decides, and injects what should get a sidecar. `workload` names the owner of a pod that is a template of a file.
pub fn review(raw: &Value, namespace: &Namespace, workload: Option<&str>, config: &InjectorConfig) -> Outcome {
    let pod = match pod(raw) {
        Ok(pod) => pod,
        Err(problem) => return Outcome::Refused(vec![problem]),
    };
    match decide(&pod, namespace, config) {
        Decision::Leave(reason) => Outcome::Left(reason),
        Decision::Inject => inject(&Subject { raw, pod, workload, namespace }, config),
    }
}

fn pod(raw: &Value) -> Result<Pod, String> {
    Pod::deserialize(raw).map_err(|error| match read::<Pod>(&Node::of_json(raw)) {
        Err(error) => format!("the pod cannot be read: {}: {}", error.path, error.message),
        Ok(_) => format!("the pod cannot be read: {error}"),
    })
}

fn inject(subject: &Subject<'_>, config: &InjectorConfig) -> Outcome {
    let mut findings = Findings::default();
    annotations::unknown(&subject.pod.metadata, &mut findings);
    let settings = Settings::read(&subject.pod, config, &mut findings);
    security::check(subject, &mut findings);
    let mut edits = Edits::default();
    let probers = probes::rewrite(subject, &settings, &mut edits, &mut findings);
    let labels = metadata::labels(subject);
    let mut proxy = sidecar::container(subject, config, &settings, &labels, &probers);
    let mut init = redirect::container(config, &settings);
    overrides::take(subject, [&mut proxy, &mut init], &mut edits, &mut findings);
    volumes::add(subject, config, &settings, &mut edits, &mut findings);
    edits.insert_first(&["spec", "initContainers"], subject.spec().init_containers.is_some(), [init, proxy]);
    metadata::write(subject, config, &settings, labels, &mut edits, &mut findings);
    let Findings { refusals, warnings } = findings;
    if !refusals.is_empty() {
        return Outcome::Refused(refusals);
    }
    Outcome::Injected { patch: edits.into_patch(), warnings }
}

impl Subject<'_> {
    fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&EMPTY)
    }

    /// Containers of both lists that are the user's own, each with its list and its place in it.
    fn own_containers(&self) -> impl Iterator<Item = (&'static str, usize, &Container)> {
        self.containers().filter(|(.., container)| !is_ours(container))
    }

    fn containers(&self) -> impl Iterator<Item = (&'static str, usize, &Container)> {
        let spec = self.spec();
        let named = |list: &'static str| move |(index, container)| (list, index, container);
        let init = spec.init_containers.iter().flatten().enumerate().map(named("initContainers"));
        spec.containers.iter().enumerate().map(named("containers")).chain(init)
    }
}

fn is_ours(container: &Container) -> bool {
    container.name == PROXY || container.name == INIT
}

/// Starts before the applications and runs beside them.
fn is_native_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}
