//! Objects that cannot work are refused by the API server, in words that their authors understand: a table of mistakes by
//! the rules of Istio's APIs. All are sent as a dry run, which asks the definitions and the webhooks and stores nothing.

use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::installed::{Installed, on_mesh};
use crate::{Outcome, api, ensure};

pub fn tests() -> Vec<Trial> {
    vec![on_mesh("wrong::objects_that_cannot_work_are_refused_with_the_field_and_what_would_be_right", table)]
}

const NAMESPACE: &str = "wrong";

/// One object, and what its author is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    what: String,
    kind: String,
    spec: Value,
    by: Option<Judge>,
    /// Nothing when the object is right.
    #[serde(default)]
    says: Vec<Value>,
}

/// Who refuses an object.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Judge {
    Definition,
    Webhook,
}

impl Judge {
    /// What the API server writes into such a refusal.
    fn mark(self) -> &'static str {
        match self {
            Judge::Definition => " is invalid: ",
            Judge::Webhook => "admission webhook \"all.validator.meltemi.dev\" denied the request",
        }
    }
}

fn table(mesh: &Installed) -> Outcome {
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("wrong/objects.yaml"))?;
    mesh.namespace(NAMESPACE, "")?;
    let failures: Vec<String> = cases.iter().filter_map(|case| wrong_answer(mesh, case)).collect();
    mesh.cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    println!("  {} objects", cases.len());
    ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    Ok(())
}

/// Sends one; in words what was not as it should be.
fn wrong_answer(mesh: &Installed, case: &Case) -> Option<String> {
    let (group, plural) = list(&case.kind);
    let version = format!("{group}/v1");
    let path = format!("/apis/{version}/namespaces/{NAMESPACE}/{plural}?dryRun=All");
    let metadata = json!({"name": "it"});
    let object = json!({"apiVersion": version, "kind": case.kind, "metadata": metadata, "spec": case.spec});
    let told = |problem: String| Some(format!("{}: {}: {problem}", case.kind, case.what));
    match (api::create(&mesh.cluster, &path, &object), case.by) {
        (Ok(_), None) => None,
        (Ok(_), Some(_)) => told("taken".to_owned()),
        (Err(refused), None) => told(format!("refused: {refused}")),
        (Err(refused), Some(judge)) => {
            let words = case.says.iter().map(|word| word.as_str().map_or(word.to_string(), str::to_owned));
            let mut wanted = words.chain([judge.mark().to_owned()]);
            let missing = wanted.find(|word| !refused.contains(word));
            missing.and_then(|missing| told(format!("{missing:?} is not in: {refused}")))
        }
    }
}

fn list(kind: &str) -> (&'static str, String) {
    let group = if kind == "PeerAuthentication" { "security.istio.io" } else { "networking.istio.io" };
    let name = kind.to_lowercase();
    (group, name.strip_suffix('y').map(|stem| format!("{stem}ies")).unwrap_or(format!("{name}s")))
}
