//! TLS towards the endpoints of a cluster: mesh mTLS where an endpoint can, unless a DestinationRule says otherwise
//! (DestinationRule `trafficPolicy.tls`; MeshConfig `enableAutoMtls`).

use xds::cluster::Cluster;
use xds::cluster::cluster::{ClusterDiscoveryType, DiscoveryType, TransportSocketMatch};
use xds::core::TransportSocket;
use xds::google::Struct;
use xds::{string_value, struct_of};

use super::view::View;
use super::{mtls, names};
use crate::model::{ClientTls, Endpoint, MtlsMode, PolicyLevel, Protocol, Service, TlsMode};

/// The metadata of endpoints by which Envoy chooses a transport socket.
pub(super) const MATCH_METADATA: &str = "envoy.transport_socket_match";

/// Sets how a cluster's connections are secured.
pub(super) fn apply(
    view: &View<'_>,
    service: &Service,
    (port, subset, protocol): (u16, Option<&str>, Protocol),
    policy: &PolicyLevel,
    cluster: &mut Cluster,
) {
    let mesh = |tls: Option<&ClientTls>| mesh_socket(view, service, (port, subset, protocol), tls);
    match policy.tls.as_ref().map(|tls| (tls, tls.mode)) {
        Some((_, TlsMode::Disable)) => {}
        Some((tls, TlsMode::IstioMutual)) => cluster.transport_socket = Some(mesh(Some(tls))),
        Some((tls, TlsMode::Simple | TlsMode::Mutual)) => {
            let names: Vec<String> = service.subject_alt_names.iter().map(ToString::to_string).collect();
            cluster.transport_socket = Some(mtls::originate(tls, service.host.as_str(), &names, protocol));
        }
        None if service.is_external() => {}
        None if goes_where_dialled(cluster) => {
            cluster.transport_socket = every_endpoint_can(view, service, port).then(|| mesh(None));
        }
        None => cluster.transport_socket_matches = where_the_endpoint_can(mesh(None)),
    }
}

/// Whether the server's name is known only when a request comes: TLS of the application's side towards a wildcard.
pub(super) fn names_come_from_requests(service: &Service, policy: &PolicyLevel) -> bool {
    let originated = policy.tls.as_ref().filter(|tls| matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual));
    service.host.is_wildcard() && originated.is_some_and(|tls| tls.sni.is_none() && !tls.insecure_skip_verify)
}

/// What an endpoint's metadata must say to be reached by mesh mTLS.
pub(super) fn able() -> Struct {
    struct_of([("tlsMode", string_value("istio"))])
}

/// Whether an endpoint takes mesh mTLS on its own port: it has a sidecar, and no policy turns mTLS off there.
pub(super) fn endpoint_can(view: &View<'_>, endpoint: &Endpoint, number: u16) -> bool {
    let Some(workload) = endpoint.workload.as_ref().filter(|_| endpoint.mtls) else { return endpoint.mtls };
    view.mtls_mode(&workload.namespace, &workload.labels, number) != MtlsMode::Disable
}

fn mesh_socket(
    view: &View<'_>,
    service: &Service,
    (port, subset, protocol): (u16, Option<&str>, Protocol),
    tls: Option<&ClientTls>,
) -> TransportSocket {
    let sni = tls.and_then(|tls| tls.sni.as_deref()).map(ToOwned::to_owned);
    let sni = sni.unwrap_or_else(|| names::sni(port, subset, &service.host));
    let declared = tls.map(|tls| tls.subject_alt_names.as_slice()).filter(|names| !names.is_empty());
    let identities = match declared {
        Some(names) => names.iter().map(ToString::to_string).collect(),
        None => view.identities(service),
    };
    mtls::upstream(sni, protocol, &identities, &view.mesh().trust_domain)
}

/// Two ways, chosen for each endpoint by its metadata.
fn where_the_endpoint_can(mesh: TransportSocket) -> Vec<TransportSocketMatch> {
    let way = |name: &str, condition: Struct, socket| TransportSocketMatch {
        name: name.into(),
        r#match: Some(condition),
        transport_socket: Some(socket),
    };
    vec![way("tlsMode-istio", able(), mesh), way("tlsMode-disabled", Struct::default(), mtls::plaintext())]
}

/// Without endpoints there is no metadata to choose by: mTLS only if nobody would be left out.
fn every_endpoint_can(view: &View<'_>, service: &Service, port: u16) -> bool {
    let endpoints = view.endpoints(service);
    let mut numbered = endpoints.iter().filter_map(|endpoint| Some((endpoint, endpoint.port(port)?))).peekable();
    numbered.peek().is_some() && numbered.all(|(endpoint, number)| endpoint_can(view, endpoint, number))
}

fn goes_where_dialled(cluster: &Cluster) -> bool {
    cluster.cluster_discovery_type == Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst as i32))
}
