//! Checks the projected token of a pod by asking the API server (`authentication.k8s.io/v1` TokenReview), with the
//! CA's own audience, so that a token for anything else proves nothing here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use kube::Api;
use kube::api::PostParams;
use record::LogLimit;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::explain;
use super::review_cache::{Key, Refusal, ReviewCache};
use crate::metrics::ReviewMetrics;
use crate::token::{CA_AUDIENCE, CLOCK_SKEW, Caller, TokenError, check_length};

/// For one review, the wait for a turn included; half of what a proxy waits for the CA.
const DEADLINE: Duration = Duration::from_secs(5);
/// Reviews that the API server is asked for at once.
const MOST_UNDER_WAY: usize = 32;
/// Under this name the API server says which pod a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const MAX_QUOTED: usize = 256;

/// Checks tokens with the API server. Clones share one memory and one bound.
#[derive(Clone)]
pub struct TokenReviewer(Arc<Reviewer>);

struct Reviewer {
    api: Api<TokenReview>,
    turns: Semaphore,
    answers: Mutex<ReviewCache>,
    metrics: ReviewMetrics,
    unavailable: LogLimit,
}

/// What a token says of itself. Nothing here is proved: it serves to refuse early, never to accept.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    aud: Audiences,
    exp: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Audiences {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

impl Audiences {
    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => one == wanted,
            Self::Several(several) => several.iter().any(|one| one == wanted),
        }
    }
}

impl TokenReviewer {
    /// Asks the API server behind `client`, whose account needs `create` on `tokenreviews.authentication.k8s.io`.
    pub fn new(client: kube::Client, metrics: &record::Metrics) -> Self {
        Self(Arc::new(Reviewer {
            api: Api::all(client),
            turns: Semaphore::new(MOST_UNDER_WAY),
            answers: Mutex::default(),
            metrics: ReviewMetrics::new(metrics),
            unavailable: LogLimit::new(Duration::from_secs(10)),
        }))
    }

    /// The service account behind a token for the CA. Answers within 5 s, whatever the API server does.
    pub(crate) async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let left = still_good_for(token)?;
        let reviewer = &*self.0;
        let (key, started) = (hash(token), Instant::now());
        let known = reviewer.answers().answer(&key, started);
        if let Some(answer) = known {
            reviewer.metrics.cached();
            return Ok(answer?);
        }
        let answer = timeout(DEADLINE, reviewer.ask(token)).await;
        let answer = match answer.unwrap_or_else(|_| Err(format!("no answer of the API server within {DEADLINE:?}"))) {
            Ok(status) => judge(status),
            Err(reason) => return Err(reviewer.unavailable(reason, started)),
        };
        let now = Instant::now();
        reviewer.metrics.reviewed(if answer.is_ok() { "accepted" } else { "refused" }, now - started);
        reviewer.answers().remember(key, &answer, left, now);
        Ok(answer?)
    }
}

impl Reviewer {
    async fn ask(&self, token: &str) -> Result<TokenReviewStatus, String> {
        let _turn = self.turns.acquire().await.map_err(|e| e.to_string())?;
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![CA_AUDIENCE.to_owned()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.api.create(&PostParams::default(), &review).await.map_err(|error| explain(&error))?;
        answer.status.ok_or_else(|| "the API server answered without a status".to_owned())
    }

    fn unavailable(&self, reason: String, started: Instant) -> TokenError {
        self.metrics.reviewed("unavailable", started.elapsed());
        if let Some(left_out) = self.unavailable.admit() {
            tracing::warn!(left_out, "workloads without a certificate get none, for no token can be checked: {reason}");
        }
        TokenError::Unavailable(reason)
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, ReviewCache> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose token this claims to be, unproved.
pub(crate) fn claimed(token: &str) -> Result<Caller, TokenError> {
    Caller::from_subject(&claims(token)?.sub)
}

/// How long a token is good by its own word. What could never be accepted is refused here and costs the API server
/// nothing; the clocks may differ by a minute.
fn still_good_for(token: &str) -> Result<Duration, TokenError> {
    let claims = claims(token)?;
    if !claims.aud.has(CA_AUDIENCE) {
        return Err(TokenError::Audience);
    }
    let end = claims.exp.ok_or_else(|| TokenError::Malformed("it has no end (exp)".to_owned()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if end.saturating_add(CLOCK_SKEW) < now.as_secs() {
        return Err(TokenError::Expired);
    }
    Ok(Duration::from_secs(end).saturating_sub(now))
}

fn claims(token: &str) -> Result<Claims, TokenError> {
    check_length(token)?;
    jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|e| TokenError::Malformed(e.to_string()))
}

fn hash(token: &str) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    key
}

/// The caller that an answer vouches for. An API server that does not know of audiences answers without any, and its
/// word counts for nothing then.
fn judge(status: TokenReviewStatus) -> Result<Caller, Refusal> {
    if status.authenticated != Some(true) {
        let reason = status.error.unwrap_or_else(|| "it gives no reason".to_owned());
        return Err(Refusal::NotAuthentic(reason.chars().take(MAX_QUOTED).collect()));
    }
    if !status.audiences.unwrap_or_default().iter().any(|one| one == CA_AUDIENCE) {
        return Err(Refusal::Audience);
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.as_deref().unwrap_or_default();
    let Ok(caller) = Caller::from_subject(name) else {
        return Err(Refusal::Subject(name.chars().take(MAX_QUOTED).collect()));
    };
    tracing::debug!(account = name, pod = pod(&user), "the API server vouches for a token");
    Ok(caller)
}

fn pod(user: &UserInfo) -> &str {
    let extra = user.extra.as_ref().and_then(|extra| extra.get(POD_NAME));
    extra.and_then(|names| names.first()).map_or("none, the token is not bound to a pod", String::as_str)
}

impl std::fmt::Debug for TokenReviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenReviewer").finish_non_exhaustive()
    }
}
