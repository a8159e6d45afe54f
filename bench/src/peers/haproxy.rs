//! HAProxy, set up by hand: the leanest configuration that does the same work.

use super::{Peer, Side, Way, installed};
use crate::papers::Papers;
use crate::service::Service;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

pub const PEER: Peer = Peer {
    name: "haproxy",
    about: "by hand, one thread, mTLS 1.3 between its two instances (X25519), pooled; no redirect, no statistics, no log",
    program: |_| installed("haproxy"),
    version: &["-v"],
    way: Way::ByHand { config, command },
    lacks: &[],
};

fn command(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(config);
    command
}

fn config(side: Side, papers: &Papers) -> String {
    let mut text = String::from(
        "global\n  nbthread 1\n  maxconn 8000\n  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256\n  \
         ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256\n  ssl-default-bind-options ssl-min-ver TLSv1.3\n  \
         ssl-default-server-options ssl-min-ver TLSv1.3\n\
         defaults\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  option http-keep-alive\n  http-reuse always\n",
    );
    for service in Service::ALL {
        let (name, mode) = (service.name(), if service == Service::Tcp { "tcp" } else { "http" });
        let (near, far) = (service.local(), service.tunnel());
        let protocol = match service {
            Service::Http2 | Service::Grpc => " proto h2",
            Service::Http1 | Service::Tcp => "",
        };
        let alpn = match service {
            Service::Http2 | Service::Grpc => " alpn h2",
            Service::Http1 => " alpn http/1.1",
            Service::Tcp => "",
        };
        let (pem, ca) = (papers.pem(side), papers.ca());
        let (pem, ca) = (pem.display(), ca.display());
        // Without tickets and cached sessions each connection between the two is a full handshake, as between sidecars.
        let (bind, server) = match side {
            Side::Client => (
                format!("{near}{protocol}"),
                format!(
                    "{far} ssl crt {pem} ca-file {ca} verify required verifyhost {} no-ssl-reuse{alpn}",
                    Papers::SERVER
                ),
            ),
            Side::Server => (
                format!("{far} ssl crt {pem} ca-file {ca} verify required no-tls-tickets{alpn}"),
                format!("{near}{protocol}"),
            ),
        };
        let _ = writeln!(
            text,
            "frontend {name}\n  mode {mode}\n  bind {bind}\n  default_backend {name}\n\
             backend {name}\n  mode {mode}\n  server one {server}"
        );
    }
    text
}
