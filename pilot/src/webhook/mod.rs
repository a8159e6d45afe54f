//! The admission webhooks: `/inject` gives pods their sidecar, `/validate` refuses objects that cannot work. The API
//! server waits for their answers, so every request is bounded in size and time, and none can end the process.

mod injection;
mod injector_file;
mod load;
mod metrics;
mod namespaces;
mod review;
mod serve;
mod validation;

pub use injector_file::{InjectorFile, InjectorFileError};
pub use namespaces::watch_namespaces;
pub use serve::serve;

use crate::validate::Settings;
use crate::world::Mesh;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use load::Load;
use metrics::WebhookMetrics;
use record::{LogLimit, Metrics};
use review::{Answer, Problem, Review};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

static PANICS: LogLimit = LogLimit::new(Duration::from_secs(1));

/// The labels of a namespace by its name; None when they are not known.
pub type NamespaceLabels = Box<dyn Fn(&str) -> Option<BTreeMap<String, String>> + Send + Sync>;

/// What the webhooks answer from. Clones share it.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    injector: Arc<InjectorFile>,
    settings: Settings,
    namespace_labels: NamespaceLabels,
    load: Load,
    metrics: WebhookMetrics,
}

/// What is asked of one review, once it is read.
type Judge = fn(&Inner, &Review) -> Answer;

impl Webhooks {
    /// `namespace_labels` serve warnings only: which pods come here is decided by the API server's selectors, for its
    /// own knowledge of the labels is newer than ours.
    pub fn new(
        injector: Arc<InjectorFile>,
        mesh: Arc<Mesh>,
        namespace_labels: NamespaceLabels,
        metrics: &Metrics,
    ) -> Self {
        let settings = Settings { mesh, assume_sidecars: false, from_cluster: true };
        let metrics = WebhookMetrics::new(metrics);
        Self(Arc::new(Inner { injector, settings, namespace_labels, load: Load::default(), metrics }))
    }

    /// `POST /inject` and `POST /validate`.
    pub fn router(self) -> Router {
        Router::new()
            .route(
                "/inject",
                post(async |State(hooks): State<Webhooks>, request: Request| {
                    let answered = hooks.answer(request, Inner::inject).await;
                    answered.unwrap_or_else(|problem| {
                        hooks.0.metrics.injection_failed();
                        problem.into_response()
                    })
                }),
            )
            .route(
                "/validate",
                post(async |State(hooks): State<Webhooks>, request: Request| {
                    let answered = hooks.answer(request, Inner::validate).await;
                    answered.unwrap_or_else(|problem| {
                        hooks.0.metrics.validation_http_error(problem.status);
                        problem.into_response()
                    })
                }),
            )
            .with_state(self)
    }

    async fn answer(&self, request: Request, judge: Judge) -> Result<Response, Problem> {
        review::check_head(request.headers())?;
        let (body, room) = self.0.load.read(request).await?;
        let hooks = self.clone();
        // On a thread of its own: a large body takes time, and a mistake of ours ends that thread only.
        let judged = tokio::task::spawn_blocking(move || {
            let _room = room;
            let review = Review::read(&body)?;
            let answer = judge(&hooks.0, &review);
            Ok(answer.into_body(&review.request.uid))
        });
        let json = judged.await.unwrap_or_else(|error| {
            if let Some(left_out) = PANICS.admit() {
                tracing::error!(left_out, "a webhook failed on a review: {error}; please report this");
            }
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the webhook failed on this review; its log says why"))
        })?;
        let headers = [(axum::http::header::CONTENT_TYPE, "application/json")];
        Ok((headers, Body::from(json)).into_response())
    }
}
