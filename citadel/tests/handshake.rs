//! Handshakes between workloads, in memory: who is accepted, who is refused and with which words.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mesh;

use std::sync::Arc;
use std::time::Duration;

use citadel::tls::{self, AlpnConfigs, ClientAuth, PeerNames, Roots};
use citadel::{Identity, TrustDomain};
use mesh::{Mesh, SNI, handshake, handshake_with, uri, why, workload};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

fn server(identity: &Identity, auth: ClientAuth) -> Arc<ServerConfig> {
    tls::server(identity, auth, &[TrustDomain::default()], &[]).unwrap()
}

fn client(identity: &Identity) -> Arc<rustls::ClientConfig> {
    tls::client(identity, PeerNames::TrustDomain(vec![TrustDomain::default()]), &[]).unwrap()
}

#[tokio::test]
async fn workloads_meet_on_tls_13_with_the_hybrid_group_and_know_each_other() {
    let mesh = Mesh::new();
    let (catalog, frontend) = (mesh.identity("catalog"), mesh.identity("frontend"));
    let exact = PeerNames::Exact(vec![workload("catalog").to_string()]);
    let client = tls::client(&frontend, exact, &[b"istio", b"h2"]).unwrap();
    let server = tls::server(&catalog, ClientAuth::Required, &[TrustDomain::default()], &[b"h2"]).unwrap();
    for _ in 0..2 {
        let (accepted, connected) = handshake(server.clone(), client.clone()).await;
        let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
        let (near, far) = (connected.get_ref().1, accepted.get_ref().1);
        assert_eq!(near.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = near.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
        let suite = near.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(far.handshake_kind(), Some(HandshakeKind::Full), "no resumption");
        assert_eq!(near.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(far.server_name(), Some(SNI));
        assert_eq!(tls::peer_id(near), Some(workload("catalog")));
        assert_eq!(tls::peer_id(far), Some(workload("frontend")));
        assert_eq!(tls::known_peer_id(&catalog, far), Some(workload("frontend")));
        let hash = tls::peer_certificate_hash(far).unwrap();
        assert_eq!(hash, sha256_hex(&frontend.current().unwrap().chain()[0]));
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    let digest = suite.common.hash_provider.hash(bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// What is wrong, the certificate, the words that name what was presented, and those that name what was expected.
type Case = (&'static str, fn(&mut CertificateParams), &'static str, &'static str);

fn wrong() -> Vec<Case> {
    fn names(params: &mut CertificateParams, names: &[&str]) {
        params.subject_alt_names = names.iter().map(|name| uri(name)).collect();
    }
    const ONE: &str = "expected exactly one SPIFFE id";
    vec![
        (
            "two URIs",
            |p| names(p, &["spiffe://cluster.local/ns/shop/sa/a", "spiffe://cluster.local/ns/shop/sa/b"]),
            "sa/b",
            ONE,
        ),
        ("no name", |p| p.subject_alt_names.clear(), "[]", ONE),
        ("DNS only", |p| p.subject_alt_names = vec![mesh::dns("catalog.shop")], "DNS:catalog.shop", ONE),
        ("NUL", |p| names(p, &["spiffe://cluster.local/ns/shop/sa/a\0b"]), "a\\0b", "exactly spiffe://"),
        ("escape", |p| names(p, &["spiffe://cluster.local/ns/shop/sa/b%2fc"]), "b%2fc", "exactly spiffe://"),
        ("case", |p| names(p, &["SPIFFE://cluster.local/ns/shop/sa/a"]), "SPIFFE://", "exactly spiffe://"),
        ("not SPIFFE", |p| names(p, &["https://example.com/a"]), "https://", "exactly spiffe://"),
        (
            "trust domain",
            |p| names(p, &["spiffe://evil.example/ns/shop/sa/a"]),
            "spiffe://evil.example/ns/shop/sa/a",
            "a workload of trust domain cluster.local",
        ),
        ("expired", |p| p.not_after = OffsetDateTime::now_utc() - mesh::HOUR / 2, "sa/mallory", "expired"),
        ("not yet", |p| p.not_before = OffsetDateTime::now_utc() + mesh::HOUR / 2, "sa/mallory", "not valid yet"),
        (
            "authority",
            |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            "sa/mallory",
            "a workload's must not be",
        ),
        ("signer", |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign), "sa/mallory", "a workload's must not be"),
    ]
}

#[tokio::test]
async fn a_server_with_a_wrong_certificate_is_refused() {
    let mesh = Mesh::new();
    let client = client(&mesh.identity("frontend"));
    let mut cases = wrong();
    cases.push((
        "client only",
        |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        "sa/mallory",
        "server authentication",
    ));
    for (name, change, presented, expected) in cases {
        let (_, connected) = handshake(mesh.forge(change).server(), client.clone()).await;
        let why = why(connected);
        assert!(why.contains(presented) && why.contains(expected), "{name}: {why}");
    }
    let (_, honest) = handshake(mesh.forge(|_| {}).server(), client).await;
    honest.expect("only the changes make the difference");
}

#[tokio::test]
async fn a_client_with_a_wrong_certificate_is_refused_even_where_none_is_needed() {
    let mesh = Mesh::new();
    let catalog = mesh.identity("catalog");
    let mut cases = wrong();
    cases.push((
        "server only",
        |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        "sa/mallory",
        "client authentication",
    ));
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        for (name, change, presented, expected) in cases.clone() {
            let (accepted, _) = handshake(server(&catalog, auth), mesh.forge(change).client()).await;
            let why = why(accepted);
            assert!(why.contains(presented) && why.contains(expected), "{name}: {why}");
        }
        let (honest, _) = handshake(server(&catalog, auth), mesh.forge(|_| {}).client()).await;
        honest.expect("only the changes make the difference");
    }
}

#[tokio::test]
async fn another_root_is_refused() {
    let (ours, theirs) = (Mesh::new(), Mesh::new());
    let (_, connected) = handshake(theirs.forge(|_| {}).server(), client(&ours.identity("frontend"))).await;
    let refused = why(connected);
    assert!(refused.contains("sa/mallory") && refused.contains("roots"), "{refused}");
    let server = server(&ours.identity("catalog"), ClientAuth::Required);
    let (accepted, _) = handshake(server, theirs.forge(|_| {}).client()).await;
    let refused = why(accepted);
    assert!(refused.contains("sa/mallory") && refused.contains("roots"), "{refused}");
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let mesh = Mesh::new();
    let server = server(&mesh.identity("catalog"), ClientAuth::Required);
    let frontend = mesh.identity("frontend");
    let ids = |names: &[&str]| PeerNames::Exact(names.iter().map(|n| workload(n).to_string()).collect());
    for (names, expected) in [
        (ids(&["stock"]), "expected spiffe://cluster.local/ns/shop/sa/stock"),
        (ids(&[]), "expected nobody"),
        (PeerNames::TrustDomain(vec![]), "expected nobody"),
    ] {
        let client = tls::client(&frontend, names, &[]).unwrap();
        let (_, connected) = handshake(server.clone(), client).await;
        let why = why(connected);
        assert!(why.contains("presented a certificate of spiffe://cluster.local/ns/shop/sa/catalog"), "{why}");
        assert!(why.contains(expected), "{why}");
    }
    for names in [ids(&["stock", "catalog"]), PeerNames::Any] {
        let client = tls::client(&frontend, names, &[]).unwrap();
        handshake(server.clone(), client).await.1.unwrap();
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_let_in_only_where_that_is_allowed() {
    let mesh = Mesh::new();
    let catalog = mesh.identity("catalog");
    let anonymous = mesh::anonymous(&[&rustls::version::TLS13]);
    let (accepted, _) = handshake(server(&catalog, ClientAuth::Required), anonymous.clone()).await;
    assert!(why(accepted).contains("presented no certificate"));
    let (accepted, _) = handshake(server(&catalog, ClientAuth::Optional), anonymous).await;
    assert_eq!(tls::peer_id(accepted.unwrap().get_ref().1), None);
}

#[tokio::test]
async fn tls_12_is_refused_between_workloads() {
    let mesh = Mesh::new();
    let old = mesh::anonymous(&[&rustls::version::TLS12]);
    let (accepted, connected) = handshake(server(&mesh.identity("catalog"), ClientAuth::Optional), old).await;
    assert!(accepted.is_err() && connected.is_err());
    let (_, connected) = handshake(mesh::old_server(mesh.forge(|_| {})), client(&mesh.identity("frontend"))).await;
    assert!(connected.is_err());
}

#[tokio::test]
async fn renewal_leaves_open_connections_alone_and_serves_new_ones() {
    let mesh = Mesh::new();
    let (catalog, frontend) = (mesh.identity("catalog"), mesh.identity("frontend"));
    let (server, client) = (server(&catalog, ClientAuth::Required), client(&frontend));
    let (accepted, connected) = handshake(server.clone(), client.clone()).await;
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    let leaf = |stream: &tokio_rustls::client::TlsStream<_>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let first = leaf(&connected);

    catalog.replace(mesh.ca.sign_server(&[], &workload("catalog"), mesh::HOUR).unwrap());
    frontend.replace(mesh.ca.sign_server(&[], &workload("frontend"), mesh::HOUR).unwrap());

    connected.write_all(b"still here").await.unwrap();
    connected.flush().await.unwrap();
    let mut text = [0; 10];
    accepted.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"still here");
    let (_, again) = handshake(server, client).await;
    let again = leaf(&again.unwrap());
    assert_ne!(again, first);
    assert_eq!(again, catalog.current().unwrap().chain()[0]);
}

#[tokio::test]
async fn a_change_of_roots_counts_from_the_next_handshake() {
    let (old, new) = (Mesh::new(), Mesh::new());
    let (catalog, frontend) = (old.identity("catalog"), old.identity("frontend"));
    let (server, client) = (server(&catalog, ClientAuth::Required), client(&frontend));
    handshake(server.clone(), client.clone()).await.0.unwrap();
    catalog.replace(new.ca.sign_server(&[], &workload("catalog"), mesh::HOUR).unwrap());
    assert!(why(handshake(server.clone(), client.clone()).await.1).contains("roots"));
    frontend.replace(new.ca.sign_server(&[], &workload("frontend"), mesh::HOUR).unwrap());
    handshake(server, client).await.0.unwrap();
}

#[tokio::test]
async fn after_expiry_nothing_is_accepted_and_the_reason_is_given() {
    let mesh = Mesh::new();
    let (good, late) = (mesh.identity("catalog"), Identity::fixed(expired(&mesh)));
    let none = Identity::empty();
    for (identity, words) in [(&late, "sa/mallory expired at"), (&none, "no certificate yet")] {
        let (accepted, connected) = handshake(server(identity, ClientAuth::Optional), client(&good)).await;
        assert!(connected.is_err());
        let (label, text) = tls::failure(Some(identity), &accepted.unwrap_err());
        assert_eq!(label, "no_identity");
        assert!(text.contains(words), "{text}");

        let (accepted, connected) = handshake(server(&good, ClientAuth::Required), client(identity)).await;
        assert!(accepted.is_err());
        let why = why(connected);
        assert!(why.contains(words), "{why}");
    }
}

fn expired(mesh: &Mesh) -> citadel::Credentials {
    let forged = mesh.forge(|p| p.not_after = OffsetDateTime::now_utc() - Duration::from_secs(1));
    let roots = mesh.identity("x").current().unwrap().roots().to_vec();
    citadel::Credentials::new(forged.chain, forged.key, roots).unwrap()
}

#[tokio::test]
async fn a_listener_answers_the_alpn_that_it_can_and_refuses_nobody_for_it() {
    let mesh = Mesh::new();
    let (catalog, frontend) = (mesh.identity("catalog"), mesh.identity("frontend"));
    let base = server(&catalog, ClientAuth::Required);
    let configs = AlpnConfigs::new(&base, &[b"istio-h2", b"h2", b"http/1.1"]);
    for (offers, answer) in [
        (&[&b"http/1.1"[..], b"h2"][..], Some(&b"h2"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[b"h2", b"istio-h2"], Some(b"istio-h2")),
        (&[b"istio-peer-exchange", b"istio"], None),
        (&[], None),
    ] {
        let client = tls::client(&frontend, PeerNames::Any, offers).unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let accept = async {
            let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), far).await?;
            let config = configs.for_hello(&start.client_hello()).clone();
            start.into_stream(config).await
        };
        let connect = TlsConnector::from(client).connect(tls::server_name(SNI).unwrap(), near);
        let (accepted, connected) = tokio::join!(accept, connect);
        assert_eq!(connected.unwrap().get_ref().1.alpn_protocol(), answer);
        assert_eq!(accepted.unwrap().get_ref().1.alpn_protocol(), answer);
    }
}

#[tokio::test]
async fn a_simple_client_knows_servers_by_name_on_both_versions() {
    let mesh = Mesh::new();
    let roots = Roots::Pem(mesh.ca.roots_pem().to_owned());
    let outside = || {
        mesh.forge(|p| p.subject_alt_names = vec![mesh::dns("api.example.com"), uri("spiffe://x.example/ns/a/sa/b")])
    };
    let connect = async |server, names: &[&str], sni: &str| {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let client = tls::simple_client(&roots, &names, &[]).unwrap();
        why(handshake_with(server, client, sni).await.1)
    };
    assert_eq!(connect(outside().server(), &[], "api.example.com").await, "accepted");
    assert_eq!(connect(mesh::old_server(outside()), &[], "api.example.com").await, "accepted");
    let refused = connect(outside().server(), &[], "bank.example.com").await;
    assert!(refused.contains("bank.example.com") && refused.contains("api.example.com"), "{refused}");
    assert_eq!(connect(outside().server(), &["no", "api.example.com"], "sni.example").await, "accepted");
    assert_eq!(connect(outside().server(), &["spiffe://x.example/ns/a/sa/b"], "sni.example").await, "accepted");
    let refused = connect(outside().server(), &["spiffe://x.example/ns/a/sa/c"], "api.example.com").await;
    assert!(refused.contains("none of the expected names"), "{refused}");
    let stranger = Mesh::new();
    let refused = connect(stranger.forge(|_| {}).server(), &[], "api.example.com").await;
    assert!(refused.contains("not good under the given roots"), "{refused}");
}

#[tokio::test]
async fn a_client_of_the_control_plane_follows_a_change_of_roots() {
    let (old, new) = (Mesh::new(), Mesh::new());
    let frontend = old.identity("frontend");
    let roots = Roots::Pem(old.ca.roots_pem().to_owned());
    let client = tls::control_plane_client(&roots, &frontend).unwrap();
    let plane = |mesh: &Mesh| {
        let plane = mesh.ca.sign_server(&["ca.mesh.svc"], &workload("meltemi"), mesh::HOUR);
        let domains = [TrustDomain::default()];
        let identity = Identity::fixed(plane.unwrap());
        tls::server(&identity, ClientAuth::Optional, &domains, &[b"h2"]).unwrap()
    };
    let (accepted, _) = handshake_with(plane(&old), client.clone(), "ca.mesh.svc").await;
    let shown = tls::peer_id(accepted.unwrap().get_ref().1);
    assert_eq!(shown, Some(workload("frontend")));
    let (_, connected) = handshake_with(plane(&old), client.clone(), "other.mesh.svc").await;
    assert!(why(connected).contains("another name"));

    let (_, connected) = handshake_with(plane(&new), client.clone(), "ca.mesh.svc").await;
    assert!(why(connected).contains("not good under the given roots"));
    let renewed = new.ca.sign_server(&[], &workload("frontend"), mesh::HOUR);
    frontend.replace(renewed.unwrap());
    let (accepted, _) = handshake_with(plane(&new), client, "ca.mesh.svc").await;
    let shown = tls::peer_id(accepted.unwrap().get_ref().1);
    assert_eq!(shown, Some(workload("frontend")));
}

#[test]
fn missing_roots_are_an_error_that_names_the_file() {
    let error = tls::simple_client(&Roots::File("/nowhere/roots.pem".into()), &[], &[]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/roots.pem"));
    assert!(tls::simple_client(&Roots::Pem("garbage".into()), &[], &[]).is_err());
}

#[test]
fn names_that_tls_cannot_carry_are_errors() {
    assert!(tls::server_name("").is_err());
    assert!(tls::server_name("a b").is_err());
    assert!(tls::server_name(SNI).is_ok());
    assert!(tls::server_name("10.0.0.1").is_ok());
}
