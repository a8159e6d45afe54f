//! `trafficPolicy` of a DestinationRule or a subset.

use super::Check;
use crate::api::{ClientTlsSettings, ConnectionPoolSettings, LoadBalancerSettings, PortPolicy, TrafficPolicySpec};
use crate::model::{ClientTls, ConnectionPool, LoadBalancer, PolicyLevel, TlsMode, TrafficPolicy};
use crate::yaml::FieldPath;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Check<'_> {
    pub(super) fn traffic_policy(&mut self, at: &FieldPath, spec: Option<&TrafficPolicySpec>) -> TrafficPolicy {
        let Some(spec) = spec else { return TrafficPolicy::default() };
        self.unsupported(at, "outlierDetection", &spec.outlier_detection);
        self.unsupported(at, "tunnel", &spec.tunnel);
        self.unsupported(at, "proxyProtocol", &spec.proxy_protocol);
        self.unsupported(at, "retryBudget", &spec.retry_budget);
        let all = PolicyLevel {
            load_balancer: self.load_balancer(&at.key("loadBalancer"), spec.load_balancer.as_ref()),
            tls: self.client_tls(&at.key("tls"), spec.tls.as_ref()),
            connection_pool: self.connection_pool(&at.key("connectionPool"), spec.connection_pool.as_ref()),
        };
        let ports = self.port_levels(&at.key("portLevelSettings"), &spec.port_level_settings);
        TrafficPolicy { all, ports }
    }

    fn port_levels(&mut self, at: &FieldPath, specs: &[PortPolicy]) -> BTreeMap<u16, PolicyLevel> {
        let mut levels = BTreeMap::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.index(index);
            self.unsupported(&at, "outlierDetection", &spec.outlier_detection);
            let level = PolicyLevel {
                load_balancer: self.load_balancer(&at.key("loadBalancer"), spec.load_balancer.as_ref()),
                tls: self.client_tls(&at.key("tls"), spec.tls.as_ref()),
                connection_pool: self.connection_pool(&at.key("connectionPool"), spec.connection_pool.as_ref()),
            };
            let port_at = at.key("port").key("number");
            let Some(number) = spec.port.as_ref().and_then(|port| port.number) else {
                self.problems.error(&port_at, "is missing; name the service's port");
                continue;
            };
            let Some(number) = self.port(&port_at, number) else { continue };
            if levels.insert(number, level).is_some() {
                self.problems.error(&port_at, format!("{number} occurs twice; keep one"));
            }
        }
        levels
    }

    fn load_balancer(&mut self, at: &FieldPath, spec: Option<&LoadBalancerSettings>) -> Option<LoadBalancer> {
        let spec = spec?;
        self.unsupported(at, "consistentHash", &spec.consistent_hash);
        self.unsupported(at, "localityLbSetting", &spec.locality_lb_setting);
        self.unsupported(at, "zoneAwareLbSetting", &spec.zone_aware_lb_setting);
        self.unsupported(at, "warmup", &spec.warmup);
        self.unsupported(at, "warmupDurationSecs", &spec.warmup_duration_secs);
        let values = [
            ("LEAST_REQUEST", LoadBalancer::LeastRequest),
            ("ROUND_ROBIN", LoadBalancer::RoundRobin),
            ("RANDOM", LoadBalancer::Random),
            ("PASSTHROUGH", LoadBalancer::Passthrough),
            ("LEAST_CONN", LoadBalancer::LeastRequest),
            ("UNSPECIFIED", LoadBalancer::default()),
        ];
        let name = spec.simple.as_deref();
        Some(self.one_of(&at.key("simple"), name, &values, LoadBalancer::default()))
    }

    fn connection_pool(&mut self, at: &FieldPath, spec: Option<&ConnectionPoolSettings>) -> Option<ConnectionPool> {
        let spec = spec?;
        self.unsupported(at, "http", &spec.http);
        let tcp = spec.tcp.as_ref()?;
        let at = at.key("tcp");
        self.unsupported(&at, "maxConnections", &tcp.max_connections);
        self.unsupported(&at, "tcpKeepalive", &tcp.tcp_keepalive);
        self.unsupported(&at, "maxConnectionDuration", &tcp.max_connection_duration);
        self.unsupported(&at, "idleTimeout", &tcp.idle_timeout);
        let connect_timeout = self.duration_if(&at.key("connectTimeout"), tcp.connect_timeout.as_deref(), false);
        Some(ConnectionPool { connect_timeout })
    }

    fn client_tls(&mut self, at: &FieldPath, spec: Option<&ClientTlsSettings>) -> Option<ClientTls> {
        let spec = spec?;
        if spec.credential_name.is_some() {
            let message = "secrets are not supported yet; use clientCertificate, privateKey and caCertificates";
            self.problems.error(&at.key("credentialName"), message);
        }
        if spec.ca_crl.is_some() {
            self.problems.error(&at.key("caCrl"), "is not supported yet, so revoked certificates would be accepted");
        }
        let modes = [
            ("DISABLE", TlsMode::Disable),
            ("SIMPLE", TlsMode::Simple),
            ("MUTUAL", TlsMode::Mutual),
            ("ISTIO_MUTUAL", TlsMode::IstioMutual),
        ];
        if spec.mode.is_none() {
            self.problems.warning(&at.key("mode"), "is missing, which means DISABLE: plain text");
        }
        let mode = self.one_of(&at.key("mode"), spec.mode.as_deref(), &modes, TlsMode::Disable);
        self.files(at, spec, mode);
        let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Arc::<str>::from);
        Some(ClientTls {
            mode,
            sni: text(&spec.sni),
            subject_alt_names: spec.subject_alt_names.iter().map(|name| Arc::from(name.as_str())).collect(),
            ca_certificates: text(&spec.ca_certificates),
            client_certificate: text(&spec.client_certificate),
            private_key: text(&spec.private_key),
            insecure_skip_verify: spec.insecure_skip_verify.unwrap_or(false),
        })
    }

    /// MUTUAL needs a certificate; ISTIO_MUTUAL brings its own.
    fn files(&mut self, at: &FieldPath, spec: &ClientTlsSettings, mode: TlsMode) {
        let files = [("clientCertificate", &spec.client_certificate), ("privateKey", &spec.private_key)];
        for (field, file) in files {
            match (mode, file) {
                (TlsMode::Mutual, None) => self.problems.error(&at.key(field), "is missing; MUTUAL needs its path"),
                (TlsMode::IstioMutual, Some(_)) => {
                    let message = "does not go with ISTIO_MUTUAL, which uses the workload's own certificate; remove it";
                    self.problems.error(&at.key(field), message);
                }
                _ => {}
            }
        }
        if mode == TlsMode::Simple && spec.insecure_skip_verify == Some(true) {
            let message = "the server is not verified: anybody in between can read and change what is sent";
            self.problems.warning(&at.key("insecureSkipVerify"), message);
        }
    }
}
