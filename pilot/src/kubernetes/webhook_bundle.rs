//! The API server calls our webhooks only when it trusts our certificate: the roots stand as `caBundle` in the webhook
//! configurations of our revision. The chart leaves them empty and every replica fills them, also after an upgrade or an
//! edit that took them out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use citadel::ca::CertificateAuthority;
use citadel::kubernetes::{WATCH_SECONDS, explain, explain_watch};
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

use super::bundle::Bundle;
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
    fn is_right(&self, bundle: &Bundle) -> bool {
        self.webhooks.iter().all(|(_, client)| bundle.is_in(text(client)))
    }

    /// Only what is wrong, and only if the webhook at that place is still the same one, with what was read.
    fn patch(&self, bundle: &Bundle) -> json_patch::Patch {
        let wrong = self.webhooks.iter().enumerate();
        let wrong =
            wrong.filter_map(|(index, (name, client))| Some((index, name, client, bundle.put_into(text(client))?)));
        let operations = wrong.flat_map(|(index, name, client, roots)| {
            let path = |rest: &[&str]| {
                let index = index.to_string();
                PointerBuf::from_tokens(["webhooks", &index].into_iter().chain(rest.iter().copied()))
            };
            let same = |path, value| PatchOperation::Test(TestOperation { path, value });
            let name = same(path(&["name"]), Value::from(name.as_str()));
            let read = client.ca_bundle.as_ref().map(|read| same(path(&["clientConfig", "caBundle"]), json!(read)));
            let value = json!(ByteString(roots.into_bytes()));
            let add = AddOperation { path: path(&["clientConfig", "caBundle"]), value };
            [Some(name), read, Some(PatchOperation::Add(add))].into_iter().flatten()
        });
        json_patch::Patch(operations.collect())
    }
}

fn text(client: &WebhookClientConfig) -> &[u8] {
    client.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice()).unwrap_or_default()
}

type Events = BoxStream<'static, (Kind, watcher::Result<Event<Configuration>>)>;

struct Keeper {
    client: Client,
    bundle: Bundle,
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
        bundle: Bundle::new(authority.borrow_and_update().roots_pem()),
        mutating: Listed::new(),
        validating: Listed::new(),
        due: Due::new(),
        patches,
        failing: LogLimit::new(Duration::from_secs(10)),
    };
    let mut under_way = FuturesUnordered::new();
    loop {
        while let Some(name) = keeper.due.next(Instant::now()) {
            under_way.push(write(keeper.client.clone(), name, keeper.bundle.clone()));
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
    let ours =
        watcher::Config::default().timeout(WATCH_SECONDS).labels(&format!("app=meltemi,istio.io/rev={revision}"));
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
        let bundle = &self.bundle;
        let changed = match event {
            Ok(event) => listed.take(event, |object| (object.name.clone(), object.is_right(bundle))),
            Err(error) => return self.unwatched(kind, &error),
        };
        self.look_at(changed);
    }

    fn roots_changed(&mut self, roots: &str) {
        self.bundle.change(roots);
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

async fn write(client: Client, name: Name, bundle: Bundle) -> (Name, Result<(), String>) {
    let work = async {
        match name.kind {
            Kind::Mutating => patch::<MutatingWebhookConfiguration>(Api::all(client), &name.name, &bundle).await,
            Kind::Validating => patch::<ValidatingWebhookConfiguration>(Api::all(client), &name.name, &bundle).await,
        }
    };
    let late = || Err(format!("no answer of the API server within {DEADLINE:?}"));
    let result = timeout(DEADLINE, work).await.map_or_else(|_| late(), |done| done.map_err(|error| explain(&error)));
    (name, result)
}

/// Reads it anew, for the patch counts webhooks; one that was deleted needs nothing.
async fn patch<K>(api: Api<K>, name: &str, bundle: &Bundle) -> kube::Result<()>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug,
    Configuration: From<K>,
{
    let Some(object) = api.get_opt(name).await? else { return Ok(()) };
    let patch = Configuration::from(object).patch(bundle);
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

    const ROOTS: &str = "-----BEGIN CERTIFICATE-----\nroots\n-----END CERTIFICATE-----\n";
    const OLD: &str = "-----BEGIN CERTIFICATE-----\nold\n-----END CERTIFICATE-----\n";

    fn webhook(name: &str, bundle: Option<&str>) -> Value {
        let bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
        let client = json!({ "service": { "name": "meltemi", "namespace": "meltemi-system" }, "caBundle": bundle });
        json!({ "name": name, "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"] })
    }

    fn patch(webhooks: &[Value]) -> json_patch::Patch {
        let object = json!({ "metadata": { "name": "meltemi-injector" }, "webhooks": webhooks });
        let object: MutatingWebhookConfiguration = serde_json::from_value(object).unwrap();
        Configuration::from(object).patch(&Bundle::new(ROOTS))
    }

    #[test]
    fn only_what_is_wrong_is_patched() {
        let both = format!("{ROOTS}{OLD}");
        let before =
            [webhook("a", Some(ROOTS)), webhook("b", Some(OLD)), webhook("c", None), webhook("d", Some(&both))];
        let mut object = json!({ "webhooks": before });
        let patch = patch(object["webhooks"].as_array().unwrap());
        assert_eq!(patch.len(), 5, "two for the one with none, three for the one that must still be as it was read");
        json_patch::patch(&mut object, &patch).unwrap();
        let right = [
            webhook("a", Some(ROOTS)),
            webhook("b", Some(&both)),
            webhook("c", Some(ROOTS)),
            webhook("d", Some(&both)),
        ];
        assert_eq!(object, json!({ "webhooks": right }));
    }

    #[test]
    fn what_changed_in_between_makes_the_patch_fail_instead_of_hitting_another() {
        let patch = patch(&[webhook("a", Some(OLD)), webhook("b", Some(ROOTS))]);
        let mut moved = json!({ "webhooks": [webhook("b", Some(ROOTS)), webhook("a", Some(OLD))] });
        assert!(json_patch::patch(&mut moved, &patch).is_err());
        let mut added = json!({ "webhooks": [webhook("a", Some(ROOTS)), webhook("b", Some(ROOTS))] });
        assert!(json_patch::patch(&mut added, &patch).is_err(), "another replica's root would be lost");
    }
}
