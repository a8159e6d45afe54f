//! The certificate authority: its files, and what it signs for which requests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mesh;

use std::time::{Duration, SystemTime};

use citadel::ca::{self, CertificateAuthority};
use citadel::{Credentials, TrustDomain};
use mesh::{Mesh, workload};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

fn load(mesh: &Mesh) -> Result<CertificateAuthority, String> {
    CertificateAuthority::load_or_create(&mesh.state(), TrustDomain::default()).map_err(|e| e.to_string())
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn honest_csr() -> (KeyPair, String) {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    (key, csr)
}

fn life(leaf: &CertificateDer<'_>) -> (i64, i64) {
    let (_, leaf) = X509Certificate::from_der(leaf).unwrap();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let validity = leaf.validity();
    (validity.not_before.timestamp() - now, validity.not_after.timestamp() - now)
}

#[test]
fn the_root_is_kept_where_only_its_owner_can_read_it() {
    let mesh = Mesh::new();
    assert_eq!(mesh::mode(&mesh.state()), 0o700);
    assert_eq!(mesh::mode(&mesh.state().join(ca::KEY_FILE)), 0o600);
    let again = load(&mesh).unwrap();
    assert_eq!(again.roots_pem(), mesh.ca.roots_pem());

    let (key, csr) = honest_csr();
    let chain = again.sign_workload(&csr, &workload("catalog"), mesh::HOUR).unwrap();
    let credentials = Credentials::from_pem(&chain[0], &key.serialize_pem(), mesh.ca.roots_pem()).unwrap();
    credentials.verify_chain().unwrap();
}

#[test]
fn the_root_is_an_authority_for_ten_years() {
    let mesh = Mesh::new();
    let root = der(mesh.ca.roots_pem());
    let (_, parsed) = X509Certificate::from_der(&root).unwrap();
    assert!(parsed.is_ca());
    let ten_years = 10 * 365 * 24 * 3600;
    assert!((ten_years - 10..=ten_years).contains(&life(&root).1));
}

#[test]
fn a_key_that_others_could_read_is_refused_with_a_remedy() {
    let mesh = Mesh::new();
    let key = mesh.state().join(ca::KEY_FILE);
    for mode in [0o640, 0o604, 0o660, 0o777] {
        mesh::set_mode(&key, mode);
        let error = load(&mesh).unwrap_err();
        assert!(error.contains(&format!("{mode:04o}")), "{error}");
        assert!(error.contains(&format!("chmod 600 {}", key.display())), "{error}");
    }
    mesh::set_mode(&key, 0o400);
    load(&mesh).unwrap();
}

#[test]
fn a_directory_that_others_can_write_is_refused_with_a_remedy() {
    let mesh = Mesh::new();
    let sticky = 0o1777;
    for mode in [0o770, 0o777, sticky] {
        mesh::set_mode(&mesh.state(), mode);
        let error = load(&mesh).unwrap_err();
        assert!(error.contains(&format!("{mode:04o}")) && error.contains("chmod 700"), "{error}");
    }
}

#[test]
fn a_lost_root_certificate_is_made_anew_for_the_same_key() {
    let mesh = Mesh::new();
    let (key, csr) = honest_csr();
    let chain = mesh.ca.sign_workload(&csr, &workload("catalog"), mesh::HOUR).unwrap();
    std::fs::remove_file(mesh.state().join(ca::ROOT_FILE)).unwrap();

    let again = load(&mesh).unwrap();
    let old_leaf = Credentials::from_pem(&chain[0], &key.serialize_pem(), again.roots_pem()).unwrap();
    old_leaf.verify_chain().unwrap();
}

#[test]
fn a_root_without_its_key_is_refused_instead_of_replaced() {
    let mesh = Mesh::new();
    let root = std::fs::read(mesh.state().join(ca::ROOT_FILE)).unwrap();
    std::fs::remove_file(mesh.state().join(ca::KEY_FILE)).unwrap();
    let error = load(&mesh).unwrap_err();
    assert!(error.contains("ca-key.pem is missing"), "{error}");
    assert_eq!(std::fs::read(mesh.state().join(ca::ROOT_FILE)).unwrap(), root);

    let other = Mesh::new();
    std::fs::copy(other.state().join(ca::KEY_FILE), mesh.state().join(ca::KEY_FILE)).unwrap();
    let error = load(&mesh).unwrap_err();
    assert!(error.contains("ca-key.pem is not its private key"), "{error}");
}

#[test]
fn a_request_for_somebody_elses_identity_gets_its_own() {
    let mesh = Mesh::new();
    let key = KeyPair::generate().unwrap();
    let mut wanted = CertificateParams::new(vec!["bank.example".to_owned()]).unwrap();
    wanted.subject_alt_names.push(mesh::uri(workload("admin").as_str()));
    wanted.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 1].into()));
    wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    wanted.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]));
    let csr = wanted.serialize_request(&key).unwrap().pem().unwrap();

    let chain = mesh.ca.sign_workload(&csr, &workload("catalog"), mesh::HOUR).unwrap();
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1], mesh.ca.roots_pem());
    let leaf = der(&chain[0]);
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::URI("spiffe://cluster.local/ns/shop/sa/catalog")]);
    assert!(names.critical, "an empty subject makes the names critical, RFC 5280 section 4.1.2.6");
    assert_eq!(leaf.subject().iter().count(), 0);
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    assert!(!leaf.key_usage().unwrap().unwrap().value.key_cert_sign());
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.code_signing);
    assert!(leaf.iter_extensions().all(|e| e.oid.to_id_string() != "1.2.3.4"));
}

#[test]
fn serial_numbers_differ_for_the_same_key() {
    let mesh = Mesh::new();
    let (_, csr) = honest_csr();
    let serial = || {
        let chain = mesh.ca.sign_workload(&csr, &workload("catalog"), mesh::HOUR).unwrap();
        X509Certificate::from_der(&der(&chain[0])).unwrap().1.raw_serial().to_vec()
    };
    assert_ne!(serial(), serial());
}

#[test]
fn lives_start_five_minutes_ago_and_are_capped() {
    let mesh = Mesh::new();
    let (_, csr) = honest_csr();
    let signed = |ttl: Duration| {
        let chain = mesh.ca.sign_workload(&csr, &workload("catalog"), ttl).unwrap();
        life(&der(&chain[0]))
    };
    let day = 24 * 3600;
    for (asked, given) in [(10, 10), (3600, 3600), (0, day), (30 * day, day), (i64::MAX, day)] {
        let (start, end) = signed(Duration::from_secs(asked.unsigned_abs()));
        assert!((-302..=-300).contains(&start), "started {start}");
        assert!((given - 2..=given).contains(&end), "asked for {asked}, got {end}");
    }
}

#[test]
fn no_certificate_outlives_the_root() {
    let mesh = Mesh::new();
    let key = std::fs::read_to_string(mesh.state().join(ca::KEY_FILE)).unwrap();
    let key = KeyPair::from_pem(&key).unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let write = |root: &CertificateParams| {
        std::fs::write(mesh.state().join(ca::ROOT_FILE), root.self_signed(&key).unwrap().pem()).unwrap();
    };
    let now = time::OffsetDateTime::now_utc();
    root.not_after = now + Duration::from_secs(600);
    write(&root);
    let (_, csr) = honest_csr();
    let chain = load(&mesh).unwrap().sign_workload(&csr, &workload("catalog"), mesh::HOUR).unwrap();
    assert!((598..=600).contains(&life(&der(&chain[0])).1));

    root.not_after = now - Duration::from_secs(1);
    write(&root);
    let error = load(&mesh).unwrap().sign_workload(&csr, &workload("catalog"), mesh::HOUR).unwrap_err();
    assert!(error.to_string().contains("root certificate has expired"), "{error}");
}

#[test]
fn another_trust_domain_is_not_signed_for() {
    let mesh = Mesh::new();
    let (_, csr) = honest_csr();
    let stranger = "spiffe://other.example/ns/shop/sa/catalog".parse().unwrap();
    let error = mesh.ca.sign_workload(&csr, &stranger, mesh::HOUR).unwrap_err().to_string();
    assert!(error.contains("other.example") && error.contains("cluster.local"), "{error}");
}

#[test]
fn requests_of_common_tools_are_signed() {
    let mesh = Mesh::new();
    for csr in [include_str!("requests/rsa-2048.pem"), include_str!("requests/secp384r1.pem")] {
        let chain = mesh.ca.sign_workload(csr, &workload("catalog"), mesh::HOUR).unwrap();
        let leaf = der(&chain[0]);
        rustls::server::ParsedCertificate::try_from(&leaf).unwrap();
    }
}

#[test]
fn bad_requests_are_refused_for_their_reason() {
    let mesh = Mesh::new();
    let (_, good) = honest_csr();
    let oversize = format!("{good}{}", "\n".repeat(1024 * 1024));
    let not_a_csr = good.replace("CERTIFICATE REQUEST", "CERTIFICATE");
    for (csr, reason, text) in [
        ("", "csr_malformed", "no PKCS #10"),
        ("garbage", "csr_malformed", "no PKCS #10"),
        (not_a_csr.as_str(), "csr_malformed", "no PKCS #10"),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "csr_malformed",
            "no PKCS #10",
        ),
        (oversize.as_str(), "csr_too_large", "at most 65536"),
        (include_str!("requests/rsa-1024.pem"), "csr_weak_key", "RSA of 1024 bits"),
        (include_str!("requests/secp224r1.pem"), "csr_weak_key", "elliptic curve 1.3.132.0.33"),
        (include_str!("requests/secp256k1.pem"), "csr_weak_key", "elliptic curve 1.3.132.0.10"),
        (include_str!("requests/secp521r1.pem"), "csr_weak_key", "elliptic curve 1.3.132.0.35"),
        (include_str!("requests/ed25519.pem"), "csr_weak_key", "1.3.101.112"),
    ] {
        refused(&mesh, csr, reason, text);
    }
}

#[test]
fn a_request_whose_sender_does_not_hold_the_key_is_refused() {
    let mesh = Mesh::new();
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    let mut bytes = csr.der().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let pem = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", bytes));
    refused(&mesh, &pem, "csr_signature", "signature");
}

#[test]
fn a_truncated_or_extended_request_is_refused() {
    let mesh = Mesh::new();
    let csr = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let mut longer = csr.der().to_vec();
    longer.push(0);
    for length in [1, 10, 100, longer.len() - 2, longer.len()] {
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", &longer[..length]));
        refused(&mesh, &pem, "csr_malformed", "no PKCS #10");
    }
}

fn refused(mesh: &Mesh, csr: &str, reason: &str, text: &str) {
    let error = mesh.ca.sign_workload(csr, &workload("catalog"), mesh::HOUR).unwrap_err();
    assert!(error.to_string().contains(text), "{error}");
    let ca::CaError::Csr(error) = error else { panic!("{error}") };
    assert_eq!(error.reason(), reason);
}

#[test]
fn credentials_can_be_handed_on_as_pem() {
    let mesh = Mesh::new();
    let made = mesh.ca.sign_server(&["ca.mesh.svc"], &workload("catalog"), mesh::HOUR).unwrap();
    let read = Credentials::from_pem(&made.chain_pem(), &made.key_pem(), &made.roots_pem()).unwrap();
    assert_eq!(read.id(), &workload("catalog"));
    assert_eq!(read.chain(), made.chain());
    assert_eq!(read.not_after(), made.not_after());
    assert!(read.not_before() < SystemTime::now());
    assert!(!format!("{read:?}").contains("PRIVATE"));
}

#[test]
fn credentials_need_a_key_that_fits() {
    let mesh = Mesh::new();
    let one = mesh.ca.sign_server(&[], &workload("catalog"), mesh::HOUR).unwrap();
    let other = mesh.ca.sign_server(&[], &workload("catalog"), mesh::HOUR).unwrap();
    let error = Credentials::from_pem(&one.chain_pem(), &other.key_pem(), &one.roots_pem());
    assert!(error.unwrap_err().to_string().contains("does not fit"));
    assert!(Credentials::from_pem("", &one.key_pem(), &one.roots_pem()).is_err());
}
