//! The CA as a service and its client, over TLS on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mesh;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use citadel::api::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};
use citadel::client::{self, ClientOptions};
use citadel::grpc;
use citadel::own::{self, ServerNames};
use citadel::server::CertificateService;
use citadel::tls::{self, ClientAuth, PeerNames, Roots};
use citadel::token::{self, CA_AUDIENCE, TokenIssuer};
use citadel::{Identity, TrustDomain};
use mesh::{HOUR, Mesh, workload};
use prost_types::{Struct, Value, value::Kind};
use rcgen::{CertificateParams, KeyPair};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

const CA_NAME: &str = "meltemi.meltemi-system.svc";

struct ControlPlane {
    mesh: Mesh,
    tokens: Arc<TokenIssuer>,
    metrics: record::Metrics,
    address: SocketAddr,
}

impl ControlPlane {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(listener, Mesh::new())
    }

    fn start_on(listener: TcpListener, mesh: Mesh) -> Self {
        let tokens = Arc::new(TokenIssuer::load_or_create(&mesh.state()).unwrap());
        let metrics = record::Metrics::new();
        let names = ServerNames {
            id: TrustDomain::default().workload("meltemi-system", "meltemi").unwrap(),
            dns: vec![CA_NAME.to_owned()],
            ttl: HOUR,
        };
        let (identity, renewal) = own::server_identity(mesh.ca.clone(), names).unwrap();
        tokio::spawn(renewal);
        let domains = [TrustDomain::default()];
        let tls = tls::server(&identity, ClientAuth::Optional, &domains, &[b"h2"]).unwrap();
        let service = CertificateService::new(mesh.ca.clone(), tokens.clone(), &metrics);
        let address = listener.local_addr().unwrap();
        let router = grpc::server().add_service(service);
        let served = metrics.clone();
        tokio::spawn(async move {
            grpc::serve(listener, tls, &served, router, std::future::pending()).await.unwrap();
        });
        Self { mesh, tokens, metrics, address }
    }

    fn token(&self, service_account: &str) -> String {
        self.tokens.issue("shop", service_account, CA_AUDIENCE, HOUR).unwrap()
    }

    /// Expired longer ago than clocks may differ.
    fn expired_token(&self) -> String {
        let key = std::fs::read_to_string(self.mesh.state().join(token::KEY_FILE)).unwrap();
        let key = KeyPair::from_pem(&key).unwrap();
        let claims = serde_json::json!({
            "iss": "meltemi", "aud": CA_AUDIENCE, "sub": "system:serviceaccount:shop:catalog",
            "exp": jsonwebtoken::get_current_timestamp() - 62,
        });
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        let key = jsonwebtoken::EncodingKey::from_ec_der(key.serialized_der());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    fn token_file(&self, service_account: &str) -> PathBuf {
        let path = self.mesh.dir.path().join(format!("{service_account}.token"));
        std::fs::write(&path, self.token(service_account)).unwrap();
        path
    }

    fn options(&self, token_path: Option<PathBuf>) -> ClientOptions {
        ClientOptions {
            address: self.address.to_string(),
            server_name: CA_NAME.to_owned(),
            roots: Roots::Pem(self.mesh.ca.roots_pem().to_owned()),
            token_path,
            ttl: HOUR,
            expected: None,
            mark: None,
        }
    }

    /// Asks for a certificate with a given header and nothing else.
    async fn ask(&self, token: Option<&str>, message: CertificateRequest) -> Result<Vec<String>, Status> {
        let roots = Roots::Pem(self.mesh.ca.roots_pem().to_owned());
        let tls = tls::simple_client(&roots, &[], &[b"h2"]).unwrap();
        self.ask_over(tls, token, message).await
    }

    async fn ask_over(
        &self,
        tls: Arc<rustls::ClientConfig>,
        token: Option<&str>,
        message: CertificateRequest,
    ) -> Result<Vec<String>, Status> {
        let channel = grpc::connect(self.address.to_string(), tls, CA_NAME, None).await.unwrap();
        let mut request = Request::new(message);
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token.parse().unwrap());
        }
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let answer: tonic::Response<CertificateResponse> =
            client.unary(request, CREATE_CERTIFICATE.parse().unwrap(), ProstCodec::default()).await?;
        Ok(answer.into_inner().cert_chain)
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.text().lines().any(|l| l == line)
    }
}

fn csr() -> CertificateRequest {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    CertificateRequest { csr, validity_duration: 60, metadata: None }
}

#[tokio::test]
async fn a_workload_gets_its_identity_and_meets_the_control_plane_with_it() {
    let plane = ControlPlane::start().await;
    let identity = Identity::empty();
    let mut options = plane.options(Some(plane.token_file("catalog")));
    options.expected = Some(workload("catalog"));
    let running = identity.clone();
    let metrics = record::Metrics::new();
    let seen = metrics.clone();
    tokio::spawn(async move { client::run(options, running, &metrics).await });
    let credentials = timeout(Duration::from_secs(10), identity.ready()).await.unwrap();
    assert_eq!(credentials.id(), &workload("catalog"));
    assert!(seen.text().contains("meltemi_identity_renewals_total 1"));
    assert!(plane.counted("citadel_server_success_cert_issuance_count 1"));

    let control_plane = "spiffe://cluster.local/ns/meltemi-system/sa/meltemi".to_owned();
    let tls = tls::client(&identity, PeerNames::Exact(vec![control_plane]), &[b"h2"]).unwrap();
    let chain = plane.ask_over(tls, None, csr()).await.unwrap();
    let key = credentials.key_pem();
    let error = citadel::Credentials::from_pem(&chain[0], &key, &chain[1]).unwrap_err();
    assert!(error.to_string().contains("does not fit"), "a certificate alone proves identity: {error}");
}

#[tokio::test]
async fn certificates_are_renewed_at_half_of_their_life() {
    let plane = ControlPlane::start().await;
    let identity = Identity::empty();
    let mut options = plane.options(Some(plane.token_file("catalog")));
    options.ttl = Duration::from_secs(3);
    let running = identity.clone();
    tokio::spawn(async move { client::run(options, running, &record::Metrics::new()).await });
    let mut changes = identity.changes();
    let started = std::time::Instant::now();
    let mut keys = Vec::new();
    while keys.len() < 3 {
        timeout(Duration::from_secs(10), changes.changed()).await.unwrap().unwrap();
        let credentials = changes.borrow_and_update().clone().unwrap();
        assert!(identity.usable().is_ok(), "renewed too late");
        keys.push(credentials.key_pem());
    }
    // Two renewals, each at half of at most 3 s and at least the 2 s that whole seconds leave.
    let took = started.elapsed();
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(6), "{took:?}");
    assert!(keys[0] != keys[1] && keys[1] != keys[2], "each certificate has a key of its own");
}

#[tokio::test]
async fn a_good_certificate_renews_itself_without_a_token_or_with_a_stale_one() {
    let plane = ControlPlane::start().await;
    let stale = plane.mesh.dir.path().join("stale.token");
    std::fs::write(&stale, "stale").unwrap();
    for token_path in [None, Some(stale)] {
        let identity = plane.mesh.identity("catalog");
        let mut changes = identity.changes();
        let options = plane.options(token_path);
        let running = identity.clone();
        tokio::spawn(async move { client::run(options, running, &record::Metrics::new()).await });
        timeout(Duration::from_secs(10), changes.changed()).await.unwrap().unwrap();
        assert_eq!(identity.current().unwrap().id(), &workload("catalog"));
    }
}

/// A CA that does not know the root of a certificate closes the connection before it looks at the token.
#[tokio::test]
async fn a_client_whose_certificate_is_refused_renews_by_its_token() {
    let plane = ControlPlane::start().await;
    let identity = Mesh::new().identity("catalog");
    let mut changes = identity.changes();
    let (running, options) = (identity.clone(), plane.options(Some(plane.token_file("catalog"))));
    tokio::spawn(async move { client::run(options, running, &record::Metrics::new()).await });
    timeout(Duration::from_secs(10), changes.changed()).await.expect("it shows the old one again and again").unwrap();
    let renewed = identity.current().unwrap();
    assert_eq!(renewed.id(), &workload("catalog"));
    assert_eq!(renewed.roots_pem(), plane.mesh.ca.roots_pem());
    renewed.verify_chain().unwrap();
}

#[tokio::test]
async fn a_client_waits_for_a_ca_that_is_not_there_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mesh = Mesh::new();
    let tokens = TokenIssuer::load_or_create(&mesh.state()).unwrap();
    let token_path = mesh.dir.path().join("token");
    let token = tokens.issue("shop", "catalog", CA_AUDIENCE, HOUR).unwrap();
    std::fs::write(&token_path, token).unwrap();
    let options = ClientOptions {
        address: address.to_string(),
        server_name: CA_NAME.to_owned(),
        roots: Roots::Pem(mesh.ca.roots_pem().to_owned()),
        token_path: Some(token_path),
        ttl: HOUR,
        expected: None,
        mark: None,
    };
    let (identity, metrics) = (Identity::empty(), record::Metrics::new());
    let (running, seen) = (identity.clone(), metrics.clone());
    tokio::spawn(async move { client::run(options, running, &metrics).await });
    let failed = async {
        while !seen.text().contains("meltemi_identity_renewal_failures_total 1") {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), failed).await.unwrap();
    assert!(identity.current().is_none());
    let _plane = ControlPlane::start_on(TcpListener::bind(address).await.unwrap(), mesh);
    let credentials = timeout(Duration::from_secs(10), identity.ready()).await.unwrap();
    assert_eq!(credentials.id(), &workload("catalog"));
}

#[tokio::test]
async fn a_root_that_is_added_to_the_file_is_trusted_long_before_the_renewal() {
    let plane = ControlPlane::start().await;
    let file = plane.mesh.dir.path().join("roots.pem");
    std::fs::write(&file, plane.mesh.ca.roots_pem()).unwrap();
    let mut options = plane.options(Some(plane.token_file("catalog")));
    options.roots = Roots::File(file.clone());
    let identity = Identity::empty();
    let running = identity.clone();
    tokio::spawn(async move { client::run(options, running, &record::Metrics::new()).await });
    let before = timeout(Duration::from_secs(10), identity.ready()).await.unwrap();
    assert_eq!(before.roots().len(), 1);

    let mut changes = identity.changes();
    let added = Mesh::new();
    std::fs::write(&file, format!("{}{}", plane.mesh.ca.roots_pem(), added.ca.roots_pem())).unwrap();
    tokio::time::pause();
    timeout(Duration::from_secs(30), changes.changed()).await.expect("it waits for the renewal").unwrap();
    let after = identity.current().unwrap();
    assert_eq!(after.roots().len(), 2);
    assert_eq!(after.chain(), before.chain(), "the certificate is the same");
    after.verify_chain().unwrap();
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_not_taken() {
    let plane = ControlPlane::start().await;
    let mut options = plane.options(Some(plane.token_file("catalog")));
    options.expected = Some(workload("frontend"));
    let (identity, metrics) = (Identity::empty(), record::Metrics::new());
    let (running, seen) = (identity.clone(), metrics.clone());
    tokio::spawn(async move { client::run(options, running, &metrics).await });
    let failed = async {
        while !seen.text().contains("meltemi_identity_renewal_failures_total 1") {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), failed).await.unwrap();
    assert!(identity.current().is_none());
}

#[tokio::test]
async fn callers_without_good_proof_are_refused_and_counted() {
    let plane = ControlPlane::start().await;
    let other = plane.tokens.issue("shop", "catalog", "api", HOUR).unwrap();
    let stranger = Mesh::new();
    let strange = TokenIssuer::load_or_create(&stranger.state()).unwrap();
    let forged = strange.issue("shop", "catalog", CA_AUDIENCE, HOUR).unwrap();
    let evil = plane.tokens.issue("shop/sa/x", "catalog", CA_AUDIENCE, HOUR).unwrap();
    for (header, reason) in [
        (None, "no_proof"),
        (Some("Bearer garbage".to_owned()), "token_malformed"),
        (Some("Basic dXNlcjpwYXNz".to_owned()), "token_malformed"),
        (Some(format!("Bearer {}", plane.expired_token())), "token_expired"),
        (Some(format!("Bearer {other}")), "token_audience"),
        (Some(format!("Bearer {forged}")), "token_signature"),
        (Some(format!("Bearer {evil}")), "token_subject"),
    ] {
        let status = plane.ask(header.as_deref(), csr()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{reason}: {status}");
        let line = format!("citadel_server_refusals_total{{reason=\"{reason}\"}}");
        assert!(plane.metrics.text().contains(&line), "{line}");
    }
    assert!(plane.counted("citadel_server_csr_count 7"));
    assert!(!plane.metrics.text().contains("citadel_server_success_cert_issuance_count 1"));
}

#[tokio::test]
async fn a_bad_token_is_not_papered_over_by_a_good_certificate() {
    let plane = ControlPlane::start().await;
    let tls = tls::client(&plane.mesh.identity("catalog"), PeerNames::Any, &[b"h2"]).unwrap();
    let status = plane.ask_over(tls, Some("Bearer garbage"), csr()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn bad_requests_are_refused_and_counted() {
    let plane = ControlPlane::start().await;
    let header = format!("Bearer {}", plane.token("catalog"));
    for (csr_text, reason) in [
        ("garbage".to_owned(), "csr_malformed"),
        ("x".repeat(1024 * 1024), "csr_too_large"),
        (include_str!("requests/rsa-1024.pem").to_owned(), "csr_weak_key"),
    ] {
        let message = CertificateRequest { csr: csr_text, ..csr() };
        let status = plane.ask(Some(&header), message).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(plane.counted(&format!("citadel_server_refusals_total{{reason=\"{reason}\"}} 1")));
    }
    plane.ask(Some(&header), csr()).await.expect("the service goes on");
}

#[tokio::test]
async fn nobody_may_ask_on_behalf_of_another() {
    let plane = ControlPlane::start().await;
    let header = format!("Bearer {}", plane.token("catalog"));
    let wanted = |id: &str| {
        let value = Value { kind: Some(Kind::StringValue(id.to_owned())) };
        let fields = [("ImpersonatedIdentity".to_owned(), value)].into_iter().collect();
        CertificateRequest { metadata: Some(Struct { fields }), ..csr() }
    };
    let status = plane.ask(Some(&header), wanted(workload("admin").as_str())).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(plane.counted("citadel_server_refusals_total{reason=\"impersonation\"} 1"));
    plane.ask(Some(&header), wanted("")).await.unwrap();
}

#[tokio::test]
async fn silent_clients_and_garbage_hold_up_nobody() {
    let plane = ControlPlane::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(plane.address).await.unwrap());
    }
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 0xff, 0xff, 1]] {
        let mut stream = TcpStream::connect(plane.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, garbage).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        let mut rest = Vec::new();
        // Closed or reset, but not left hanging.
        let _ = timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await.unwrap();
    }
    let header = format!("Bearer {}", plane.token("catalog"));
    let asked = timeout(Duration::from_secs(2), plane.ask(Some(&header), csr())).await;
    asked.expect("the silent ones are in the way").unwrap();
    assert!(plane.metrics.text().contains("meltemi_control_plane_handshake_failures_total{reason=\"not_tls\"}"));
}

#[tokio::test]
async fn the_control_planes_own_certificate_is_renewed_in_place() {
    let mesh = Mesh::new();
    let names = ServerNames { id: workload("meltemi"), dns: vec![CA_NAME.to_owned()], ttl: Duration::from_secs(2) };
    let (identity, renewal) = own::server_identity(mesh.ca.clone(), names).unwrap();
    let first = identity.current().unwrap().chain_pem();
    let mut changes = identity.changes();
    let renewed = async {
        tokio::select! {
            () = renewal => unreachable!("the renewal never ends"),
            changed = changes.changed() => changed.unwrap(),
        }
    };
    timeout(Duration::from_secs(10), renewed).await.unwrap();
    assert_ne!(identity.current().unwrap().chain_pem(), first);
    assert!(identity.usable().is_ok());
}

#[tokio::test]
async fn a_channel_survives_a_control_plane_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mesh = Mesh::new();
    let tls = tls::simple_client(&Roots::Pem(mesh.ca.roots_pem().to_owned()), &[], &[b"h2"]).unwrap();
    let error = grpc::connect(address.clone(), tls.clone(), CA_NAME, None).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains(CA_NAME) && text.contains("refused"), "{text}");
    assert!(grpc::channel(address, tls, CA_NAME, None).is_ok());
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_does_so_under_open_connections() {
    let mesh = Mesh::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tokens = Arc::new(TokenIssuer::load_or_create(&mesh.state()).unwrap());
    let metrics = record::Metrics::new();
    let router = grpc::server().add_service(CertificateService::new(mesh.ca.clone(), tokens, &metrics));
    let domains = [TrustDomain::default()];
    let identity = mesh.identity("meltemi");
    let tls = tls::server(&identity, ClientAuth::Required, &domains, &[b"h2"]).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stopped = async move { stopped.await.unwrap() };
        grpc::serve(listener, tls, &metrics, router, stopped).await
    });
    let tls = tls::client(&identity, PeerNames::Any, &[b"h2"]).unwrap();
    let _open = grpc::connect(address, tls, CA_NAME, None).await.unwrap();
    stop.send(()).unwrap();
    timeout(Duration::from_secs(8), serving).await.unwrap().unwrap().unwrap();
}
