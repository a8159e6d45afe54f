//! What an injected pod looks like.

use crate::fixture::{added, annotated, flag, injected, injected_with, pod, pod_with, variable};
use pilot::inject::{InjectorConfig, Outcome, review};
use serde_json::{Value, json};

/// Istio's names, orders and ports; the sidecar must pass Pod Security restricted, the other container holds exactly
/// the two capabilities that it needs.
#[test]
fn a_pod_of_a_deployment_gets_both_containers() {
    let (pod, warnings) = injected(&pod());
    assert_eq!(warnings, Vec::<String>::new());
    let names: Vec<_> = pod["spec"]["initContainers"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["istio-init", "istio-proxy"]);
    let init = json!({
        "name": "istio-init",
        "image": "docker.io/meltemi/init:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "init", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d",
            "15090,15021,15020"
        ],
        "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "privileged": false,
            "capabilities": { "add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"] },
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": false,
            "runAsUser": 0,
            "runAsGroup": 0,
            "seccompProfile": { "type": "RuntimeDefault" }
        }
    });
    assert_eq!(added(&pod, "istio-init"), &init);
    let proxy = added(&pod, "istio-proxy");
    let restricted = json!({
        "allowPrivilegeEscalation": false,
        "privileged": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": 1337,
        "runAsGroup": 1337,
        "seccompProfile": { "type": "RuntimeDefault" }
    });
    assert_eq!(proxy["securityContext"], restricted);
    assert_eq!(proxy["restartPolicy"], "Always");
    for (probe, period, failures) in [("startupProbe", 1, 600), ("readinessProbe", 15, 4)] {
        let expected = json!({
            "httpGet": { "path": "/healthz/ready", "port": 15021 },
            "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures
        });
        assert_eq!(proxy[probe], expected, "{probe}");
    }
}

#[test]
fn the_sidecar_is_told_who_it_serves() {
    let (pod, _) = injected(&pod());
    let proxy = added(&pod, "istio-proxy");
    for (name, path) in [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ("INSTANCE_IP", "status.podIP"),
        ("INSTANCE_IPS", "status.podIPs"),
    ] {
        let field = json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        assert!(proxy["env"].as_array().unwrap().contains(&field), "{name}");
    }
    assert_eq!(variable(&pod, "ISTIO_META_WORKLOAD_NAME").as_deref(), Some("catalog"));
    assert_eq!(variable(&pod, "CA_ADDR").as_deref(), Some("meltemi.meltemi-system.svc:15012"));
    assert_eq!(variable(&pod, "TERMINATION_DRAIN_DURATION").as_deref(), Some("5s"));
    assert_eq!(flag(&pod, "istio-proxy", "--control-plane-name").as_deref(), Some("meltemi.meltemi-system.svc"));
    let arguments = proxy["args"].as_array().unwrap();
    for label in ["app=catalog", "version=v2", "service.istio.io/canonical-name=catalog"] {
        assert!(arguments.windows(2).any(|pair| pair[0] == "--label" && pair[1] == label), "{label}: {arguments:?}");
    }
}

#[test]
fn token_and_roots_are_mounted() {
    let (pod, _) = injected(&pod());
    let volumes = json!([
        { "name": "istio-token", "projected": { "sources": [{ "serviceAccountToken": {
            "audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"
        } }] } },
        { "name": "istiod-ca-cert", "configMap": { "name": "meltemi-ca-root-cert" } }
    ]);
    assert_eq!(pod["spec"]["volumes"], volumes);
    let mounts = json!([
        { "name": "istio-token", "mountPath": "/var/run/secrets/tokens", "readOnly": true },
        { "name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio", "readOnly": true }
    ]);
    assert_eq!(added(&pod, "istio-proxy")["volumeMounts"], mounts);
    assert_eq!(pod["spec"]["securityContext"], Value::Null, "the group of the application's files stays");
}

#[test]
fn labels_and_annotations_are_istios() {
    let (pod, _) = injected(&pod());
    let labels = json!({
        "app": "catalog", "pod-template-hash": "7d4b9c", "version": "v2",
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/canonical-name": "catalog",
        "service.istio.io/canonical-revision": "v2"
    });
    assert_eq!(pod["metadata"]["labels"], labels);
    let annotations = &pod["metadata"]["annotations"];
    let status: Value = serde_json::from_str(annotations["sidecar.istio.io/status"].as_str().unwrap()).unwrap();
    let expected = json!({
        "initContainers": ["istio-init", "istio-proxy"], "containers": null,
        "volumes": ["istio-token", "istiod-ca-cert"], "imagePullSecrets": null, "revision": "default"
    });
    assert_eq!(status, expected);
    for (name, value) in [
        ("istio.io/rev", "default"),
        ("kubectl.kubernetes.io/default-container", "app"),
        ("prometheus.io/scrape", "true"),
        ("prometheus.io/port", "15020"),
        ("prometheus.io/path", "/stats/prometheus"),
    ] {
        assert_eq!(annotations[name], value, "{name}");
    }
}

/// The first of Istio's labels counts; a name too long for a label is cut.
#[test]
fn workloads_are_named_by_istios_labels() {
    let long = "a".repeat(62) + "-b";
    let named = |labels: Value, name: &str| {
        let (pod, _) = injected(&pod_with(|pod| {
            pod["metadata"] = json!({ "name": name, "labels": labels });
        }));
        let of = |name: &str| pod["metadata"]["labels"][name].as_str().unwrap().to_owned();
        (of("service.istio.io/canonical-name"), of("service.istio.io/canonical-revision"))
    };
    let pair = |name: &str, revision: &str| (name.to_owned(), revision.to_owned());
    assert_eq!(named(json!({}), "alone"), pair("alone", "latest"));
    assert_eq!(named(json!({ "app": "a", "app.kubernetes.io/name": "b" }), "x"), pair("b", "latest"));
    assert_eq!(named(json!({ "service.istio.io/canonical-name": "c", "app": "a" }), "x"), pair("c", "latest"));
    assert_eq!(named(json!({ "version": "1", "app.kubernetes.io/version": "2" }), "x"), pair("x", "2"));
    assert_eq!(named(json!({}), &long), pair(&"a".repeat(62), "latest"));
}

#[test]
fn jobs_of_a_cron_job_are_one_workload() {
    let (pod, _) = injected(&pod_with(|pod| {
        let owner = json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": "report-29384756", "uid": "1", "controller": true }]);
        pod["metadata"] = json!({ "generateName": "report-29384756-", "ownerReferences": owner });
    }));
    assert_eq!(variable(&pod, "ISTIO_META_WORKLOAD_NAME").as_deref(), Some("report"));
}

#[test]
fn the_users_own_things_come_behind_and_stay() {
    let before = pod_with(|pod| {
        pod["spec"]["initContainers"] = json!([{ "name": "migrate", "image": "m:1" }]);
        pod["spec"]["volumes"] = json!([{ "name": "data", "emptyDir": {} }]);
        pod["spec"]["imagePullSecrets"] = json!([{ "name": "mine" }]);
        pod["spec"]["aFieldOfNextYear"] = json!({ "x": 1 });
        pod["spec"]["containers"][0]["anotherOne"] = json!([1]);
    });
    let config = InjectorConfig { image_pull_secrets: vec!["mine".into(), "mesh".into()], ..InjectorConfig::default() };
    let (after, _) = injected_with(&before, &config);
    let names = |list: &str| {
        let items = after["spec"][list].as_array().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("initContainers"), ["istio-init", "istio-proxy", "migrate"]);
    assert_eq!(names("volumes"), ["data", "istio-token", "istiod-ca-cert"]);
    assert_eq!(names("imagePullSecrets"), ["mine", "mesh"]);
    assert_eq!(after["spec"]["aFieldOfNextYear"], json!({ "x": 1 }));
    assert_eq!(after["spec"]["containers"], before["spec"]["containers"]);
}

#[test]
fn an_injected_pod_is_left_alone_the_second_time() {
    let (once, _) = injected(&pod());
    assert_eq!(crate::fixture::left(&once), pilot::inject::Reason::AlreadyInjected);
    // The annotation alone came along with copied metadata; it is no sidecar.
    let copied = annotated(&[("sidecar.istio.io/status", "{}")]);
    let (pod, _) = injected(&copied);
    assert!(pod["metadata"]["annotations"]["sidecar.istio.io/status"].as_str().unwrap().contains("istio-proxy"));
}

#[test]
fn a_container_of_the_sidecars_name_changes_the_sidecar() {
    let before = pod_with(|pod| {
        let own = json!({
            "name": "istio-proxy", "image": "auto", "imagePullPolicy": "Always",
            "resources": { "limits": { "memory": "64Mi" } },
            "env": [{ "name": "RUST_LOG", "value": "debug" }, { "name": "EXTRA", "value": "1" }],
            "volumeMounts": [
                { "name": "certs", "mountPath": "/certs" },
                { "name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" }
            ],
            "lifecycle": { "preStop": { "sleep": { "seconds": 3 } } },
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"
        });
        pod["spec"]["containers"].as_array_mut().unwrap().insert(0, own);
    });
    let (after, _) = injected(&before);
    assert_eq!(after["spec"]["containers"].as_array().unwrap().len(), 1);
    let proxy = added(&after, "istio-proxy");
    assert_eq!(proxy["image"], "docker.io/meltemi/meltemi:0.1.0");
    assert_eq!(proxy["imagePullPolicy"], "IfNotPresent");
    assert_eq!(proxy["resources"], json!({ "limits": { "memory": "64Mi" } }));
    assert_eq!(variable(&after, "RUST_LOG").as_deref(), Some("debug"));
    assert_eq!(variable(&after, "EXTRA").as_deref(), Some("1"));
    let mounts = proxy["volumeMounts"].as_array().unwrap();
    assert_eq!((mounts.len(), &mounts[2]["mountPath"]), (3, &json!("/certs")));
    assert_eq!(proxy["lifecycle"]["preStop"]["sleep"]["seconds"], 3);
    assert_eq!(after["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"], "app");

    let image = pod_with(|pod| {
        pod["spec"]["initContainers"] =
            json!([{ "name": "first", "image": "x" }, { "name": "istio-proxy", "image": "own:2" }]);
    });
    let (after, _) = injected(&image);
    assert_eq!(added(&after, "istio-proxy")["image"], "own:2");
    assert_eq!(after["spec"]["initContainers"].as_array().unwrap().len(), 3);
}

#[test]
fn the_patch_names_only_what_changes() {
    let outcome = review(&pod(), &crate::fixture::shop(), None, &InjectorConfig::default());
    let Outcome::Injected { patch, .. } = outcome else { panic!("{outcome:?}") };
    let paths: Vec<_> = patch.0.iter().map(|operation| operation.path().to_string()).collect();
    assert_eq!(
        paths,
        [
            "/spec/volumes",
            "/spec/initContainers",
            "/metadata/labels/security.istio.io~1tlsMode",
            "/metadata/labels/service.istio.io~1canonical-name",
            "/metadata/labels/service.istio.io~1canonical-revision",
            "/metadata/annotations",
        ]
    );
}
