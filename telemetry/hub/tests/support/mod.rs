//! A hub behind a real gRPC server, and sidecars that record and export as real ones do.
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use hub::{Edge, Hub, MeshState, WantedShare, Window};
use record::otlp::{ExportError, Exporter, ExporterOptions};
use record::{HttpKey, Metrics, Protocol, Reporter, ResponseFlags, Security, SeriesCache, Service, TcpKey, Workload};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};

/// Configuration that wants these shares.
#[derive(Default)]
pub struct Wanted(pub Vec<WantedShare>);

impl MeshState for Wanted {
    fn shares(&self) -> Vec<WantedShare> {
        self.0.clone()
    }
}

pub fn hub() -> Hub {
    Hub::new(Arc::new(Wanted::default()))
}

#[derive(Clone)]
struct Identity(String);

/// A channel to `hub`, as a client whose certificate says `spiffe_id`.
pub async fn connect(hub: &Hub, spiffe_id: Option<&str>) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let identity = spiffe_id.map(|id| Identity(id.to_owned()));
    let service = hub.metrics_service(|extensions| extensions.get::<Identity>().map(|id| id.0.clone()));
    let service = InterceptedService::new(service, move |mut request: tonic::Request<()>| {
        if let Some(identity) = &identity {
            request.extensions_mut().insert(identity.clone());
        }
        Ok(request)
    });
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Endpoint::try_from(format!("http://{address}")).unwrap().connect_lazy()
}

pub fn spiffe(namespace: &str, account: &str) -> String {
    format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")
}

pub fn workload(service: &str, version: &str) -> Arc<Workload> {
    Arc::new(Workload {
        name: format!("{service}-{version}"),
        namespace: "shop".into(),
        principal: spiffe("shop", service),
        app: service.into(),
        version: version.into(),
        cluster: "Kubernetes".into(),
        canonical_service: service.into(),
        canonical_revision: version.into(),
    })
}

pub fn service(name: &str) -> Arc<Service> {
    let host = format!("{name}.shop.svc.cluster.local");
    Arc::new(Service { host, name: name.into(), namespace: "shop".into() })
}

/// A sidecar of `workload`.
pub struct Sidecar {
    pub workload: Arc<Workload>,
    pub metrics: Metrics,
    pub cache: SeriesCache,
    pub exporter: Exporter,
}

impl Sidecar {
    pub async fn new(hub: &Hub, workload: &Arc<Workload>) -> Self {
        let channel = connect(hub, Some(&workload.principal)).await;
        let metrics = Metrics::new();
        let resource = [
            ("service.name", workload.canonical_service.as_str()),
            ("k8s.namespace.name", &workload.namespace),
            ("meltemi.service.account", &workload.canonical_service),
        ];
        let options = ExporterOptions {
            interval: Duration::from_secs(3600),
            resource: resource.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
            ..ExporterOptions::default()
        };
        Self {
            workload: workload.clone(),
            cache: SeriesCache::new(metrics.clone()),
            exporter: Exporter::start(metrics.clone(), channel, options),
            metrics,
        }
    }

    pub async fn report(&self) -> Result<(), ExportError> {
        self.exporter.flush().await
    }
}

/// A request between two workloads, as both their sidecars see it.
#[derive(Clone, Copy)]
pub struct Call {
    pub protocol: Protocol,
    pub code: u16,
    pub grpc_status: Option<u16>,
    pub flags: ResponseFlags,
    pub security: Security,
    pub duration: Duration,
    pub times: u32,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            protocol: Protocol::Http,
            code: 200,
            grpc_status: None,
            flags: ResponseFlags::NONE,
            security: Security::MutualTls,
            duration: Duration::from_millis(20),
            times: 1,
        }
    }
}

impl Call {
    /// Records the call at one end.
    pub fn at(self, sidecar: &mut Sidecar, reporter: Reporter, from: &Arc<Workload>, to: &Arc<Workload>) {
        let security = if reporter == Reporter::Source { Security::Unknown } else { self.security };
        let key = HttpKey {
            reporter,
            source: from,
            destination: to,
            service: &service(&to.canonical_service),
            protocol: self.protocol,
            response_code: self.code,
            grpc_status: self.grpc_status,
            flags: self.flags,
            security,
        };
        for _ in 0..self.times {
            sidecar.cache.http(key).record(self.duration, 100, 1000);
        }
    }

    /// Records the call at both ends.
    pub fn between(self, from: &mut Sidecar, to: &mut Sidecar) {
        let (source, destination) = (from.workload.clone(), to.workload.clone());
        self.at(from, Reporter::Source, &source, &destination);
        self.at(to, Reporter::Destination, &source, &destination);
    }
}

pub fn tcp<'a>(
    reporter: Reporter,
    from: &'a Arc<Workload>,
    to: &'a Arc<Workload>,
    service: &'a Arc<Service>,
    flags: ResponseFlags,
) -> TcpKey<'a> {
    let security = if reporter == Reporter::Source { Security::Unknown } else { Security::MutualTls };
    TcpKey { reporter, source: from, destination: to, service, flags, security }
}

/// The only edge of the last minute.
pub fn only_edge(hub: &Hub) -> Edge {
    let mut edges = hub.edges(Window::Last(Duration::from_secs(60)));
    assert_eq!(edges.len(), 1, "{edges:#?}");
    edges.remove(0)
}
