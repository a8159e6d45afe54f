//! `meltemi inject -f`: YAML in, YAML out.

use pilot::inject::{InjectedFile, InjectorConfig, NoteKind, inject_file};

const SHOP: &str = include_str!("shop.yaml");
const SHOP_INJECTED: &str = include_str!("shop.injected.yaml");

fn inject(text: &str) -> InjectedFile {
    inject_file(text, "default", &InjectorConfig::default())
}

/// The comments and the order of documents stay, and in the changed document the order of its fields.
#[test]
fn the_sample_becomes_the_injected_sample() {
    let file = inject(SHOP);
    assert_eq!(file.text, SHOP_INJECTED);
    assert_eq!(file.notes, []);
}

#[test]
fn a_second_time_changes_nothing() {
    let again = inject(SHOP_INJECTED);
    assert_eq!(again.text, SHOP_INJECTED);
    assert_eq!(again.notes, []);
}

#[test]
fn every_kind_with_pods_is_injected_and_names_its_workload() {
    let spec = "{containers: [{name: app, image: a}]}";
    for (version, kind, spec) in [
        ("v1", "Pod", spec.to_owned()),
        ("apps/v1", "Deployment", format!("{{template: {{spec: {spec}}}}}")),
        ("apps/v1", "StatefulSet", format!("{{template: {{metadata: {{}}, spec: {spec}}}}}")),
        ("apps/v1", "DaemonSet", format!("{{template: {{metadata: {{labels: {{a: b}}}}, spec: {spec}}}}}")),
        ("apps/v1", "ReplicaSet", format!("{{template: {{spec: {spec}}}}}")),
        ("v1", "ReplicationController", format!("{{template: {{spec: {spec}}}}}")),
        ("batch/v1", "Job", format!("{{template: {{spec: {spec}}}}}")),
        ("batch/v1", "CronJob", format!("{{jobTemplate: {{spec: {{template: {{spec: {spec}}}}}}}}}")),
    ] {
        let object = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: thing}}\nspec: {spec}\n");
        let file = inject(&object);
        assert_eq!(file.notes, [], "{kind}");
        assert!(file.text.contains("name: istio-proxy"), "{kind}: {}", file.text);
        assert!(file.text.contains("service.istio.io/canonical-name: thing"), "{kind}: {}", file.text);
        assert_eq!(inject(&file.text).text, file.text, "{kind}");

        let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", object.trim_end().replace('\n', "\n  "));
        let file = inject(&list);
        assert!(file.text.contains("kind: List") && file.text.contains("name: istio-proxy"), "{kind}: {}", file.text);
    }
}

#[test]
fn notes_name_the_line_and_the_object() {
    let text = "# a comment\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n\
                spec: {hostNetwork: true, containers: [{name: x}]}\n---\napiVersion: v1\nkind: Pod\n\
                metadata:\n  name: b\n  annotations: {sidecar.istio.io/proxyCPU: lots}\n\
                spec: {containers: [{name: x}]}\n---\nkind: [\n---\nnot: an object\n";
    let file = inject(text);
    assert_eq!(file.text, text);
    let notes: Vec<_> = file.notes.iter().map(|note| (note.line, note.object.as_str(), note.kind)).collect();
    assert_eq!(
        notes,
        [(3, "Pod shop/a", NoteKind::Left), (8, "Pod default/b", NoteKind::Refused), (15, "", NoteKind::Refused)]
    );
    assert!(file.notes[1].to_string().starts_with("8: Pod default/b: annotation sidecar.istio.io/proxyCPU: \"lots\""));
}

#[test]
fn the_pod_security_of_a_namespace_in_the_same_file_counts() {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {pod-security.kubernetes.io/enforce: baseline}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: [{name: x}]}\n";
    let file = inject(&format!("{pod}---\n{namespace}"));
    assert_eq!(file.notes[0].kind, NoteKind::Warning);
    assert!(file.notes[0].message.contains("namespace shop enforces Pod Security"), "{:?}", file.notes);
}

#[test]
fn text_without_pods_stays_letter_by_letter() {
    for text in
        ["", "\n", "# only a comment", "\u{feff}a: 1 # b\n", "---\n---\n", "a: |\n  ---\n", "a: 1\r\n---\r\nb: 2\r\n"]
    {
        assert_eq!(inject(text).text, text);
    }
}
