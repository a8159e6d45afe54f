//! Tokens checked by a (fake) API server, through the CA's gRPC service.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake_api;
mod mesh;

use std::time::Duration;

use citadel::SpiffeId;
use citadel::api::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};
use citadel::grpc::PeerInfo;
use citadel::kubernetes::TokenReviewer;
use citadel::server::CertificateService;
use fake_api::{FakeApi, Mood};
use jsonwebtoken::{EncodingKey, Header};
use mesh::{Mesh, workload};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const REVIEWS: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";

struct Plane {
    api: FakeApi,
    service: CertificateService,
    metrics: record::Metrics,
}

impl Plane {
    fn new() -> Self {
        let (api, metrics) = (FakeApi::new(), record::Metrics::new());
        let reviewer = TokenReviewer::new(api.client(), &metrics);
        let service = CertificateService::new(Mesh::new().ca, reviewer, &metrics);
        Self { api, service, metrics }
    }

    /// An API server that takes every token for this account's.
    fn vouching_for(account: &str) -> Self {
        let (plane, answer) = (Self::new(), good(account));
        plane.api.review(move |_| answer.clone());
        plane
    }

    /// The id in the certificate that comes back.
    async fn ask(&self, token: &str, peer: Option<SpiffeId>) -> Result<String, Status> {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let mut request = Request::new(CertificateRequest { csr, validity_duration: 60, metadata: None });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request.extensions_mut().insert(PeerInfo { id: peer, remote: "10.0.0.9:4711".parse().unwrap() });
        let mut client = tonic::client::Grpc::new(self.service.clone());
        client.ready().await.unwrap();
        let answer: tonic::Response<CertificateResponse> =
            client.unary(request, CREATE_CERTIFICATE.parse().unwrap(), ProstCodec::default()).await?;
        Ok(id(&answer.into_inner().cert_chain[0]))
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.text().lines().any(|l| l == line)
    }
}

fn id(pem: &str) -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&pem.contents).unwrap();
    match leaf.subject_alternative_name().unwrap().unwrap().value.general_names.as_slice() {
        [GeneralName::URI(uri)] => (*uri).to_owned(),
        other => panic!("{other:?}"),
    }
}

fn good(account: &str) -> Value {
    json!({
        "authenticated": true, "audiences": ["istio-ca"],
        "user": { "username": account, "extra": { "authentication.kubernetes.io/pod-name": ["catalog-1"] } },
    })
}

fn token_with(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(b"nobody checks it here")).unwrap()
}

fn token_for(account: &str) -> String {
    let end = jsonwebtoken::get_current_timestamp() + 3600;
    token_with(&json!({ "sub": format!("system:serviceaccount:{account}"), "aud": ["istio-ca"], "exp": end }))
}

#[tokio::test]
async fn the_account_that_the_api_server_names_is_in_the_certificate() {
    let plane = Plane::new();
    let token = token_for("shop:catalog");
    let sent = token.clone();
    plane.api.review(move |spec| {
        assert_eq!(spec, &json!({ "token": sent, "audiences": ["istio-ca"] }));
        good("system:serviceaccount:shop:catalog")
    });
    assert_eq!(plane.ask(&token, None).await.unwrap(), "spiffe://cluster.local/ns/shop/sa/catalog");
    assert!(plane.counted("meltemi_ca_token_reviews_total{result=\"accepted\"} 1"));
    assert!(plane.counted("meltemi_ca_token_review_duration_seconds_count 1"));
}

#[tokio::test]
async fn what_the_api_server_does_not_vouch_for_is_refused_with_its_reason() {
    let account = "system:serviceaccount:shop:catalog";
    for (status, reason, text) in [
        (json!({ "authenticated": false, "error": "pod is gone" }), "token_refused", "pod is gone"),
        (json!({}), "token_refused", "gives no reason"),
        (json!({ "authenticated": true, "user": { "username": account } }), "token_audience", "istio-ca"),
        (
            json!({ "authenticated": true, "audiences": ["api"], "user": { "username": account } }),
            "token_audience",
            "istio-ca",
        ),
        (good("kubernetes-admin"), "token_subject", "kubernetes-admin"),
        (good("system:serviceaccount:shop:"), "token_subject", "no service account"),
        (good("system:serviceaccount:shop:a/b"), "token_subject", "cannot be an identity"),
        (json!({ "authenticated": true, "audiences": ["istio-ca"] }), "token_subject", "no service account"),
    ] {
        let plane = Plane::new();
        plane.api.review(move |_| status.clone());
        let refused = plane.ask(&token_for("shop:catalog"), Some(workload("catalog"))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains(text), "{refused}");
        assert!(plane.counted(&format!("citadel_server_refusals_total{{reason=\"{reason}\"}} 1")), "{reason}");
    }
}

#[tokio::test]
async fn what_could_never_be_accepted_does_not_cost_the_api_server_a_review() {
    let sub = "system:serviceaccount:shop:catalog";
    let now = jsonwebtoken::get_current_timestamp();
    for (token, reason) in [
        ("garbage".to_owned(), "token_malformed"),
        ("a.b.c".to_owned(), "token_malformed"),
        (format!("{}{}", token_for("shop:catalog"), "x".repeat(17 * 1024)), "token_malformed"),
        (token_with(&json!({ "sub": sub, "aud": ["istio-ca"] })), "token_malformed"),
        (token_with(&json!({ "sub": sub, "aud": ["istio-ca"], "exp": now - 62 })), "token_expired"),
        (
            token_with(&json!({ "sub": sub, "aud": ["https://kubernetes.default.svc"], "exp": now + 60 })),
            "token_audience",
        ),
        (token_with(&json!({ "sub": sub, "exp": now + 60 })), "token_audience"),
    ] {
        let plane = Plane::vouching_for(sub);
        let refused = plane.ask(&token, None).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(
            plane.counted(&format!("citadel_server_refusals_total{{reason=\"{reason}\"}} 1")),
            "{reason}: {refused}"
        );
        assert_eq!(plane.api.calls(REVIEWS), 0, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_a_proxy_is_told_to_come_back() {
    for (mood, text) in [
        (Mood::Away, "cannot be reached"),
        (Mood::Silent, "no answer of the API server within 5s"),
        (Mood::Forbidding, "RBAC"),
    ] {
        let plane = Plane::vouching_for("system:serviceaccount:shop:catalog");
        plane.api.mood(mood);
        let started = tokio::time::Instant::now();
        let refused = plane.ask(&token_for("shop:catalog"), None).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert!(refused.message().contains(text), "{refused}");
        assert!(started.elapsed() <= Duration::from_secs(5));
        assert!(plane.counted("citadel_server_refusals_total{reason=\"token_review_unavailable\"} 1"));
        assert!(plane.counted("meltemi_ca_token_reviews_total{result=\"unavailable\"} 1"));
        plane.api.mood(Mood::Well);
        plane.ask(&token_for("shop:catalog"), None).await.expect("that nobody answered is not remembered");
    }
}

#[tokio::test]
async fn without_the_api_server_a_good_certificate_of_the_same_account_is_renewed() {
    let plane = Plane::vouching_for("system:serviceaccount:shop:catalog");
    plane.api.mood(Mood::Away);
    let token = token_for("shop:catalog");
    assert_eq!(plane.ask(&token, Some(workload("catalog"))).await.unwrap(), workload("catalog").as_str());
    let other = plane.ask(&token, Some(workload("frontend"))).await.unwrap_err();
    assert_eq!(other.code(), Code::Unavailable, "token and certificate disagree");
    let foreign = "spiffe://other.example/ns/shop/sa/catalog".parse().unwrap();
    assert_eq!(plane.ask(&token, Some(foreign)).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn the_same_token_is_not_asked_about_again_for_ten_seconds() {
    let plane = Plane::vouching_for("system:serviceaccount:shop:catalog");
    let token = token_for("shop:catalog");
    for _ in 0..3 {
        plane.ask(&token, None).await.unwrap();
    }
    assert_eq!(plane.api.calls(REVIEWS), 1);
    assert!(plane.counted("meltemi_ca_token_reviews_total{result=\"cached\"} 2"));
    plane.api.review(|_| json!({ "authenticated": false, "error": "pod is gone" }));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(plane.ask(&token, None).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_proxies_is_let_through_to_the_api_server_in_small_groups() {
    let plane = Plane::vouching_for("system:serviceaccount:shop:catalog");
    plane.api.mood(Mood::Silent);
    let tokens: Vec<String> = (0..100).map(|number| token_for(&format!("shop:account-{number}"))).collect();
    let asked = futures::future::join_all(tokens.iter().map(|token| plane.ask(token, None)));
    let started = tokio::time::Instant::now();
    let answers = asked.await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap_err().code() == Code::Unavailable));
    assert_eq!(started.elapsed().as_secs(), 5, "nobody waits longer than one deadline");
    assert_eq!(plane.api.calls(REVIEWS), 32);
}
