#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Probes of applications on loopback: what the kubelet would take for healthy is healthy, and each failure says why.

use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::header::{HOST, LOCATION};
use ::http::{Request, Response};
use citadel::Identity;
use citadel::ca::CertificateAuthority;
use citadel::tls::ClientAuth;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::grpc::{HealthCheckRequest, HealthCheckResponse, ServingStatus, framed};
use super::*;

const PATH: &str = "/app-health/web/readyz";

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn probes(probe: &str) -> AppProbes {
    let declared = Declared::parse(&format!("{{\"{PATH}\": {probe}}}")).unwrap();
    AppProbes::new(&declared, Some(IpAddr::from([127, 0, 0, 1])), None)
}

async fn ask(probe: &str) -> (u16, String) {
    let outcome = probes(probe).ask(PATH, None).await.unwrap();
    (outcome.status.as_u16(), outcome.text.to_string())
}

type Answer = Response<Full<Bytes>>;

fn answer(status: u16) -> Answer {
    Response::builder().status(status).body(Full::from("nobody's business")).unwrap()
}

fn moved(location: &str) -> Answer {
    Response::builder().status(302).header(LOCATION, location).body(Full::default()).unwrap()
}

async fn serve_http1(stream: impl AsyncRead + AsyncWrite + Unpin, app: impl Fn(&Request<Incoming>) -> Answer) {
    let service = service_fn(|request| std::future::ready(Ok::<_, std::convert::Infallible>(app(&request))));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An application; its port.
async fn http_app(app: impl Fn(&Request<Incoming>) -> Answer + Clone + Send + Sync + 'static) -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let app = app.clone();
            tokio::spawn(serve_http1(stream, app));
        }
    });
    port
}

#[tokio::test]
async fn the_applications_status_is_passed_on_and_its_body_is_not() {
    let port = http_app(|request| answer(request.uri().path()[1..].parse().unwrap())).await;
    for status in [200, 204, 304, 404, 500, 503] {
        let (got, text) = ask(&format!("{{\"httpGet\": {{\"port\": {port}, \"path\": \"/{status}\"}}}}")).await;
        assert_eq!(got, status);
        assert!(!text.contains("business"), "{text}");
    }
}

#[tokio::test]
async fn the_application_hears_what_is_declared_and_who_asks() {
    let port = http_app(|request| {
        let headers = request.headers();
        let heard = request.uri() == "/a%20b?c=d"
            && headers[HOST] == "shop.example"
            && headers["x-key"] == "1"
            && headers["user-agent"] == "kube-probe/1.37"
            && !headers.contains_key("accept");
        answer(if heard { 200 } else { 400 })
    })
    .await;
    let declared = format!(
        "{{\"httpGet\": {{\"port\": {port}, \"path\": \"a b?c=d\", \"httpHeaders\": [{{\"name\": \"Host\", \"value\": \"shop.example\"}}, \
         {{\"name\": \"X-Key\", \"value\": \"1\"}}, {{\"name\": \"Accept\", \"value\": \"\"}}]}}}}"
    );
    let agent = HeaderValue::from_static("kube-probe/1.37");
    let outcome = probes(&declared).ask(PATH, Some(&agent)).await.unwrap();
    assert_eq!(outcome.status, 200, "{}", outcome.text);
}

#[tokio::test]
async fn redirects_are_followed_within_the_pod_and_taken_as_an_answer_when_they_leave_it() {
    let sick = http_app(|_| answer(500)).await;
    let port = http_app(move |request| match request.uri().path() {
        "/in/here" => moved("sick"),
        "/in/sick" => answer(501),
        "/other-port" => moved(&format!("http://127.0.0.1:{sick}/")),
        "/away" => moved("http://192.0.2.1/"),
        "/for-ever" => moved("/for-ever"),
        other => panic!("{other}"),
    })
    .await;
    for (path, status) in [("in/here", 501), ("other-port", 500), ("away", 302), ("for-ever", 503)] {
        let (got, text) = ask(&format!("{{\"httpGet\": {{\"port\": {port}, \"path\": \"/{path}\"}}}}")).await;
        assert_eq!(got, status, "{path}: {text}");
    }
}

fn identity() -> Identity {
    let state = std::env::temp_dir().join(format!("app-probes-{}", std::process::id()));
    let ca = CertificateAuthority::load_or_create(&state, Default::default()).unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    let names = citadel::own::ServerNames {
        id: "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap(),
        dns: vec!["another.example".to_owned()],
        ttl: Duration::from_secs(600),
    };
    citadel::own::server_identity(Arc::new(ca), names).unwrap().0
}

#[tokio::test]
async fn https_is_asked_whoever_has_signed_the_applications_certificate() {
    let (listener, port) = listen().await;
    let config = citadel::tls::server(&identity(), ClientAuth::Optional, &[], &[]).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve_http1(TlsAcceptor::from(config).accept(stream).await.unwrap(), |_| answer(202)).await;
    });
    let (status, text) = ask(&format!("{{\"httpGet\": {{\"port\": {port}, \"scheme\": \"HTTPS\"}}}}")).await;
    assert_eq!(status, 202, "{text}");
}

#[tokio::test]
async fn https_at_an_application_without_it_says_so() {
    let port = http_app(|_| answer(200)).await;
    let (status, text) = ask(&format!("{{\"httpGet\": {{\"port\": {port}, \"scheme\": \"HTTPS\"}}}}")).await;
    assert_eq!(status, 503);
    assert!(text.contains("HTTPS"), "{text}");
}

#[tokio::test]
async fn tcp_is_healthy_while_it_is_accepted() {
    let (listener, port) = listen().await;
    let probe = format!("{{\"tcpSocket\": {{\"port\": {port}}}}}");
    assert_eq!(ask(&probe).await.0, 200);
    drop(listener);
    let (status, text) = ask(&probe).await;
    assert_eq!(status, 503);
    assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("refused"), "{text}");
}

/// An application with a health service, whose services are named after what it says of them.
async fn grpc_app() -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(check);
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

async fn check(request: Request<Incoming>) -> Result<Answer, std::convert::Infallible> {
    use http_body_util::BodyExt;
    use prost::Message;
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let asked = HealthCheckRequest::decode(&body[5..]).unwrap().service;
    let status = match asked.as_str() {
        "" => ServingStatus::Serving,
        "resting" => ServingStatus::NotServing,
        _ => return Ok(Response::builder().header("grpc-status", "5").body(Full::default()).unwrap()),
    };
    Ok(Response::new(Full::new(framed(&HealthCheckResponse { status: status.into() }))))
}

#[tokio::test]
async fn grpc_is_healthy_when_its_health_service_says_so() {
    let port = grpc_app().await;
    for (service, status, said) in
        [("", 200, "200"), ("resting", 503, "NotServing"), ("unheard-of", 503, "gRPC status 5")]
    {
        let (got, text) = ask(&format!("{{\"grpc\": {{\"port\": {port}, \"service\": \"{service}\"}}}}")).await;
        assert_eq!(got, status, "{text}");
        assert!(text.contains(said) || got == 200, "{text}");
    }
}

#[tokio::test]
async fn an_application_that_says_nothing_or_nonsense_is_unhealthy() {
    let (listener, silent) = listen().await;
    let (talker, port) = listen().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = talker.accept().await.unwrap();
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let (status, text) = ask(&format!("{{\"httpGet\": {{\"port\": {silent}}}, \"timeoutSeconds\": 1}}")).await;
    assert!(status == 503 && text.contains("1s"), "{status} {text}");
    drop(listener);
    for kind in ["httpGet", "grpc"] {
        let (status, text) = ask(&format!("{{\"{kind}\": {{\"port\": {port}}}}}")).await;
        assert!(status == 503 && text.contains("the application's answer is no"), "{status} {text}");
    }
}

#[tokio::test]
async fn those_who_ask_at_a_time_share_one_probe_and_whoever_leaves_spoils_none() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let (listener, port) = listen().await;
    let probes = probes(&format!("{{\"httpGet\": {{\"port\": {port}}}}}"));
    // One begins and leaves before there is an answer.
    let left = tokio::time::timeout(Duration::from_millis(1), probes.ask(PATH, None)).await;
    assert!(left.is_err());
    drop(listener.accept().await.unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve_http1(stream, |_| {
                ASKED.fetch_add(1, Ordering::Relaxed);
                answer(200)
            }));
        }
    });
    let all = futures::future::join_all((0..100).map(|_| probes.ask(PATH, None))).await;
    assert!(all.iter().flatten().all(|outcome| outcome.status == 200));
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    assert_eq!(probes.ask(PATH, None).await.unwrap().status, 200);
    assert_eq!(ASKED.load(Ordering::Relaxed), 2);
    assert!(probes.ask("/app-health/web/livez", None).await.is_none());
}

#[test]
fn what_is_wrong_with_the_variable_is_named() {
    for (text, named) in [
        ("{", "ISTIO_KUBE_APP_PROBERS: the whole: EOF"),
        ("[]", "the whole: is no object"),
        (r#"{"/metrics": {}}"#, "/metrics: must begin with /app-health/"),
        (r#"{"/app-health/a/livez": 7}"#, "/app-health/a/livez: is no object"),
        (r#"{"/app-health/a/livez": {}}"#, "must have one of httpGet, tcpSocket and grpc"),
        (r#"{"/app-health/a/livez": {"grpc": {"port": 1}, "tcpSocket": {"port": 1}}}"#, "must have one of"),
        (r#"{"/app-health/a/livez": {"tcpSocket": {}}}"#, "livez.tcpSocket: has no port"),
        (r#"{"/app-health/a/livez": {"tcpSocket": {"port": 0}}}"#, "livez.tcpSocket.port: 0 is no port"),
        (r#"{"/app-health/a/livez": {"httpGet": {"port": "web"}}}"#, "livez.httpGet.port: \"web\" is no port"),
        (r#"{"/app-health/a/livez": {"httpGet": {"port": 1, "scheme": "FTP"}}}"#, "livez.httpGet: scheme \"FTP\""),
        (
            r#"{"/app-health/a/livez": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b"}]}}}"#,
            "livez.httpGet.httpHeaders[0]: its name",
        ),
        (r#"{"/app-health/a/livez": {"grpc": {"port": 1}, "timeoutSeconds": -1}}"#, "livez.timeoutSeconds: -1"),
    ] {
        let error = Declared::parse(text).unwrap_err().to_string();
        assert!(error.starts_with("ISTIO_KUBE_APP_PROBERS: ") && error.contains(named), "{text}: {error}");
    }
    assert_eq!(Declared::parse("").unwrap().all().count(), 0);
}
