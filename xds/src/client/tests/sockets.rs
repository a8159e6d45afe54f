//! Client against server over loopback: the whole way through gRPC.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code,
    transport::{Channel, Server},
};

use crate::{
    ResourceType::{Cluster, Endpoint, Listener, Route},
    client::{ClientOptions, Event, Handle, Update, start},
    core::Node,
    discovery::{
        DeltaDiscoveryRequest, DiscoveryRequest, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
    fake_catalog::FakeCatalog,
    node::{NodeInfo, USER_AGENT},
    server::AdsServer,
};

/// A server on a thread and runtime of its own: when that goes, its connections go too, as those of a killed process.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    async fn start(catalog: &Arc<FakeCatalog>) -> Self {
        Self::on(catalog, "127.0.0.1:0".parse().unwrap()).await
    }

    async fn on(catalog: &Arc<FakeCatalog>, address: SocketAddr) -> Self {
        let service = AdsServer::new(catalog.clone(), |_| None).into_service();
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, listening) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(address).await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                let incoming = TcpListenerStream::new(listener);
                let server = Server::builder().add_service(service).serve_with_incoming(incoming);
                tokio::select! {
                    ended = server => ended.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address: listening.await.unwrap(), stop, thread }
    }

    async fn stop(self) -> SocketAddr {
        drop(self.stop);
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap();
        self.address
    }
}

fn node(namespace: &str) -> NodeInfo {
    NodeInfo {
        role: "sidecar".into(),
        pod: "p".into(),
        namespace: namespace.into(),
        domain: "d".into(),
        user_agent: USER_AGENT.into(),
        ..NodeInfo::default()
    }
}

fn connect(address: SocketAddr, node: NodeInfo) -> (Handle, mpsc::Receiver<Event>) {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let options = ClientOptions {
        first_wait: Duration::from_millis(10),
        longest_wait: Duration::from_millis(20),
        ..ClientOptions::new(node, channel)
    };
    start(options)
}

async fn event(events: &mut mpsc::Receiver<Event>) -> Event {
    tokio::time::timeout(Duration::from_secs(20), events.recv()).await.expect("an event within 20 s").unwrap()
}

/// The next update; connections may come and go before it.
async fn update(events: &mut mpsc::Receiver<Event>) -> Update {
    loop {
        if let Event::Update(update) = event(events).await {
            return update;
        }
    }
}

/// An update written as `CDS a@1 -b`.
fn text(update: &Update) -> String {
    let resources = update.resources.iter().map(|resource| format!(" {}@{}", resource.name, resource.version));
    let removed = update.removed.iter().map(|name| format!(" -{name}"));
    format!("{}{}", update.kind, resources.chain(removed).collect::<String>())
}

async fn accept(events: &mut mpsc::Receiver<Event>) -> String {
    let update = update(events).await;
    let text = text(&update);
    update.reply.accept();
    text
}

/// Waits until the catalog was told something.
async fn told(catalog: &FakeCatalog, what: &str) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        let mut seen = Vec::new();
        loop {
            seen.extend(catalog.calls());
            if seen.iter().any(|call| call == what) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("the catalog is told `{what}`"));
}

#[tokio::test]
async fn resources_come_change_and_go() {
    let catalog = FakeCatalog::new();
    catalog.set(Cluster, "a", "1");
    let server = Running::start(&catalog).await;
    let (handle, mut events) = connect(server.address, node("shop"));
    handle.subscribe_all(Cluster);
    assert!(matches!(event(&mut events).await, Event::Connected));
    assert_eq!(accept(&mut events).await, "CDS a@1");
    told(&catalog, "acknowledged CDS a").await;

    handle.subscribe(Listener, ["10.0.0.1_80"]);
    assert_eq!(accept(&mut events).await, "LDS -10.0.0.1_80");
    catalog.set(Listener, "10.0.0.1_80", "1");
    assert_eq!(accept(&mut events).await, "LDS 10.0.0.1_80@1");

    catalog.set(Cluster, "a", "2");
    assert_eq!(accept(&mut events).await, "CDS a@2");
    catalog.remove(Cluster, "a");
    assert_eq!(accept(&mut events).await, "CDS -a");

    drop(events);
    told(&catalog, "disconnected").await;
}

#[tokio::test]
async fn one_refused_resource_costs_only_itself() {
    let catalog = FakeCatalog::new();
    for name in ["a", "bad", "c"] {
        catalog.set(Route, name, "1");
    }
    let server = Running::start(&catalog).await;
    let (handle, mut events) = connect(server.address, node("shop"));
    handle.subscribe(Route, ["a", "bad", "c"]);
    let first = update(&mut events).await;
    assert_eq!(text(&first), "RDS a@1 bad@1 c@1");
    first.reply.reject(vec![("bad".into(), "invalid regex".into())]);
    told(&catalog, "rejected RDS bad: invalid regex").await;
    catalog.set(Route, "c", "2");
    assert_eq!(accept(&mut events).await, "RDS c@2");
    catalog.set(Route, "bad", "2");
    assert_eq!(accept(&mut events).await, "RDS bad@2");
    told(&catalog, "acknowledged RDS bad").await;
}

#[tokio::test]
async fn an_update_that_nobody_answers_is_refused() {
    let catalog = FakeCatalog::new();
    catalog.set(Route, "a", "1");
    let server = Running::start(&catalog).await;
    let (handle, mut events) = connect(server.address, node("shop"));
    handle.subscribe(Route, ["a"]);
    drop(update(&mut events).await);
    told(&catalog, "rejected RDS a: the receiver went away").await;
}

#[tokio::test]
async fn a_restarted_server_sends_only_what_changed() {
    let catalog = FakeCatalog::new();
    for name in ["same", "changed", "gone"] {
        catalog.set(Endpoint, name, "1");
    }
    let server = Running::start(&catalog).await;
    let (handle, mut events) = connect(server.address, node("shop"));
    handle.subscribe(Endpoint, ["same", "changed", "gone"]);
    assert_eq!(accept(&mut events).await, "EDS changed@1 gone@1 same@1");
    told(&catalog, "acknowledged EDS changed gone same").await;
    let address = server.stop().await;
    let Event::Disconnected { error } = event(&mut events).await else { panic!("the connection is lost") };
    assert!(error.contains("control plane"), "{error}");

    // Another process with the same content: nothing of the first one's state is left.
    let restarted = FakeCatalog::new();
    restarted.set(Endpoint, "same", "1");
    restarted.set(Endpoint, "changed", "2");
    let _server = Running::on(&restarted, address).await;
    assert_eq!(accept(&mut events).await, "EDS changed@2");
    assert_eq!(accept(&mut events).await, "EDS -gone");
    told(&restarted, "acknowledged EDS changed").await;
    restarted.set(Endpoint, "same", "2");
    assert_eq!(accept(&mut events).await, "EDS same@2");
}

#[tokio::test]
async fn what_is_asked_for_while_there_is_no_server_comes_later() {
    let catalog = FakeCatalog::new();
    catalog.set(Cluster, "a", "1");
    let address = Running::start(&catalog).await.stop().await;
    let (handle, mut events) = connect(address, node("shop"));
    handle.subscribe(Cluster, ["a"]);
    let Event::Disconnected { error } = event(&mut events).await else { panic!("nobody listens") };
    assert!(error.contains("onnection refused"), "{error}");
    let _server = Running::on(&catalog, address).await;
    assert_eq!(accept(&mut events).await, "CDS a@1");
}

#[tokio::test]
async fn a_client_that_is_not_admitted_learns_why() {
    let catalog = FakeCatalog::new();
    let server = Running::start(&catalog).await;
    let (handle, mut events) = connect(server.address, node("forbidden"));
    handle.subscribe_all(Cluster);
    loop {
        if let Event::Disconnected { error } = event(&mut events).await {
            assert_eq!(error, "the control plane refused this proxy: node says namespace forbidden");
            break;
        }
    }
    assert!(!catalog.calls().iter().any(|call| call == "disconnected"));
}

#[tokio::test]
async fn garbage_ends_one_connection_and_nothing_else() {
    let catalog = FakeCatalog::new();
    catalog.set(Cluster, "a", "1");
    let server = Running::start(&catalog).await;
    let mut garbage = tokio::net::TcpStream::connect(server.address).await.unwrap();
    garbage.write_all(&[0xff; 4096]).await.ok();
    let (handle, mut events) = connect(server.address, node("shop"));
    handle.subscribe(Cluster, ["a"]);
    assert_eq!(accept(&mut events).await, "CDS a@1");
}

#[tokio::test]
async fn a_server_that_speaks_garbage_is_reported_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hostile = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[0xff; 4096]).await.ok();
        }
    });
    let (handle, mut events) = connect(address, node("shop"));
    handle.subscribe_all(Cluster);
    for _ in 0..2 {
        assert!(matches!(event(&mut events).await, Event::Disconnected { .. }));
    }
    hostile.await.unwrap();
}

#[tokio::test]
async fn a_response_over_the_limit_is_not_read() {
    let catalog = FakeCatalog::new();
    catalog.put(Cluster, "large", "1", 10_000);
    let server = Running::start(&catalog).await;
    let channel = Channel::from_shared(format!("http://{}", server.address)).unwrap().connect_lazy();
    let (handle, mut events) = start(ClientOptions { max_message: 1000, ..ClientOptions::new(node("shop"), channel) });
    handle.subscribe(Cluster, ["large"]);
    assert!(matches!(event(&mut events).await, Event::Connected));
    let Event::Disconnected { error } = event(&mut events).await else { panic!("too large to read") };
    assert!(error.contains("a limit was exceeded") && error.contains("1000 bytes"), "{error}");
}

#[tokio::test]
async fn other_clients_are_told_what_is_missing() {
    let catalog = FakeCatalog::new();
    let server = Running::start(&catalog).await;
    let channel = Channel::from_shared(format!("http://{}", server.address)).unwrap().connect_lazy();
    let mut client = AggregatedDiscoveryServiceClient::new(channel);

    let sotw = client.stream_aggregated_resources(tokio_stream::iter([DiscoveryRequest::default()])).await;
    let refused = sotw.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("DELTA_GRPC"), "{refused}");

    let bad_id = Node { id: "laptop".into(), ..Node::default() };
    for (node, expected) in [(None, "no node"), (Some(bad_id), "`laptop` is not of the form")] {
        let first = DeltaDiscoveryRequest { node, type_url: Cluster.type_url().into(), ..Default::default() };
        let requests = tokio_stream::iter([first]);
        let mut responses = client.delta_aggregated_resources(requests).await.unwrap().into_inner();
        let refused = responses.message().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(expected), "{refused}");
    }
}
