//! `/inject`: a pod that is about to be made gets its sidecar.

use super::Inner;
use super::review::{Answer, Review};
use crate::inject::{self, Namespace, Outcome};
use record::LogLimit;
use serde_json::Value;
use std::time::{Duration, Instant};

static REFUSED: LogLimit = LogLimit::new(Duration::from_secs(1));

impl Inner {
    pub(super) fn inject(&self, review: &Review) -> Answer {
        let started = Instant::now();
        let request = &review.request;
        self.metrics.injection_asked();
        if (request.resource.group.as_str(), request.resource.resource.as_str()) != ("", "pods") {
            self.metrics.skipped();
            let message =
                format!("{} get no sidecar; the rules of the webhook should name pods only", request.resource.resource);
            return Answer { warnings: vec![message], ..Answer::default() };
        }
        if !request.sub_resource.is_empty() || request.operation != "CREATE" {
            self.metrics.skipped();
            return Answer::default();
        }
        let name = request.namespace.clone();
        let labels = (self.namespace_labels)(&name).unwrap_or_default();
        let namespace = Namespace { name, labels, selected: true };
        match inject::review(&request.object, &namespace, None, &self.injector.current()) {
            Outcome::Injected { patch, warnings } => {
                self.metrics.injected(started.elapsed());
                Answer { patch: Some(patch), warnings, refused: None }
            }
            Outcome::Left(reason) => {
                self.metrics.skipped();
                let warnings = if reason.is_surprising() { vec![reason.to_string()] } else { Vec::new() };
                Answer { warnings, ..Answer::default() }
            }
            Outcome::Refused(problems) => {
                self.metrics.injection_failed();
                let message = refusal(&problems);
                if let Some(left_out) = REFUSED.admit() {
                    let pod = format!("{}/{}", request.namespace, name_of(&request.object));
                    tracing::warn!(pod, left_out, "pod refused: {message}");
                }
                Answer { refused: Some(message), ..Answer::default() }
            }
        }
    }
}

fn refusal(problems: &[String]) -> String {
    format!("no sidecar can be injected: {}", problems.join("; "))
}

fn name_of(pod: &Value) -> &str {
    let metadata = &pod["metadata"];
    metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap_or_default()
}
