//! What clients can and cannot do to the listener of the control plane with connections alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mesh;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use citadel::grpc;
use citadel::server::CertificateService;
use citadel::tls::{self, ClientAuth, PeerNames};
use citadel::token::TokenIssuer;
use citadel::{Identity, TrustDomain};
use mesh::Mesh;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "meltemi.meltemi-system.svc";
const STRANGER: &str = "127.0.0.2:0";

struct ControlPlane {
    mesh: Mesh,
    metrics: record::Metrics,
    address: SocketAddr,
}

impl ControlPlane {
    async fn start() -> Self {
        let mesh = Mesh::new();
        let metrics = record::Metrics::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let domains = [TrustDomain::default()];
        let tls = tls::server(&mesh.identity("meltemi"), ClientAuth::Optional, &domains, &[b"h2"]).unwrap();
        let tokens = Arc::new(TokenIssuer::load_or_create(&mesh.state()).unwrap());
        let router = grpc::server().add_service(CertificateService::new(mesh.ca.clone(), tokens, &metrics));
        let served = metrics.clone();
        tokio::spawn(async move {
            grpc::serve(listener, tls, &served, router, std::future::pending()).await.unwrap();
        });
        Self { mesh, metrics, address }
    }

    fn workload(&self) -> Arc<ClientConfig> {
        let identity: Identity = self.mesh.identity("catalog");
        tls::client(&identity, PeerNames::Any, &[b"h2"]).unwrap()
    }

    /// Does the handshake and then says nothing.
    async fn silent(&self, from: &str, tls: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(from.parse().unwrap()).unwrap();
        let stream = socket.connect(self.address).await?;
        TlsConnector::from(tls.clone()).connect(tls::server_name(NAME).unwrap(), stream).await
    }

    fn closed(&self, reason: &str) -> u64 {
        let line = format!("meltemi_control_plane_handshake_failures_total{{reason=\"{reason}\"}} ");
        self.metrics.text().lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
    }
}

fn stranger() -> Arc<ClientConfig> {
    let mut tls = Arc::unwrap_or_clone(mesh::anonymous(&[&rustls::version::TLS13]));
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(tls)
}

async fn closed_by_peer(mut stream: TlsStream<TcpStream>) {
    let mut rest = Vec::new();
    // With or without a goodbye, but not left open.
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn silent_clients_without_a_certificate_shut_out_nobody_else() {
    let plane = ControlPlane::start().await;
    let (tls, mut open, mut refused) = (stranger(), Vec::new(), 0);
    for _ in 0..100 {
        match plane.silent(STRANGER, &tls).await {
            Ok(stream) => open.push(stream),
            Err(_) => refused += 1,
        }
    }
    assert!((1..=64).contains(&open.len()), "{}", open.len());
    assert_eq!(plane.closed("too_many_from_address"), refused);
    let asked = grpc::connect(plane.address.to_string(), plane.workload(), NAME, None);
    timeout(Duration::from_secs(2), asked).await.expect("the strangers are in the way").unwrap();

    tokio::time::pause();
    let silent = open.len() as u64;
    for stream in open {
        closed_by_peer(stream).await;
    }
    tokio::time::resume();
    assert_eq!(plane.closed("silent"), silent);
    plane.silent(STRANGER, &tls).await.expect("there is room again");
}

#[tokio::test]
async fn workloads_behind_one_address_are_not_taken_for_strangers() {
    let plane = ControlPlane::start().await;
    let (tls, mut open) = (plane.workload(), Vec::new());
    for _ in 0..80 {
        open.push(plane.silent(STRANGER, &tls).await.unwrap());
    }
    assert_eq!(plane.closed("too_many_from_address"), 0);
}

#[tokio::test]
async fn a_client_that_starts_http2_byte_by_byte_is_closed_in_time() {
    let plane = ControlPlane::start().await;
    let mut stream = plane.silent(STRANGER, &stranger()).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    stream.write_all(&preface[..23]).await.unwrap();
    stream.flush().await.unwrap();
    // The server's settings come at once, so it has read what there was.
    stream.read_u8().await.unwrap();
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    closed_by_peer(stream).await;
    assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());
    assert_eq!(plane.closed("silent"), 1);
}
