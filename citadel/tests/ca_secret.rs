//! The CA in Secrets of a (fake) API server: made, plugged in, changed and broken while it runs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake_api;
mod mesh;

use std::collections::BTreeMap;
use std::time::Duration;

use citadel::ca::Authority;
use citadel::kubernetes::{CaSecretOptions, CaStatus, ROOTS_CONFIG_MAP, ROOTS_KEY, follow, roots_annotations};
use citadel::own::{self, ServerNames};
use citadel::tls::{self, ClientAuth, PeerNames};
use citadel::{Credentials, Identity, TrustDomain};
use fake_api::{FakeApi, Mood};
use k8s_openapi::ByteString;
use mesh::{HOUR, workload};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::watch;

const SECRETS: &str = "/api/v1/namespaces/meltemi-system/secrets";
const PLUGGED: &str = "/api/v1/namespaces/meltemi-system/secrets/cacerts";
const OWN: &str = "/api/v1/namespaces/meltemi-system/secrets/meltemi-ca";

/// How long the former CA signs after a sudden change.
const HAND_OVER: Duration = Duration::from_secs(180);

/// Times are kept by the wall clock, which goes on while that of the tests is paused.
fn is_about(took: Duration, wanted: Duration) -> bool {
    took.abs_diff(wanted) < Duration::from_secs(20)
}

struct Plane {
    authority: Authority,
    status: watch::Receiver<CaStatus>,
    metrics: record::Metrics,
}

impl Plane {
    async fn start(api: &FakeApi) -> Self {
        let metrics = record::Metrics::new();
        let options = CaSecretOptions {
            namespace: "meltemi-system".to_owned(),
            trust_domain: TrustDomain::default(),
            max_ttl: HOUR,
        };
        let (authority, status, following) = follow(api.client(), options, &metrics).await;
        tokio::spawn(following);
        Self { authority, status, metrics }
    }

    fn roots(&self) -> String {
        self.authority.current().roots_pem().to_owned()
    }

    /// The next status that says this.
    async fn until(&mut self, text: &str) -> CaStatus {
        let found = self.status.wait_for(|status| status.to_string().contains(text));
        tokio::time::timeout(Duration::from_secs(20), found).await.expect(text).unwrap().clone()
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.text().lines().any(|l| l == line)
    }

    /// A workload's certificate is good under these roots and no others.
    fn sign_under(&self, roots: &str) -> Vec<String> {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let chain = self.authority.current().sign_workload(&csr, &workload("catalog"), HOUR).unwrap();
        let sent = chain[..chain.len() - 1].concat();
        let credentials = Credentials::from_pem(&sent, &key.serialize_pem(), roots).unwrap();
        credentials.verify_chain().unwrap();
        chain
    }
}

/// A root somewhere else in the company.
struct Company {
    params: CertificateParams,
    key: KeyPair,
    root: String,
}

struct Plug {
    certificate: String,
    key: String,
    chain: String,
    root: String,
}

impl Plug {
    fn secret(&self) -> Value {
        let files = [
            ("ca-cert.pem", &self.certificate),
            ("ca-key.pem", &self.key),
            ("cert-chain.pem", &self.chain),
            ("root-cert.pem", &self.root),
        ];
        secret(&files.map(|(name, text)| (name, text.as_str())))
    }
}

fn secret(files: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap()))
        .collect();
    json!({ "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data, "metadata": {} })
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_after = OffsetDateTime::now_utc() + 1000 * HOUR;
    params
}

impl Company {
    fn new(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let root = params.self_signed(&key).unwrap().pem();
        Self { params, key, root }
    }

    fn plug(&self) -> Plug {
        self.plug_with(KeyPair::generate().unwrap(), |_| {})
    }

    fn plug_with(&self, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Plug {
        let mut params = authority_params("an intermediate");
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        let chain = format!("{certificate}{}", self.root);
        Plug { certificate, key: key.serialize_pem(), chain, root: self.root.clone() }
    }
}

#[tokio::test]
async fn several_replicas_that_start_at_once_agree_on_one_new_root() {
    let api = FakeApi::new();
    let planes = futures::future::join_all((0..5).map(|_| Plane::start(&api))).await;
    assert!(api.calls(&format!("POST {SECRETS}")) > 1, "nobody raced");
    let root = planes[0].authority.current().roots_pem().to_owned();
    for plane in &planes {
        assert_eq!(plane.authority.current().roots_pem(), root);
        plane.sign_under(&root);
    }
    let kept = api.get(OWN).unwrap();
    let names: Vec<&String> = kept["data"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"]);
    let later = Plane::start(&api).await;
    assert_eq!(later.authority.current().roots_pem(), root);
}

#[tokio::test]
async fn a_plugged_in_intermediate_signs_and_goes_along_with_what_it_signs() {
    let (api, company) = (FakeApi::new(), Company::new("Company root"));
    let plug = company.plug();
    api.put(PLUGGED, plug.secret());
    let plane = Plane::start(&api).await;
    let chain = plane.sign_under(&company.root);
    assert_eq!(chain.len(), 3, "leaf, intermediate, root");
    assert_eq!(chain[1].trim(), plug.certificate.trim());
    assert_eq!(chain[2].trim(), company.root.trim());
    let own = plane.authority.current().sign_server(&["ca.mesh.svc"], &workload("meltemi"), HOUR).unwrap();
    own.verify_chain().unwrap();
    assert_eq!(own.chain().len(), 2);
    assert!(api.get(OWN).is_none(), "a CA that nobody needs was made");
    assert!(plane.counted("meltemi_ca_secret_usable{secret=\"cacerts\"} 1"));
    assert_eq!(plane.status.borrow().to_string(), "the CA of Secret meltemi-system/cacerts is in force");
}

#[tokio::test]
async fn all_forms_that_istios_users_have_are_read() {
    let company = Company::new("Company root");
    let rsa = company.plug_with(KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), |_| {});
    let old_form = Plug { key: traditional(&rsa.key, "RSA PRIVATE KEY"), ..company_copy(&rsa) };
    let curve = company.plug();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let sec1 =
        Plug { key: format!("{parameters}{}", traditional(&curve.key, "EC PRIVATE KEY")), ..company_copy(&curve) };
    let p384 = company.plug_with(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(), |_| {});
    let no_chain = Plug { chain: String::new(), ..company.plug() };
    let several_roots = Plug { root: format!("{}{}", Company::new("Old root").root, company.root), ..company.plug() };
    for plug in [rsa, old_form, sec1, p384, no_chain, several_roots] {
        let api = FakeApi::new();
        api.put(PLUGGED, plug.secret());
        let chain = Plane::start(&api).await.sign_under(&company.root);
        assert_eq!(chain.len(), 3);
    }
    let plug = company.plug();
    let api = FakeApi::new();
    api.put(PLUGGED, secret(&[("tls.crt", &plug.certificate), ("tls.key", &plug.key), ("ca.crt", &plug.root)]));
    Plane::start(&api).await.sign_under(&company.root);
}

fn company_copy(plug: &Plug) -> Plug {
    let Plug { certificate, key, chain, root } = plug;
    Plug { certificate: certificate.clone(), key: key.clone(), chain: chain.clone(), root: root.clone() }
}

/// The key inside a PKCS #8 one (RFC 5208 section 5: version, algorithm, then the key as an octet string).
fn traditional(pkcs8: &str, tag: &str) -> String {
    let (_, parsed) = x509_parser::pem::parse_x509_pem(pkcs8.as_bytes()).unwrap();
    let element = |der: &[u8]| match der[1] {
        short @ 0..=127 => (2, usize::from(short)),
        long => {
            let bytes = usize::from(long & 0x7f);
            (2 + bytes, der[2..2 + bytes].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        }
    };
    let mut rest = &parsed.contents[element(&parsed.contents).0..];
    for _ in ["version", "algorithm"] {
        let (head, length) = element(rest);
        rest = &rest[head + length..];
    }
    let (head, length) = element(rest);
    pem::encode(&pem::Pem::new(tag, &rest[head..head + length]))
}

#[tokio::test]
async fn a_secret_that_cannot_work_leaves_the_last_good_one_in_force_and_says_why() {
    let (api, company) = (FakeApi::new(), Company::new("Company root"));
    let good = company.plug();
    api.put(PLUGGED, good.secret());
    let mut plane = Plane::start(&api).await;
    let before = plane.authority.current();
    let expired = company.plug_with(KeyPair::generate().unwrap(), |params| {
        params.not_after = OffsetDateTime::now_utc() - HOUR;
    });
    let no_authority = company.plug_with(KeyPair::generate().unwrap(), |params| params.is_ca = IsCa::ExplicitNoCa);
    let elsewhere = Plug { root: Company::new("Other root").root, ..company.plug() };
    let elsewhere = Plug { chain: elsewhere.certificate.clone(), ..elsewhere };
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (bad, text) in [
        (secret(&[("ca-cert.pem", &good.certificate)]), "ca-key.pem is missing"),
        (secret(&[]), "ca-cert.pem is missing"),
        (Plug { certificate: "garbage".to_owned(), ..company_copy(&good) }.secret(), "PEM of the ca-cert.pem"),
        (Plug { key: "garbage".to_owned(), ..company_copy(&good) }.secret(), "ca-key.pem: it holds no private key"),
        (Plug { key: encrypted.to_owned(), ..company_copy(&good) }.secret(), "it is encrypted"),
        (Plug { key: company.plug().key, ..company_copy(&good) }.secret(), "ca-key.pem is not its private key"),
        (expired.secret(), "expired at"),
        (no_authority.secret(), "CA:true is missing"),
        (elsewhere.secret(), "does not lead to root-cert.pem"),
    ] {
        api.put(PLUGGED, bad);
        let status = plane.until(text).await.to_string();
        assert!(status.contains("as last read from Secret meltemi-system/cacerts stays in force"), "{status}");
        assert!(plane.counted("meltemi_ca_secret_usable{secret=\"cacerts\"} 0"));
        assert!(std::sync::Arc::ptr_eq(&before, &plane.authority.current()));
        api.put(PLUGGED, good.secret());
        plane.until("is in force").await;
        assert!(plane.counted("meltemi_ca_secret_usable{secret=\"cacerts\"} 1"));
    }
    assert!(plane.counted("meltemi_ca_changes_total 1"), "only the first one ever came into force");
}

#[tokio::test]
async fn another_intermediate_under_the_same_root_signs_without_a_restart() {
    let (api, company) = (FakeApi::new(), Company::new("Company root"));
    api.put(PLUGGED, company.plug().secret());
    let plane = Plane::start(&api).await;
    let mut changes = plane.authority.changes();
    let next = company.plug();
    api.put(PLUGGED, next.secret());
    tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
    let chain = plane.sign_under(&company.root);
    assert_eq!(chain[1].trim(), next.certificate.trim());
    assert_eq!(chain[2].trim(), company.root.trim(), "no root was added");
}

#[tokio::test(start_paused = true)]
async fn after_a_sudden_change_the_new_root_spreads_first_and_the_old_one_is_trusted_while_it_is_in_use() {
    let api = FakeApi::new();
    let plane = Plane::start(&api).await;
    let old_root = plane.roots();
    let mut changes = plane.authority.changes();
    let mut changed = async || {
        let started = tokio::time::Instant::now();
        changes.changed().await.unwrap();
        started.elapsed()
    };
    let company = Company::new("Company root");
    api.put(PLUGGED, company.plug().secret());
    assert!(changed().await < Duration::from_secs(20));
    let both = plane.roots();
    assert!(both.contains(company.root.trim()) && both.contains(old_root.trim()), "{both}");
    let chain = plane.sign_under(&old_root);
    assert_eq!(chain.last().unwrap(), &both, "a workload is told both");

    assert!(is_about(changed().await, HAND_OVER));
    plane.sign_under(&company.root);
    assert!(plane.roots().contains(old_root.trim()));

    api.put(PLUGGED, company.plug().secret());
    assert!(changed().await < Duration::from_secs(20));
    plane.sign_under(&company.root);
    assert!(plane.roots().contains(old_root.trim()), "another intermediate says nothing about the old root");

    let took = changed().await;
    assert!(is_about(took, HOUR + HAND_OVER), "{took:?}");
    assert_eq!(plane.roots().trim(), company.root.trim());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_taken_back_locks_out_nobody() {
    let (api, first, second) = (FakeApi::new(), Company::new("First root"), Company::new("Second root"));
    let before = first.plug();
    api.put(PLUGGED, before.secret());
    let plane = Plane::start(&api).await;
    let mut changes = plane.authority.changes();
    api.put(PLUGGED, second.plug().secret());
    changes.changed().await.unwrap();
    changes.changed().await.unwrap();
    plane.sign_under(&second.root);
    api.put(PLUGGED, before.secret());
    changes.changed().await.unwrap();
    changes.changed().await.unwrap();
    plane.sign_under(&first.root);
    assert!(plane.roots().contains(second.root.trim()), "there are certificates under it");
}

/// A restart within a day of a sudden change made a process that knew the new root only.
#[tokio::test(start_paused = true)]
async fn a_restart_after_a_change_still_trusts_the_former_roots_while_they_are_in_use() {
    let api = FakeApi::new();
    let before = Plane::start(&api).await;
    let old_root = before.roots();
    let old = before.authority.current().sign_server(&[], &workload("catalog"), HOUR).unwrap();
    let company = Company::new("Company root");
    let mut changes = before.authority.changes();
    api.put(PLUGGED, company.plug().secret());
    changes.changed().await.unwrap();
    publish(&api, &before.roots(), roots_annotations(&before.authority.current()));

    let after = Plane::start(&api).await;
    assert_eq!(after.roots(), before.roots(), "replicas agree");
    after.sign_under(&old_root);
    let names = ServerNames { id: workload("meltemi"), dns: vec!["ca.mesh.svc".to_owned()], ttl: HOUR };
    let (identity, _) = own::server_identity(after.authority.clone(), names).unwrap();
    let server = tls::server(&identity, ClientAuth::Required, &[TrustDomain::default()], &[b"h2"]).unwrap();
    let old = Identity::fixed(Credentials::from_pem(&old.chain_pem(), &old.key_pem(), &after.roots()).unwrap());
    let client = tls::client(&old, PeerNames::Any, &[b"h2"]).unwrap();
    assert_eq!(mesh::why(mesh::handshake(server, client).await.0), "accepted");

    let mut changes = after.authority.changes();
    let started = tokio::time::Instant::now();
    changes.changed().await.unwrap();
    assert!(is_about(started.elapsed(), HAND_OVER), "the new root goes on spreading");
    after.sign_under(&company.root);
    changes.changed().await.unwrap();
    let took = started.elapsed();
    assert!(is_about(took, HOUR + 2 * HAND_OVER), "{took:?}");
    assert_eq!(after.roots().trim(), company.root.trim());
}

#[tokio::test]
async fn roots_that_were_published_are_trusted_while_certificates_under_them_can_be_in_use() {
    let (old, new) = (Company::new("Old root"), Company::new("New root"));
    let both = format!("{}{}", new.root, old.root);
    let back = format!("{}{}", old.root, new.root);
    let past = || [("meltemi.io/former-roots-until".to_owned(), "2026-01-01T00:00:00Z".to_owned())].into();
    for (published, annotations, trusted, why) in [
        (&old.root, BTreeMap::new(), true, "it changed while nobody was there"),
        (&old.root, past(), true, "that was another change"),
        (&both, BTreeMap::new(), true, "nothing says until when"),
        (&both, past(), false, "their time is over"),
        (&back, past(), true, "the change was taken back, and until now the other one signed"),
        (&new.root, BTreeMap::new(), false, "there is none"),
        (&"garbage".to_owned(), BTreeMap::new(), false, "that is no root"),
    ] {
        let api = FakeApi::new();
        api.put(PLUGGED, new.plug().secret());
        publish(&api, published, annotations);
        let plane = Plane::start(&api).await;
        plane.sign_under(&new.root);
        assert_eq!(plane.roots().contains(old.root.trim()), trusted, "{why}");
        assert_eq!(plane.authority.current().beside_until().is_some(), trusted, "{why}");
    }
}

/// As the leader does.
fn publish(api: &FakeApi, roots: &str, annotations: BTreeMap<String, String>) {
    let map = json!({ "metadata": { "annotations": annotations }, "data": { ROOTS_KEY: roots } });
    api.put(&format!("/api/v1/namespaces/meltemi-system/configmaps/{ROOTS_CONFIG_MAP}"), map);
}

#[tokio::test]
async fn the_secret_of_our_own_ca_is_put_back_when_it_is_deleted() {
    let api = FakeApi::new();
    let plane = Plane::start(&api).await;
    let root = plane.authority.current().roots_pem().to_owned();
    let before = api.get(OWN).unwrap();
    api.delete(OWN);
    api.until(OWN, |found| found.is_some()).await;
    assert_eq!(api.get(OWN).unwrap()["data"], before["data"]);
    assert_eq!(plane.authority.current().roots_pem(), root);
}

#[tokio::test]
async fn a_plugged_in_ca_that_is_deleted_gives_way_to_no_other_root() {
    let (api, company) = (FakeApi::new(), Company::new("Company root"));
    api.put(PLUGGED, company.plug().secret());
    let mut plane = Plane::start(&api).await;
    api.delete(PLUGGED);
    let status = plane.until("is gone").await;
    assert_eq!(status.secret, "meltemi-system/cacerts");
    plane.sign_under(&company.root);
    assert!(api.get(OWN).is_none());
    api.put(PLUGGED, company.plug().secret());
    plane.until("is in force").await;
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_starts_without_an_api_server_waits_for_it() {
    for mood in [Mood::Away, Mood::Silent, Mood::Forbidding] {
        let api = FakeApi::new();
        api.mood(mood);
        let starting = tokio::spawn({
            let api = api.clone();
            async move { Plane::start(&api).await }
        });
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!starting.is_finished() && api.get(OWN).is_none(), "{mood:?}");
        if mood == Mood::Silent {
            starting.abort();
            continue;
        }
        api.mood(Mood::Well);
        let plane =
            tokio::time::timeout(Duration::from_secs(120), starting).await.expect("it waits no longer").unwrap();
        assert_eq!(plane.status.borrow().problem, None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_control_planes_own_certificate_serves_old_and_new_clients_through_a_change() {
    let api = FakeApi::new();
    let plane = Plane::start(&api).await;
    let names = ServerNames { id: workload("meltemi"), dns: vec!["ca.mesh.svc".to_owned()], ttl: HOUR };
    let (identity, renewal) = own::server_identity(plane.authority.clone(), names).unwrap();
    tokio::spawn(renewal);
    let before = identity.current().unwrap();
    let mut changes = identity.changes();
    let company = Company::new("Company root");
    api.put(PLUGGED, company.plug().secret());
    changes.changed().await.unwrap();
    let between = changes.borrow_and_update().clone().unwrap();
    let known = Credentials::from_pem(&between.chain_pem(), &between.key_pem(), &before.roots_pem()).unwrap();
    known.verify_chain().expect("who knows the old root alone can still connect");
    assert_eq!(between.roots().len(), 2, "clients with certificates of either root are let in");
    let started = tokio::time::Instant::now();
    changes.changed().await.unwrap();
    assert!(is_about(started.elapsed(), HAND_OVER));
    let after = changes.borrow_and_update().clone().unwrap();
    let renewed = Credentials::from_pem(&after.chain_pem(), &after.key_pem(), &company.root).unwrap();
    renewed.verify_chain().unwrap();
}
