//! The API server calls our webhooks only when it trusts our certificate: the roots stand as `caBundle` in the webhook
//! configurations of our revision. The chart leaves them empty and the leader fills them, also after an upgrade or an
//! edit that took them out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use citadel::ca::CertificateAuthority;
use citadel::kubernetes::{explain, explain_watch};
use futures::StreamExt;
use futures::stream::{BoxStream, FuturesUnordered, select};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, TestOperation};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use record::{CounterVec, LogLimit, Metrics};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::due::Due;
use super::leader::while_leading;
use super::listed::Listed;

const MANAGER: &str = "meltemi";
const DEADLINE: Duration = Duration::from_secs(10);

/// Keeps the bundles of `revision` while this replica leads; `authority` says what the roots are. Ends with the
/// election. Needs `get`, `list`, `watch` and `patch` on both kinds of webhook configurations.
pub async fn run(
    client: Client,
    revision: String,
    authority: watch::Receiver<Arc<CertificateAuthority>>,
    leads: watch::Receiver<bool>,
    metrics: Metrics,
) {
    let help = "Patches of caBundle in webhook configurations, by result: patched, failed";
    let patches = metrics.counter_vec("meltemi_webhook_bundle_patches_total", help, &["result"]);
    while_leading(leads, || keep(client.clone(), revision.clone(), authority.clone(), patches.clone())).await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Mutating,
    Validating,
}

/// One webhook configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name {
    kind: Kind,
    name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}WebhookConfiguration {}", self.kind, self.name)
    }
}

/// What both kinds have in common: webhooks, each with a name and whom to call.
#[derive(Debug, Clone)]
struct Configuration {
    name: Name,
    webhooks: Vec<(String, WebhookClientConfig)>,
}

impl From<MutatingWebhookConfiguration> for Configuration {
    fn from(object: MutatingWebhookConfiguration) -> Self {
        let name = Name { kind: Kind::Mutating, name: object.name_any() };
        let webhooks = object.webhooks.unwrap_or_default().into_iter();
        Self { name, webhooks: webhooks.map(|webhook| (webhook.name, webhook.client_config)).collect() }
    }
}

impl From<ValidatingWebhookConfiguration> for Configuration {
    fn from(object: ValidatingWebhookConfiguration) -> Self {
        let name = Name { kind: Kind::Validating, name: object.name_any() };
        let webhooks = object.webhooks.unwrap_or_default().into_iter();
        Self { name, webhooks: webhooks.map(|webhook| (webhook.name, webhook.client_config)).collect() }
    }
}

impl Configuration {
    fn is_right(&self, roots: &str) -> bool {
        self.webhooks.iter().all(|(_, client)| has_bundle(client, roots))
    }

    /// Only what is wrong, and only if the webhook at that place is still the same one.
    fn patch(&self, roots: &str) -> json_patch::Patch {
        let bundle = json!(ByteString(roots.as_bytes().to_vec()));
        let wrong = self.webhooks.iter().enumerate().filter(|(_, (_, client))| !has_bundle(client, roots));
        let operations = wrong.flat_map(|(index, (name, _))| {
            let path = |rest: &[&str]| {
                let index = index.to_string();
                PointerBuf::from_tokens(["webhooks", &index].into_iter().chain(rest.iter().copied()))
            };
            let same = TestOperation { path: path(&["name"]), value: Value::from(name.as_str()) };
            let add = AddOperation { path: path(&["clientConfig", "caBundle"]), value: bundle.clone() };
            [PatchOperation::Test(same), PatchOperation::Add(add)]
        });
        json_patch::Patch(operations.collect())
    }
}

fn has_bundle(client: &WebhookClientConfig, roots: &str) -> bool {
    client.ca_bundle.as_ref().is_some_and(|bundle| bundle.0 == roots.as_bytes())
}

type Events = BoxStream<'static, (Kind, watcher::Result<Event<Configuration>>)>;

struct Keeper {
    client: Client,
    roots: String,
    mutating: Listed<Name>,
    validating: Listed<Name>,
    due: Due<Name>,
    patches: CounterVec,
    failing: LogLimit,
}

async fn keep(
    client: Client,
    revision: String,
    mut authority: watch::Receiver<Arc<CertificateAuthority>>,
    patches: CounterVec,
) {
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut events =
        select(events(Kind::Mutating, mutating, &revision), events(Kind::Validating, validating, &revision));
    let mut keeper = Keeper {
        client,
        roots: authority.borrow_and_update().roots_pem().to_owned(),
        mutating: Listed::new(),
        validating: Listed::new(),
        due: Due::new(),
        patches,
        failing: LogLimit::new(Duration::from_secs(10)),
    };
    let mut under_way = FuturesUnordered::new();
    loop {
        while let Some(name) = keeper.due.next(Instant::now()) {
            under_way.push(write(keeper.client.clone(), name, keeper.roots.clone()));
        }
        let next_at = keeper.due.next_at();
        tokio::select! {
            Some((kind, event)) = events.next() => keeper.event(kind, event),
            Some((name, result)) = under_way.next(), if !under_way.is_empty() => keeper.finish(&name, result),
            Ok(()) = authority.changed() => keeper.roots_changed(authority.borrow_and_update().roots_pem()),
            () = sleep_until(next_at.unwrap_or_else(Instant::now)), if next_at.is_some() => {}
        }
    }
}

fn events<K>(kind: Kind, api: Api<K>, revision: &str) -> Events
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
    Configuration: From<K>,
{
    let ours = watcher::Config::default().labels(&format!("app=meltemi,istio.io/rev={revision}"));
    let events = watcher(api, ours).default_backoff();
    events.map(move |event| (kind, event.map(configuration_event))).boxed()
}

fn configuration_event<K>(event: Event<K>) -> Event<Configuration>
where
    Configuration: From<K>,
{
    match event {
        Event::Apply(object) => Event::Apply(object.into()),
        Event::Delete(object) => Event::Delete(object.into()),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.into()),
        Event::InitDone => Event::InitDone,
    }
}

impl Keeper {
    fn event(&mut self, kind: Kind, event: watcher::Result<Event<Configuration>>) {
        let listed = match kind {
            Kind::Mutating => &mut self.mutating,
            Kind::Validating => &mut self.validating,
        };
        let roots = self.roots.as_str();
        let changed = match event {
            Ok(event) => listed.take(event, |object| (object.name.clone(), object.is_right(roots))),
            Err(error) => return self.unwatched(kind, &error),
        };
        self.look_at(changed);
    }

    fn roots_changed(&mut self, roots: &str) {
        roots.clone_into(&mut self.roots);
        self.mutating.all_wrong();
        self.validating.all_wrong();
        let all = self.mutating.keys().chain(self.validating.keys()).cloned().collect();
        self.look_at(all);
    }

    fn look_at(&mut self, names: Vec<Name>) {
        let now = Instant::now();
        for name in names {
            let listed = if name.kind == Kind::Mutating { &self.mutating } else { &self.validating };
            if !listed.has(&name) {
                self.due.forget(&name);
            } else if listed.is_right(&name) {
                self.due.settled(&name);
            } else {
                self.due.ask(name, now);
            }
        }
    }

    fn finish(&mut self, name: &Name, result: Result<(), String>) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.due.done(name, now);
                self.patches.with(&["patched"]).inc();
            }
            Err(reason) => {
                self.due.failed(name, now);
                self.patches.with(&["failed"]).inc();
                if let Some(left_out) = self.failing.admit() {
                    tracing::warn!(
                        left_out,
                        "cannot write caBundle into {name}, so the API server will not trust our webhook: {reason}"
                    );
                }
            }
        }
    }

    fn unwatched(&self, kind: Kind, error: &watcher::Error) {
        if let Some(left_out) = self.failing.admit() {
            tracing::warn!(left_out, "changes of {kind:?}WebhookConfigurations go unseen: {}", explain_watch(error));
        }
    }
}

async fn write(client: Client, name: Name, roots: String) -> (Name, Result<(), String>) {
    let work = async {
        match name.kind {
            Kind::Mutating => patch::<MutatingWebhookConfiguration>(Api::all(client), &name.name, &roots).await,
            Kind::Validating => patch::<ValidatingWebhookConfiguration>(Api::all(client), &name.name, &roots).await,
        }
    };
    let late = || Err(format!("no answer of the API server within {DEADLINE:?}"));
    let result = timeout(DEADLINE, work).await.map_or_else(|_| late(), |done| done.map_err(|error| explain(&error)));
    (name, result)
}

/// Reads it anew, for the patch counts webhooks; one that was deleted needs nothing.
async fn patch<K>(api: Api<K>, name: &str, roots: &str) -> kube::Result<()>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug,
    Configuration: From<K>,
{
    let Some(object) = api.get_opt(name).await? else { return Ok(()) };
    let patch = Configuration::from(object).patch(roots);
    if !patch.is_empty() {
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        api.patch(name, &parameters, &Patch::Json::<()>(patch)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn webhook(name: &str, bundle: Option<&str>) -> Value {
        let bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
        let client = json!({ "service": { "name": "meltemi", "namespace": "meltemi-system" }, "caBundle": bundle });
        json!({ "name": name, "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"] })
    }

    fn patch(webhooks: &[Value]) -> json_patch::Patch {
        let object = json!({ "metadata": { "name": "meltemi-injector" }, "webhooks": webhooks });
        let object: MutatingWebhookConfiguration = serde_json::from_value(object).unwrap();
        Configuration::from(object).patch("roots")
    }

    #[test]
    fn only_what_is_wrong_is_patched() {
        let mut object =
            json!({ "webhooks": [webhook("a", Some("roots")), webhook("b", Some("old")), webhook("c", None)] });
        let patch = patch(object["webhooks"].as_array().unwrap());
        assert_eq!(patch.len(), 4);
        json_patch::patch(&mut object, &patch).unwrap();
        let right = [webhook("a", Some("roots")), webhook("b", Some("roots")), webhook("c", Some("roots"))];
        assert_eq!(object, json!({ "webhooks": right }));
    }

    #[test]
    fn webhooks_that_moved_in_between_make_the_patch_fail_instead_of_hitting_another() {
        let patch = patch(&[webhook("a", None), webhook("b", Some("roots"))]);
        let mut moved = json!({ "webhooks": [webhook("b", Some("roots")), webhook("a", None)] });
        assert!(json_patch::patch(&mut moved, &patch).is_err());
    }
}
