//! The CA of a cluster comes from a Secret: `cacerts` when somebody plugged one in, else `meltemi-ca`, which the first
//! replica makes. A change is in force a moment later, without a restart; one that cannot work never is.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use record::LogLimit;
use tokio::sync::watch;
use tokio::time::timeout;

use super::published::Published;
use super::{WATCH_SECONDS, ca_pem, explain, explain_watch};
use crate::backoff::Backoff;
use crate::ca::{Authority, CertificateAuthority};
use crate::metrics::{CaMetrics, CaSecretMetrics};
use crate::spiffe::TrustDomain;

/// The Secret of a CA that somebody plugs in, Istio's name.
pub const PLUGGED_SECRET: &str = "cacerts";
/// The Secret of the CA that the control plane makes itself.
pub const OWN_SECRET: &str = "meltemi-ca";

const DEADLINE: Duration = Duration::from_secs(10);
const MANAGER: &str = "meltemi";

/// Where the CA's Secrets are and what it signs.
#[derive(Debug, Clone)]
pub struct CaSecretOptions {
    /// The control plane's namespace.
    pub namespace: String,
    /// What the CA signs for.
    pub trust_domain: TrustDomain,
    /// The longest life of a certificate.
    pub max_ttl: Duration,
}

/// Which Secret the CA in force came from, and why a later one is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaStatus {
    /// `<namespace>/<name>`; empty while there is none.
    pub secret: String,
    /// What is wrong, and with what, if anything is.
    pub problem: Option<String>,
}

impl fmt::Display for CaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.secret.as_str(), &self.problem) {
            ("", None) => f.write_str("there is no CA yet"),
            ("", Some(problem)) => write!(f, "there is no CA: {problem}"),
            (secret, None) => write!(f, "the CA of Secret {secret} is in force"),
            (secret, Some(problem)) => write!(f, "the CA as last read from Secret {secret} stays in force: {problem}"),
        }
    }
}

/// Waits until there is a CA, however long that takes, and gives it with its status and the task that follows changes:
/// spawn it, it never ends. Needs `get`, `list` and `watch` on the two Secrets, `create` on Secrets, and `get` on the
/// ConfigMap with the roots.
pub async fn follow(
    client: kube::Client,
    options: CaSecretOptions,
    metrics: &record::Metrics,
) -> (Authority, watch::Receiver<CaStatus>, impl Future<Output = ()> + Send + 'static) {
    let published = Published::read(&client, &options.namespace).await;
    let mut keeper = Keeper::new(&client, options, published, metrics);
    let mut secrets = Secrets::new(&keeper.api);
    let authority = loop {
        keeper.step(&mut secrets).await;
        if let Some(in_force) = &keeper.in_force {
            break in_force.authority.clone();
        }
    };
    let status = keeper.status.subscribe();
    let (steps, signing) = (authority.clone(), CaMetrics::new(metrics));
    let follow = async move {
        let steps = steps.keep_time(|ca| signing.in_force(ca));
        let changes = async {
            loop {
                keeper.step(&mut secrets).await;
            }
        };
        tokio::join!(steps, changes);
    };
    (authority, status, follow)
}

type Found = (&'static str, Result<Option<Secret>, watcher::Error>);

/// The two Secrets as last seen; the outer `None` until the API server has told.
struct Secrets {
    changes: Pin<Box<dyn Stream<Item = Found> + Send>>,
    plugged: Option<Option<Secret>>,
    own: Option<Option<Secret>>,
}

impl Secrets {
    fn new(api: &Api<Secret>) -> Self {
        let watch = |name: &'static str| {
            let found = versions(api.clone(), name);
            found.map(move |found| (name, found)).boxed()
        };
        let changes = stream::select(watch(PLUGGED_SECRET), watch(OWN_SECRET));
        Self { changes: Box::pin(changes), plugged: None, own: None }
    }
}

/// What a Secret is after each change; `None` when it is not there.
fn versions(api: Api<Secret>, name: &str) -> impl Stream<Item = Result<Option<Secret>, watcher::Error>> + Send + use<> {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
    let mut listed = None;
    watcher(api, only).default_backoff().filter_map(move |event| {
        ready(match event {
            Ok(Event::Init) => {
                listed = None;
                None
            }
            Ok(Event::InitApply(secret)) => {
                listed = Some(secret);
                None
            }
            Ok(Event::InitDone) => Some(Ok(listed.take())),
            Ok(Event::Apply(secret)) => Some(Ok(Some(secret))),
            Ok(Event::Delete(_)) => Some(Ok(None)),
            Err(error) => Some(Err(error)),
        })
    })
}

struct InForce {
    authority: Authority,
    secret: Arc<Secret>,
}

impl InForce {
    fn name(&self) -> &str {
        self.secret.metadata.name.as_deref().unwrap_or_default()
    }
}

/// What the Secrets ask for.
enum Decision<'a> {
    /// This one holds the CA.
    Use(&'a Secret),
    /// Nothing changes, though something is missing.
    Keep(&'static str),
    /// The Secret of the CA in force has to be put back.
    Restore(&'a Secret),
    /// There is no CA at all.
    Generate,
}

struct Keeper {
    api: Api<Secret>,
    options: CaSecretOptions,
    in_force: Option<InForce>,
    published: Published,
    status: watch::Sender<CaStatus>,
    metrics: CaSecretMetrics,
    backoff: Backoff,
    /// Something has to be tried again even if nothing changes.
    again: bool,
    unwatched: LogLimit,
}

impl Keeper {
    fn new(client: &kube::Client, options: CaSecretOptions, published: Published, metrics: &record::Metrics) -> Self {
        Self {
            api: Api::namespaced(client.clone(), &options.namespace),
            options,
            in_force: None,
            published,
            status: watch::Sender::new(CaStatus { secret: String::new(), problem: None }),
            metrics: CaSecretMetrics::new(metrics),
            backoff: Backoff::new(),
            again: false,
            unwatched: LogLimit::new(Duration::from_secs(30)),
        }
    }

    /// Takes one change of a Secret in, or tries again what failed.
    async fn step(&mut self, secrets: &mut Secrets) {
        let changed = if self.again {
            timeout(self.backoff.wait(Duration::MAX), secrets.changes.next()).await.ok()
        } else {
            Some(secrets.changes.next().await)
        };
        match changed.flatten() {
            Some((name, Ok(found))) if name == PLUGGED_SECRET => secrets.plugged = Some(found),
            Some((_, Ok(found))) => secrets.own = Some(found),
            Some((name, Err(error))) => return self.report_unwatched(name, &error),
            None => {}
        }
        if let (Some(plugged), Some(own)) = (&secrets.plugged, &secrets.own) {
            let settled = self.settle(plugged.as_ref(), own.as_ref()).await;
            self.again = settled.is_err();
            match settled {
                Ok(()) => self.backoff.reset(),
                Err(problem) => self.report(OWN_SECRET, Some(problem)),
            }
        }
    }

    /// Fails when the API server did; what is wrong with a Secret is only reported, for trying again would not help.
    async fn settle(&mut self, plugged: Option<&Secret>, own: Option<&Secret>) -> Result<(), String> {
        let in_force = self.in_force.as_ref().map(|in_force| Arc::clone(&in_force.secret));
        match decide(plugged, own, in_force.as_deref()) {
            Decision::Use(secret) => self.adopt(secret, own),
            Decision::Keep(problem) => self.report(PLUGGED_SECRET, Some(problem.to_owned())),
            Decision::Restore(secret) => {
                let secret = without_history(secret);
                tracing::warn!(
                    "Secret {OWN_SECRET} was deleted and is put back: without it another replica would make another root"
                );
                self.create(&secret).await?;
            }
            Decision::Generate => {
                let made = ca_pem::generate(OWN_SECRET, &self.options.trust_domain).map_err(|e| e.to_string())?;
                let kept = self.create(&made).await?;
                self.adopt(&kept, None);
            }
        }
        Ok(())
    }

    /// Of several replicas one wins; all take what is there then.
    async fn create(&self, secret: &Secret) -> Result<Secret, String> {
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let work = async {
            match self.api.create(&parameters, secret).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => self.api.get(OWN_SECRET).await,
                answer => answer,
            }
        };
        let answer = timeout(DEADLINE, work).await.map_err(|_| format!("no answer within {DEADLINE:?}"));
        let answer = answer.and_then(|answer| answer.map_err(|error| explain(&error)));
        answer.map_err(|reason| format!("cannot make Secret {}/{OWN_SECRET}: {reason}", self.options.namespace))
    }

    fn adopt(&mut self, secret: &Secret, own: Option<&Secret>) {
        let name = secret.metadata.name.clone().unwrap_or_default();
        if self.in_force.as_ref().is_some_and(|now| now.name() == name && now.secret.data == secret.data) {
            return self.report(&name, None);
        }
        let ca = match ca_pem::authority(secret, &self.options.trust_domain) {
            Ok(ca) => ca.with_max_ttl(self.options.max_ttl),
            Err(error) => {
                let problem = format!("Secret {}/{name} cannot be used: {error}", self.options.namespace);
                return self.report(&name, Some(problem));
            }
        };
        let authority = self.put_in_force(ca, own);
        tracing::info!(secret = name, "the CA is in force");
        self.metrics.came_into_force(&authority.current());
        self.in_force = Some(InForce { authority, secret: Arc::new(secret.clone()) });
        self.report(&name, None);
    }

    fn put_in_force(&mut self, ca: CertificateAuthority, own: Option<&Secret>) -> Authority {
        if let Some(now) = &self.in_force {
            now.authority.replace(ca);
            return now.authority.clone();
        }
        let (published, max_ttl) = (std::mem::take(&mut self.published), self.options.max_ttl);
        // A process before this one has begun to put another CA in the place of our own, or nobody has yet.
        let former = own.and_then(|own| ca_pem::authority(own, &self.options.trust_domain).ok());
        match former.filter(|former| published.spreads(&ca, former, max_ttl)) {
            Some(former) => {
                let authority = Authority::new(published.beside(former.with_max_ttl(max_ttl), max_ttl));
                authority.replace(ca);
                authority
            }
            None => Authority::new(published.beside(ca, max_ttl)),
        }
    }

    /// Logged when it is news; the status and the metric always say how it is.
    fn report(&self, name: &str, problem: Option<String>) {
        self.metrics.usable(name, problem.is_none());
        let other = if name == PLUGGED_SECRET { OWN_SECRET } else { PLUGGED_SECRET };
        self.metrics.forget(other);
        let in_force = self.in_force.as_ref();
        let secret = in_force.map(|now| format!("{}/{}", self.options.namespace, now.name())).unwrap_or_default();
        let status = CaStatus { secret, problem };
        let news = self.status.send_if_modified(|now| {
            let news = *now != status;
            now.clone_from(&status);
            news
        });
        if news && status.problem.is_some() {
            tracing::error!("{status}");
        }
    }

    fn report_unwatched(&self, name: &str, error: &watcher::Error) {
        if let Some(left_out) = self.unwatched.admit() {
            let reason = explain_watch(error);
            tracing::warn!(left_out, "changes of Secret {}/{name} go unseen: {reason}", self.options.namespace);
        }
    }
}

/// A plugged-in CA that is gone again does not give way to our own: who replaces a Secret deletes it first, and in
/// between nothing must be signed by another root.
fn decide<'a>(plugged: Option<&'a Secret>, own: Option<&'a Secret>, in_force: Option<&'a Secret>) -> Decision<'a> {
    let name = |secret: &Secret| secret.metadata.name.clone().unwrap_or_default();
    match (plugged, own, in_force) {
        (Some(plugged), _, _) => Decision::Use(plugged),
        (None, _, Some(now)) if name(now) == PLUGGED_SECRET => Decision::Keep(
            "Secret cacerts is gone; put one there, or restart the control plane to go on with its own, meltemi-ca",
        ),
        (None, Some(own), _) => Decision::Use(own),
        (None, None, Some(now)) => Decision::Restore(now),
        (None, None, None) => Decision::Generate,
    }
}

/// As it can be created: what the API server wrote into it belongs to the one that was deleted.
fn without_history(secret: &Secret) -> Secret {
    let metadata = ObjectMeta {
        name: secret.metadata.name.clone(),
        labels: secret.metadata.labels.clone(),
        ..ObjectMeta::default()
    };
    Secret { metadata, ..secret.clone() }
}
