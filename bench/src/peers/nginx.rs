//! nginx, set up by hand: the leanest configuration that does the same work.

use super::{Peer, Side, Way, installed};
use crate::papers::Papers;
use crate::service::Service;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

pub const PEER: Peer = Peer {
    name: "nginx",
    about: "by hand, one process, mTLS 1.3 between its two instances (X25519), pooled; no redirect, no statistics, no log",
    program: |_| installed("nginx"),
    version: &["-v"],
    way: Way::ByHand { config, command },
    lacks: &[("http2", "it speaks HTTP/2 to its clients and to gRPC servers, not to other servers")],
};

fn command(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-c"]).arg(config);
    command
}

/// What never needs to end within a run.
const LONG: &str = "1h";
/// nginx closes a connection after this many requests.
const MANY: u32 = 1_000_000_000;
const CIPHER: &str = "Ciphersuites TLS_AES_128_GCM_SHA256";

fn config(side: Side, papers: &Papers) -> String {
    let mut text = format!(
        "load_module modules/ngx_stream_module.so;\ndaemon off;\nmaster_process off;\npid {};\nerror_log stderr error;\n\
         events {{ worker_connections 8000; }}\n",
        papers.pem(side).with_extension("pid").display()
    );
    let _ = writeln!(
        text,
        "http {{\naccess_log off;\nkeepalive_timeout {LONG};\nkeepalive_requests {MANY};\nclient_max_body_size 0;\n\
         client_body_buffer_size 64k;\nhttp2_recv_buffer_size 256k;\nserver_names_hash_bucket_size 64;"
    );
    http(&mut text, Service::Http1, side, papers);
    http(&mut text, Service::Grpc, side, papers);
    text.push_str("}\nstream {\n");
    let (from, to) = ways(Service::Tcp, side);
    let _ = writeln!(
        text,
        "upstream tcp {{ server {to}; }}\nserver {{\nproxy_pass tcp;\nproxy_timeout {LONG};\nproxy_buffer_size 64k;\ntcp_nodelay on;"
    );
    match side {
        Side::Client => {
            let _ = writeln!(text, "listen {from};\nproxy_ssl on;\n{}", client_tls("proxy", side, papers));
        }
        Side::Server => {
            let _ = writeln!(text, "listen {from} ssl;\n{}", server_tls(side, papers));
        }
    }
    text.push_str("}\n}\n");
    text
}

/// One HTTP or gRPC service.
fn http(text: &mut String, service: Service, side: Side, papers: &Papers) {
    let (from, to) = ways(service, side);
    let name = service.name();
    let (version, module) = if service == Service::Grpc { (" http2", "grpc") } else { ("", "proxy") };
    let _ = writeln!(
        text,
        "upstream {name} {{ server {to}; keepalive 256; keepalive_requests {MANY}; keepalive_timeout {LONG}; }}\nserver {{"
    );
    let scheme = match (module, side) {
        ("grpc", Side::Client) => "grpcs",
        ("grpc", Side::Server) => "grpc",
        (_, Side::Client) => "https",
        (_, Side::Server) => "http",
    };
    match side {
        Side::Client => {
            let _ = writeln!(text, "listen {from}{version};\n{}", client_tls(module, side, papers));
        }
        Side::Server => {
            let _ = writeln!(text, "listen {from} ssl{version};\n{}", server_tls(side, papers));
        }
    }
    let _ = writeln!(text, "location / {{\n{module}_pass {scheme}://{name};\n{module}_read_timeout {LONG};");
    let _ = match module {
        "grpc" => writeln!(text, "grpc_buffer_size 64k;\ngrpc_send_timeout {LONG};"),
        _ => writeln!(
            text,
            "proxy_http_version 1.1;\nproxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n\
             proxy_request_buffering off;\nproxy_buffering off;\nproxy_buffer_size 64k;\nproxy_buffers 8 64k;\nproxy_busy_buffers_size 64k;"
        ),
    };
    text.push_str("}\n}\n");
}

/// Where an instance listens and where it connects to.
fn ways(service: Service, side: Side) -> (String, String) {
    let (near, far) = (service.local().to_string(), service.tunnel().to_string());
    match side {
        Side::Client => (near, far),
        Side::Server => (far, near),
    }
}

fn client_tls(module: &str, side: Side, papers: &Papers) -> String {
    let (pem, ca) = (papers.pem(side), papers.ca());
    let (pem, ca) = (pem.display(), ca.display());
    format!(
        "{module}_ssl_protocols TLSv1.3;\n{module}_ssl_conf_command {CIPHER};\n{module}_ssl_certificate {pem};\n\
         {module}_ssl_certificate_key {pem};\n{module}_ssl_trusted_certificate {ca};\n{module}_ssl_verify on;\n\
         {module}_ssl_name {};\n{module}_ssl_session_reuse off;",
        Papers::SERVER
    )
}

fn server_tls(side: Side, papers: &Papers) -> String {
    let (pem, ca) = (papers.pem(side), papers.ca());
    let (pem, ca) = (pem.display(), ca.display());
    format!(
        "ssl_protocols TLSv1.3;\nssl_conf_command {CIPHER};\nssl_certificate {pem};\nssl_certificate_key {pem};\n\
         ssl_client_certificate {ca};\nssl_verify_client on;\nssl_session_tickets off;\nssl_session_cache off;"
    )
}
