//! Tokens: what is issued is accepted, and nothing else is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mesh;

use std::time::Duration;

use citadel::token::{self, CA_AUDIENCE, TokenIssuer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde::Serialize;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Serialize, Clone)]
struct Claims {
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'static str>,
    sub: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
}

struct Issuer {
    dir: tempfile::TempDir,
    tokens: TokenIssuer,
}

impl Issuer {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tokens = TokenIssuer::load_or_create(&dir.path().join("state")).unwrap();
        Self { dir, tokens }
    }

    fn key(&self) -> KeyPair {
        let file = self.dir.path().join("state").join(token::KEY_FILE);
        KeyPair::from_pem(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    fn sign(&self, claims: &Claims) -> String {
        let key = EncodingKey::from_ec_der(self.key().serialized_der());
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
    }

    fn refused(&self, token: &str, reason: &str) {
        let error = self.tokens.verify(token).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
    }
}

fn good() -> Claims {
    let now = jsonwebtoken::get_current_timestamp().cast_signed();
    Claims {
        iss: Some("meltemi"),
        sub: "system:serviceaccount:shop:catalog",
        aud: Some(CA_AUDIENCE),
        exp: Some(now + 60),
        nbf: Some(now),
    }
}

#[test]
fn a_token_names_its_service_account_also_after_a_restart() {
    let issuer = Issuer::new();
    assert_eq!(mesh::mode(&issuer.dir.path().join("state").join(token::KEY_FILE)), 0o600);
    let token = issuer.tokens.issue("shop", "catalog", CA_AUDIENCE, MINUTE).unwrap();
    let again = TokenIssuer::load_or_create(&issuer.dir.path().join("state")).unwrap();
    let caller = again.verify(&token).unwrap();
    assert_eq!((caller.namespace.as_str(), caller.service_account.as_str()), ("shop", "catalog"));
    assert!(issuer.tokens.verify(&issuer.sign(&good())).is_ok(), "the crafted claims are fair");
}

#[test]
fn wrong_claims_are_refused_for_their_reason() {
    let issuer = Issuer::new();
    let now = jsonwebtoken::get_current_timestamp().cast_signed();
    let other = issuer.tokens.issue("shop", "catalog", "https://kubernetes.default.svc", MINUTE);
    issuer.refused(&other.unwrap(), "token_audience");
    for (claims, reason) in [
        (Claims { exp: Some(now - 62), ..good() }, "token_expired"),
        (Claims { exp: Some(0), ..good() }, "token_expired"),
        (Claims { exp: None, ..good() }, "token_malformed"),
        (Claims { nbf: Some(now + 65), ..good() }, "token_not_yet_valid"),
        (Claims { aud: None, ..good() }, "token_malformed"),
        (Claims { iss: Some("https://evil.example"), ..good() }, "token_signature"),
        (Claims { iss: None, ..good() }, "token_malformed"),
        (Claims { sub: "system:node:worker", ..good() }, "token_subject"),
        (Claims { sub: "system:serviceaccount:shop", ..good() }, "token_subject"),
        (Claims { sub: "system:serviceaccount::x", ..good() }, "token_subject"),
    ] {
        issuer.refused(&issuer.sign(&claims), reason);
    }
}

#[test]
fn clocks_may_differ_by_a_minute_and_no_more() {
    let issuer = Issuer::new();
    let now = jsonwebtoken::get_current_timestamp().cast_signed();
    let late = Claims { exp: Some(now - 50), ..good() };
    assert!(issuer.tokens.verify(&issuer.sign(&late)).is_ok());
    let early = Claims { nbf: Some(now + 50), ..good() };
    assert!(issuer.tokens.verify(&issuer.sign(&early)).is_ok());
}

#[test]
fn forged_tokens_are_refused() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    issuer.refused(&stranger.sign(&good()), "token_signature");

    let public = EncodingKey::from_secret(issuer.key().public_key_raw());
    for algorithm in [Algorithm::HS256, Algorithm::HS512] {
        let token = jsonwebtoken::encode(&Header::new(algorithm), &good(), &public).unwrap();
        issuer.refused(&token, "token_malformed");
    }
    let token = issuer.sign(&good());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let claims = head.split_once('.').unwrap().1;
    issuer.refused(&format!("{head}."), "token_signature");
    // {"alg":"none"} and {"alg":"NoNe"}
    for none in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb05lIn0"] {
        issuer.refused(&format!("{none}.{claims}."), "token_malformed");
        issuer.refused(&format!("{none}.{claims}.{signature}"), "token_malformed");
    }
    for garbage in ["", ".", "..", "a.b.c", "garbage", &format!("{token}.{token}")] {
        issuer.refused(garbage, "token_malformed");
    }
    issuer.refused(&"x".repeat(1024 * 1024), "token_malformed");
}
