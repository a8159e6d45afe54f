//! What a connected proxy gets, what it costs, and what a change tells whom.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::generate::fixture::{Shop, shop_with, virtual_service};
use xds::node::ON_DEMAND;

const CATALOG: &str = "outbound|80||catalog.shop.svc.cluster.local";
const CATALOG_ROUTES: &str = "catalog.shop.svc.cluster.local:80";

/// One more endpoint of `ratings`.
const RATINGS: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ratings-1, namespace: shop, labels: {kubernetes.io/service-name: ratings}}
addressType: IPv4
ports: [{name: grpc, port: 9000}]
endpoints: [{addresses: [10.0.3.1]}]
";

fn node(account: &str, ip: [u8; 4], features: &[&str]) -> NodeInfo {
    NodeInfo {
        role: "sidecar".into(),
        ip: Some(ip.into()),
        pod: format!("{account}-0"),
        namespace: "shop".into(),
        domain: "shop.svc.cluster.local".into(),
        workload: account.into(),
        service_account: account.into(),
        features: features.iter().map(ToString::to_string).collect(),
        ..NodeInfo::default()
    }
}

fn id(account: &str) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/{account}")
}

fn connect(catalog: &MeshCatalog, account: &str, ip: [u8; 4], features: &[&str]) -> Arc<Client> {
    catalog.admit(&node(account, ip, features), Some(&id(account))).unwrap()
}

/// A proxy that claims a label `tier`.
fn labelled(catalog: &MeshCatalog, account: &str, ip: [u8; 4], tier: &str) -> Arc<Client> {
    let labels = [("tier".to_owned(), tier.to_owned())].into();
    catalog.admit(&NodeInfo { labels, ..node(account, ip, &[]) }, Some(&id(account))).unwrap()
}

/// A running pod of the shop.
fn pod(name: &str, account: &str, ip: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {labels}}}\n\
         spec: {{serviceAccountName: {account}, containers: [{{name: app}}]}}\nstatus: {{podIP: {ip}}}\n---\n"
    )
}

fn catalog_of(world: World) -> (MeshCatalog, Metrics) {
    let metrics = Metrics::new();
    (MeshCatalog::new(Arc::new(world), &metrics), metrics)
}

fn wildcard(catalog: &MeshCatalog, client: &Client, kind: ResourceType) -> Vec<String> {
    let mut names: Vec<String> = catalog.wildcard(client, kind).iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// The value of a sample whose line starts so.
fn sample(metrics: &Metrics, start: &str) -> f64 {
    let text = metrics.text();
    let line = text.lines().find(|line| line.starts_with(start) && line[start.len()..].starts_with(' '));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
}

/// What a stream is told, with the names in order.
fn told(changes: &mut broadcast::Receiver<Arc<Change>>) -> Option<(Vec<(ResourceType, String)>, bool)> {
    let change = changes.try_recv().ok()?;
    assert!(!change.everything);
    let mut touched: Vec<_> = change.touched.iter().map(|(kind, name)| (*kind, name.to_string())).collect();
    touched.sort();
    Some((touched, change.wildcard))
}

#[test]
fn a_thousand_proxies_share_one_resource() {
    let (catalog, metrics) = catalog_of(Shop::new().world());
    let clients: Vec<_> = (0..1000u16)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            let account = format!("client-{n}");
            connect(&catalog, &account, [10, 9, high, low], &[])
        })
        .collect();
    let first = catalog.resource(&clients[0], ResourceType::Cluster, CATALOG).unwrap();
    for client in &clients {
        let same = catalog.resource(client, ResourceType::Cluster, CATALOG).unwrap();
        assert!(Arc::ptr_eq(&first, &same));
    }
    assert_eq!(sample(&metrics, "pilot_xds_resources_generated{type=\"cds\"}"), 1.0);
    assert_eq!(sample(&metrics, "pilot_xds"), 1000.0);
}

#[test]
fn replicas_share_what_they_get_separately_but_alike() {
    let (catalog, _) = catalog_of(Shop::new().world());
    let [one, two] = [[10, 9, 0, 1], [10, 9, 0, 2]].map(|ip| connect(&catalog, "web", ip, &[]));
    let inbound = |client| catalog.resource(client, ResourceType::Listener, "virtualInbound").unwrap();
    assert!(Arc::ptr_eq(&inbound(&one), &inbound(&two)));
}

#[test]
fn an_endpoint_change_touches_that_hosts_endpoints_and_nothing_else() {
    let mut shop = Shop::new();
    let (catalog, metrics) = catalog_of(shop.world());
    let client = connect(&catalog, "web", [10, 0, 0, 9], &[]);
    let ratings = "outbound|9000||ratings.shop.svc.cluster.local";
    for kind in [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route] {
        for name in catalog.wildcard(&client, kind) {
            assert!(catalog.resource(&client, kind, &name).is_some(), "{kind} {name}");
        }
    }
    let mut changes = catalog.changes();
    let listeners = sample(&metrics, "pilot_xds_resources_generated{type=\"lds\"}");

    shop.apply(&catalog, RATINGS);
    assert_eq!(told(&mut changes), Some((vec![(ResourceType::Endpoint, ratings.to_owned())], false)));
    assert_eq!(told(&mut changes), None);
    assert_eq!(sample(&metrics, "pilot_xds_resources_generated{type=\"lds\"}"), listeners);
}

#[test]
fn a_route_change_touches_the_routes_of_its_host() {
    let mut shop = Shop::new();
    let (catalog, _) = catalog_of(shop.world());
    let client = connect(&catalog, "web", [10, 0, 0, 9], &[]);
    let before = catalog.resource(&client, ResourceType::Route, CATALOG_ROUTES).unwrap();
    catalog.resource(&client, ResourceType::Route, "ratings.shop.svc.cluster.local:9000").unwrap();
    let mut changes = catalog.changes();

    shop.apply(&catalog, &virtual_service("catalog", "\n  - route: [{destination: {host: catalog, subset: v1}}]\n"));
    assert_eq!(told(&mut changes), Some((vec![(ResourceType::Route, CATALOG_ROUTES.to_owned())], false)));
    let after = catalog.resource(&client, ResourceType::Route, CATALOG_ROUTES).unwrap();
    assert_ne!(before.version, after.version);

    shop.apply(&catalog, "");
    assert_eq!(catalog.resource(&client, ResourceType::Route, CATALOG_ROUTES).unwrap().version, before.version);
}

#[test]
fn a_name_that_comes_into_being_is_told_to_those_who_asked_for_it() {
    let mut shop = Shop::new();
    let (catalog, _) = catalog_of(shop.world());
    let client = connect(&catalog, "web", [10, 0, 0, 9], &[ON_DEMAND]);
    assert!(catalog.resource(&client, ResourceType::Listener, "10.96.0.77_80").is_none());
    let mut changes = catalog.changes();
    shop.apply(
        &catalog,
        "
apiVersion: v1
kind: Service
metadata: {name: new, namespace: shop}
spec: {clusterIP: 10.96.0.77, ports: [{name: http, port: 80}]}
",
    );
    let (touched, wildcard) = told(&mut changes).unwrap();
    assert_eq!(touched, [(ResourceType::Listener, "10.96.0.77_80".to_owned())]);
    assert!(wildcard, "there is one more name");
    assert!(catalog.resource(&client, ResourceType::Listener, "10.96.0.77_80").is_some());
}

#[test]
fn labels_matter_only_where_a_rule_asks_for_them() {
    let world = shop_with(&virtual_service(
        "catalog",
        "\n  - match: [{sourceLabels: {tier: canary}}]\n    route: [{destination: {host: catalog, subset: v2}}]\n",
    ));
    let (catalog, _) = catalog_of(world);
    let canary = labelled(&catalog, "a", [10, 9, 0, 1], "canary");
    let stable = labelled(&catalog, "b", [10, 9, 0, 2], "stable");
    let also_stable = labelled(&catalog, "c", [10, 9, 0, 3], "stable");
    let routes = |client| catalog.resource(client, ResourceType::Route, CATALOG_ROUTES).unwrap();
    assert_ne!(routes(&canary).version, routes(&stable).version);
    assert!(Arc::ptr_eq(&routes(&stable), &routes(&also_stable)));
    let cluster = |client| catalog.resource(client, ResourceType::Cluster, CATALOG).unwrap();
    assert!(Arc::ptr_eq(&cluster(&canary), &cluster(&stable)));
}

/// Rules for `catalog` of which the first is for canaries only.
const CANARY_FIRST: &str = "
  - match: [{sourceLabels: {tier: canary}}]
    route: [{destination: {host: catalog, subset: v2}}]
  - route: [{destination: {host: catalog, subset: v1}}]
";

#[test]
fn a_rule_that_makes_labels_matter_is_told_to_all_who_shared_the_resource() {
    let everybody = virtual_service("catalog", "\n  - route: [{destination: {host: catalog, subset: v1}}]\n");
    let mut shop = Shop::with(&everybody);
    let (catalog, _) = catalog_of(shop.world());
    let stable = labelled(&catalog, "b", [10, 9, 0, 2], "stable");
    let canary = labelled(&catalog, "a", [10, 9, 0, 1], "canary");
    let routes = |client| catalog.resource(client, ResourceType::Route, CATALOG_ROUTES).unwrap();
    assert!(Arc::ptr_eq(&routes(&stable), &routes(&canary)));
    let before = routes(&stable).version.clone();
    let mut changes = catalog.changes();

    // The stable proxy's routes stay as they are, the canary's do not.
    shop.apply(&catalog, &virtual_service("catalog", CANARY_FIRST));
    let touched = vec![(ResourceType::Route, CATALOG_ROUTES.to_owned())];
    assert_eq!(told(&mut changes), Some((touched.clone(), false)));
    assert_eq!(routes(&stable).version, before);
    assert_ne!(routes(&canary).version, before);

    let to_v1 = CANARY_FIRST.replace("subset: v2", "subset: v1");
    shop.apply(&catalog, &virtual_service("catalog", &to_v1));
    assert_eq!(told(&mut changes), Some((touched, false)), "the canary hears of later edits");
}

#[test]
fn a_service_with_an_address_takes_the_place_of_a_host_only_one_of_the_same_host() {
    let entry = |namespace: &str, more: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
             metadata: {{name: feed, namespace: {namespace}}}\nspec:\n  hosts: [feed.example.com]\n  resolution: STATIC\n\
             \x20 ports: [{{number: 8123, name: http, protocol: HTTP}}]\n  endpoints: [{{address: 192.0.2.7}}]\n{more}---\n"
        )
    };
    let mut shop = Shop::with(&entry("bank", ""));
    let (catalog, _) = catalog_of(shop.world());
    let client = connect(&catalog, "web", [10, 0, 0, 9], &[]);
    let names = [(ResourceType::Route, "8123"), (ResourceType::Listener, "0.0.0.0_8123")];
    for (kind, name) in names {
        assert!(catalog.resource(&client, kind, name).is_some(), "{name}");
    }
    let mut changes = catalog.changes();

    shop.apply(&catalog, &(entry("bank", "") + &entry("shop", "  addresses: [10.96.7.7]\n")));
    let (touched, _) = told(&mut changes).unwrap();
    for (kind, name) in names {
        assert!(catalog.resource(&client, kind, name).is_none(), "{name}");
        assert!(touched.contains(&(kind, name.to_owned())), "{touched:?}");
    }
}

#[test]
fn labels_are_those_of_the_pod_whatever_the_proxy_claims() {
    let rules = virtual_service("catalog", CANARY_FIRST) + "---\n";
    let stable =
        |labels| rules.clone() + &pod("web-0", "web", "10.9.0.1", labels) + &pod("web-1", "web", "10.9.0.2", "{}");
    let mut shop = Shop::with(&stable("{tier: stable}"));
    let (catalog, _) = catalog_of(shop.world());
    let liar = labelled(&catalog, "web", [10, 9, 0, 1], "canary");
    let honest = connect(&catalog, "web", [10, 9, 0, 2], &[]);
    let early = labelled(&catalog, "web", [10, 9, 0, 3], "canary");
    let version = |client| catalog.resource(client, ResourceType::Route, CATALOG_ROUTES).unwrap().version.clone();
    assert_eq!(version(&liar), version(&honest));
    assert_ne!(version(&early), version(&honest), "nobody knows its pod yet");

    let mut changes = catalog.changes();
    shop.apply(&catalog, &(stable("{tier: canary}") + &pod("web-2", "web", "10.9.0.3", "{}")));
    let (touched, _) = told(&mut changes).unwrap();
    assert!(touched.contains(&(ResourceType::Route, CATALOG_ROUTES.to_owned())), "{touched:?}");
    assert_ne!(version(&liar), version(&honest), "it is a canary now");
    assert_eq!(version(&early), version(&honest));
}

#[test]
fn a_proxy_gets_nothing_more_once_its_address_is_that_of_another_pod() {
    let mut shop = Shop::new();
    let (catalog, _) = catalog_of(shop.world());
    let squatter = connect(&catalog, "web", [10, 9, 0, 1], &[]);
    let on_demand = connect(&catalog, "web", [10, 9, 0, 1], &[ON_DEMAND]);
    let inbound = |client: &Client| catalog.resource(client, ResourceType::Listener, "virtualInbound");
    assert!(inbound(&squatter).is_some());
    let mut changes = catalog.changes();

    shop.apply(&catalog, &pod("vault-0", "vault", "10.9.0.1", "{app: vault}"));
    let change = changes.try_recv().unwrap();
    assert!(change.everything && change.wildcard);
    for client in [&squatter, &on_demand] {
        assert!(inbound(client).is_none());
        assert!(catalog.resource(client, ResourceType::Cluster, CATALOG).is_none());
        assert!(wildcard(&catalog, client, ResourceType::Listener).is_empty());
    }
    assert!(inbound(&connect(&catalog, "vault", [10, 9, 0, 1], &[])).is_some());

    shop.apply(&catalog, "");
    assert!(changes.try_recv().unwrap().everything);
    assert!(inbound(&squatter).is_some(), "the address is free again");
}

#[test]
fn names_that_nobody_could_have_are_not_kept() {
    let (catalog, metrics) = catalog_of(Shop::new().world());
    let client = connect(&catalog, "web", [10, 9, 0, 1], &[ON_DEMAND]);
    let long = format!("outbound|80|{}|catalog.shop.svc.cluster.local", "v".repeat(512));
    for name in ["no such thing", "outbound|80", &long] {
        assert!(catalog.resource(&client, ResourceType::Cluster, name).is_none());
    }
    assert_eq!(sample(&metrics, "pilot_xds_resources_generated{type=\"cds\"}"), 0.0);
}

#[test]
fn names_that_do_not_exist_are_kept_up_to_a_limit_and_still_told_when_they_come() {
    let mut shop = Shop::new();
    let (catalog, _) = catalog_of(shop.world());
    let client = connect(&catalog, "web", [10, 0, 0, 9], &[]);
    assert!(catalog.resource(&client, ResourceType::Listener, "10.96.0.77_80").is_none());
    for n in 0..100_000u32 {
        let [_, high, middle, low] = n.to_be_bytes();
        catalog.resource(&client, ResourceType::Address, &format!("/172.{high}.{middle}.{low}"));
    }
    let mut changes = catalog.changes();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: new, namespace: shop}\n\
                   spec: {clusterIP: 10.96.0.77, ports: [{name: http, port: 80}]}\n";
    shop.apply(&catalog, service);
    assert!(changes.try_recv().unwrap().everything, "what was forgotten may have come into being");
    assert!(catalog.resource(&client, ResourceType::Listener, "10.96.0.77_80").is_some());
}

#[test]
fn only_names_that_exist_become_needs() {
    let mut shop = Shop::new();
    let (catalog, _) = catalog_of(shop.world());
    let first = connect(&catalog, "web", [10, 9, 0, 1], &[ON_DEMAND]);
    let asked: Vec<Arc<str>> = ["10.96.0.10_80", "10.96.0.77_80"].map(Arc::from).into();
    catalog.subscribed(&first, ResourceType::Listener, &asked, &[]);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: new, namespace: shop}\n\
                   spec: {clusterIP: 10.96.0.77, ports: [{name: http, port: 80}]}\n";
    shop.apply(&catalog, service);
    let second = connect(&catalog, "web", [10, 9, 0, 2], &[ON_DEMAND]);
    assert_eq!(
        wildcard(&catalog, &second, ResourceType::Listener),
        ["10.96.0.10_80", "virtualInbound", "virtualOutbound"]
    );
}

#[test]
fn envoy_gets_everything_that_its_namespace_sees() {
    let (catalog, _) = catalog_of(Shop::new().world());
    let client = connect(&catalog, "catalog", [10, 0, 1, 1], &[]);
    let listeners = wildcard(&catalog, &client, ResourceType::Listener);
    assert_eq!(
        listeners,
        [
            "0.0.0.0_443",
            "0.0.0.0_80",
            "10.0.5.1_8081",
            "10.96.0.10_80",
            "10.96.0.20_7000",
            "10.96.0.30_9000",
            "10.96.0.40_9999",
            "virtualInbound",
            "virtualOutbound",
        ]
    );
    let clusters = wildcard(&catalog, &client, ResourceType::Cluster);
    for name in [CATALOG, "outbound|80|v2|catalog.shop.svc.cluster.local", "inbound|8080||", "PassthroughCluster"] {
        assert!(clusters.iter().any(|known| known == name), "{name}");
    }
    assert!(!clusters.iter().any(|name| name.contains("private.bank")), "{clusters:?}");
}

#[test]
fn our_proxy_gets_what_its_workload_needs() {
    let (catalog, _) = catalog_of(Shop::new().world());
    let base = ["virtualInbound", "virtualOutbound"];
    let first = connect(&catalog, "web", [10, 9, 0, 1], &[ON_DEMAND]);
    assert_eq!(wildcard(&catalog, &first, ResourceType::Listener), base);
    assert_eq!(
        wildcard(&catalog, &first, ResourceType::Cluster),
        ["BlackHoleCluster", "InboundPassthroughCluster", "PassthroughCluster"]
    );
    let asked: Vec<Arc<str>> = ["10.96.0.10_80", "10.99.99.99_1"].map(Arc::from).into();
    catalog.subscribed(&first, ResourceType::Listener, &asked, &[]);

    let second = connect(&catalog, "web", [10, 9, 0, 2], &[ON_DEMAND]);
    let learned = ["10.96.0.10_80", "virtualInbound", "virtualOutbound"];
    assert_eq!(wildcard(&catalog, &second, ResourceType::Listener), learned, "without the name that is nobody's");
    let stranger = connect(&catalog, "batch", [10, 9, 0, 3], &[ON_DEMAND]);
    assert_eq!(wildcard(&catalog, &stranger, ResourceType::Listener), base);

    // What a proxy got is not taken from it while it is connected.
    catalog.subscribed(&first, ResourceType::Listener, &[], &asked);
    catalog.disconnected(&first);
    assert_eq!(wildcard(&catalog, &second, ResourceType::Listener), learned);
}

#[test]
fn a_pilot_that_was_restarted_learns_from_what_proxies_hold() {
    let (catalog, _) = catalog_of(Shop::new().world());
    let client = connect(&catalog, "web", [10, 9, 0, 1], &[ON_DEMAND]);
    let held: Vec<Arc<str>> = ["10.96.0.10_80", "gone_1"].map(Arc::from).into();
    catalog.held(&client, ResourceType::Listener, &held);
    assert_eq!(
        wildcard(&catalog, &client, ResourceType::Listener),
        ["10.96.0.10_80", "virtualInbound", "virtualOutbound"]
    );
}

#[test]
fn only_the_workload_itself_is_let_in() {
    let (catalog, metrics) = catalog_of(Shop::new().world());
    let refused = |node: &NodeInfo, peer: Option<&str>| catalog.admit(node, peer).err().unwrap().to_string();
    let own = node("catalog", [10, 0, 1, 1], &[]);

    assert!(refused(&own, None).contains("client certificate"));
    assert!(refused(&own, Some("spiffe://elsewhere/ns/shop/sa/catalog")).contains("trust domain is `cluster.local`"));
    let namespace = refused(&own, Some("spiffe://cluster.local/ns/bank/sa/catalog"));
    assert!(namespace.contains("`shop`") && namespace.contains("`bank`"), "{namespace}");
    let account = refused(&own, Some(&id("stock")));
    assert!(account.contains("`catalog`") && account.contains("`stock`"), "{account}");
    let address = refused(&node("stock", [10, 0, 1, 1], &[]), Some(&id("stock")));
    assert!(address.contains("10.0.1.1") && address.contains("`shop/catalog-v1-0`"), "{address}");
    let nowhere = NodeInfo { ip: None, ..own.clone() };
    assert!(matches!(catalog.admit(&nowhere, Some(&id("catalog"))), Err(Refusal::InvalidArgument(_))));

    assert!(catalog.admit(&own, Some(&id("catalog"))).is_ok());
    assert!(catalog.admit(&node("catalog", [10, 7, 7, 7], &[]), Some(&id("catalog"))).is_ok(), "no pod there yet");
    assert_eq!(sample(&metrics, "pilot_xds_refused_clients"), 6.0);
    assert_eq!(sample(&metrics, "pilot_xds"), 2.0);
}

#[test]
fn a_refusal_stands_at_the_objects_that_caused_it_until_it_is_settled() {
    let (catalog, metrics) = catalog_of(Shop::new().world());
    let client = connect(&catalog, "web", [10, 0, 0, 9], &[]);
    catalog.resource(&client, ResourceType::Cluster, CATALOG).unwrap();
    let changes = catalog.refused_changes();
    let names = [Arc::from(CATALOG)];
    catalog.rejected(&client, ResourceType::Cluster, &names, "no such curve");

    let [refused] = catalog.refused().try_into().unwrap();
    assert_eq!((refused.client.as_str(), refused.error.as_str()), ("web-0.shop", "no such curve"));
    assert_eq!(refused.sources[0].to_string(), "DestinationRule shop/catalog");
    assert_eq!(sample(&metrics, "pilot_total_xds_rejects{type=\"cds\"}"), 1.0);
    assert!(changes.has_changed().unwrap());

    catalog.acknowledged(&client, ResourceType::Cluster, &names);
    assert!(catalog.refused().is_empty());

    catalog.rejected(&client, ResourceType::Cluster, &names, "again");
    catalog.disconnected(&client);
    assert!(catalog.refused().is_empty());
    assert_eq!(sample(&metrics, "pilot_xds"), 0.0);
}

#[test]
fn wanted_shares_are_those_of_the_rule_for_everybody() {
    let (catalog, _) = catalog_of(shop_with(&virtual_service(
        "catalog",
        "
  - match: [{headers: {x-user: {exact: anna}}}]
    route: [{destination: {host: catalog, subset: v2}}]
  - route:
    - {destination: {host: catalog, subset: v1}, weight: 90}
    - {destination: {host: catalog, subset: v2}, weight: 10}
",
    )));
    let shares: Vec<_> = catalog.shares().into_iter().map(|share| (share.version, share.weight)).collect();
    assert_eq!(shares, [("v1".to_owned(), 0.9), ("v2".to_owned(), 0.1)]);
}

#[tokio::test]
async fn a_change_is_distributed_when_every_proxy_has_answered_or_is_gone() {
    let mut shop = Shop::new();
    let (catalog, _) = catalog_of(shop.world());
    let clients = [[10, 9, 0, 1], [10, 9, 0, 2], [10, 9, 0, 3]].map(|ip| connect(&catalog, "web", ip, &[]));
    catalog.wildcard(&clients[0], ResourceType::Endpoint);
    catalog.resource(&clients[0], ResourceType::Endpoint, "outbound|9000||ratings.shop.svc.cluster.local");
    catalog.distributed().await;
    let mut changes = catalog.changes();
    shop.apply(&catalog, RATINGS);
    let number = changes.try_recv().unwrap().number;
    assert_eq!(number, 1);
    let late = connect(&catalog, "web", [10, 9, 0, 4], &[]);
    let mut distributed = std::pin::pin!(catalog.distributed());
    assert!(futures::poll!(&mut distributed).is_pending());
    catalog.settled(&clients[0], number);
    catalog.settled(&clients[1], number);
    assert!(futures::poll!(&mut distributed).is_pending(), "one has not answered");
    catalog.disconnected(&clients[2]);
    distributed.await;
    catalog.disconnected(&late);
}
