//! A user's own container of the name istio-proxy or istio-init does not run beside ours: what it says goes into ours,
//! as Istio's merge does it, for the fields where that makes sense.

use super::findings::quoted;
use super::patch::Edits;
use super::{Findings, PROXY, Subject, is_ours};
use serde_json::{Map, Value};

/// Istio's word for the image that the injector chooses.
const AUTO: &str = "auto";
/// The API server mounts its token into every container that it sees; the sidecar needs none.
const API_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TAKEN: &str = "image, imagePullPolicy, resources, env, volumeMounts, lifecycle";

/// Takes the user's containers of our names out of the pod and what they say into ours.
pub(super) fn take(subject: &Subject<'_>, ours: [&mut Value; 2], edits: &mut Edits, findings: &mut Findings) {
    let mut found: Vec<(&str, usize)> = Vec::new();
    let [proxy, init] = ours;
    for (list, index, container) in subject.containers().filter(|(.., container)| is_ours(container)) {
        let own = if container.name == PROXY { &mut *proxy } else { &mut *init };
        if found.iter().any(|(list, index)| subject.raw["spec"][list][index]["name"] == *container.name) {
            findings.refuse(format!("container {} is there twice; leave one", container.name));
        }
        found.push((list, index));
        if let Some(said) = subject.raw["spec"][list][index].as_object() {
            said.iter().for_each(|(field, value)| merge(own, said, field, value, findings));
        }
    }
    // From the back, so that the places of those that are still to go do not change.
    for (list, index) in found.into_iter().rev() {
        edits.remove(&["spec", list, &index.to_string()]);
    }
}

fn merge(ours: &mut Value, said: &Map<String, Value>, field: &str, value: &Value, findings: &mut Findings) {
    let auto = said.get("image").is_none_or(|image| image == AUTO || image == "");
    let nothing = value.is_null() || value.as_object().is_some_and(Map::is_empty) || *value == Value::Array(Vec::new());
    match field {
        _ if nothing => {}
        // Written by the API server into every container, or said by ours too.
        "name" | "terminationMessagePath" | "terminationMessagePolicy" | "restartPolicy" => {}
        // With `auto` the policy is what the API server made of that word.
        "image" | "imagePullPolicy" if auto => {}
        "image" | "imagePullPolicy" | "resources" => ours[field] = value.clone(),
        "env" => merge_list(ours, field, "name", value),
        "volumeMounts" => merge_list(ours, field, "mountPath", value),
        "lifecycle" if !has_command(value) => ours[field] = value.clone(),
        "lifecycle" => findings.refuse(format!(
            "container {}: its lifecycle runs a command, and the image holds none; use sleep or httpGet",
            ours["name"].as_str().unwrap_or_default()
        )),
        _ => findings.refuse(format!(
            "container {}: {} cannot be overridden; there are {TAKEN}",
            ours["name"].as_str().unwrap_or_default(),
            quoted(field)
        )),
    }
}

fn has_command(lifecycle: &Value) -> bool {
    lifecycle.as_object().is_some_and(|hooks| hooks.values().any(|hook| hook.get("exec").is_some()))
}

/// Items replace ours of the same key; others come behind them.
fn merge_list(ours: &mut Value, field: &str, key: &str, items: &Value) {
    let mut list = ours[field].as_array().cloned().unwrap_or_default();
    let said = items.as_array().into_iter().flatten().filter(|item| item[key] != API_TOKEN);
    for item in said {
        match list.iter_mut().find(|known| known[key] == item[key]) {
            Some(known) => *known = item.clone(),
            None => list.push(item.clone()),
        }
    }
    ours[field] = list.into();
}
