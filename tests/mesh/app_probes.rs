//! The kubelet has no certificate of the mesh: what it asks the sidecar, the sidecar asks the application, wherever in
//! its pod that one listens, and tells its answer, also where nothing gets in without mTLS.

use std::time::Duration;

use lab::http::Response;
use lab::{Lab, Pod};
use libtest_mimic::Trial;

use crate::config::Config;
use crate::origin::Origin;
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const WEB: [u8; 4] = [10, 44, 2, 13];
const DECLARED: &str = r#"{
    "/app-health/everywhere/readyz": {"httpGet": {"port": 8080, "path": "/status/204", "scheme": "HTTP"}, "timeoutSeconds": 5},
    "/app-health/everywhere/livez": {"httpGet": {"port": 8080, "path": "/status/500", "scheme": "HTTP"}, "timeoutSeconds": 5},
    "/app-health/pod/readyz": {"httpGet": {"port": 8081, "path": "/status/200"}, "timeoutSeconds": 5},
    "/app-health/pod/startupz": {"tcpSocket": {"port": 8081}, "timeoutSeconds": 5},
    "/app-health/loopback/readyz": {"httpGet": {"port": 8082}, "timeoutSeconds": 5}
}"#;

pub fn tests() -> Vec<Trial> {
    vec![test("app_probes::the_kubelet_hears_of_the_application_under_strict", strict)]
}

fn ask(kubelet: &Pod, path: &str) -> Result<Response, String> {
    kubelet.get((WEB, 15020), path).map_err(|error| format!("{path}: {error}"))
}

fn strict() -> Outcome {
    let config = Config::new();
    config.mtls("STRICT");
    config.client("web", WEB[3], true);
    config.client("kubelet", 99, false);
    let mut options = config.options();
    options.proxy_args.extend(["--app-probers".to_owned(), DECLARED.to_owned()]);
    let lab = Lab::start(options)?;
    let (web, kubelet) = (lab.pod("web")?, lab.pod("kubelet")?);
    let before = ask(kubelet, "/app-health/everywhere/readyz")?;
    ensure!(before.status == 503 && before.text().contains("refused"), "without an application: {before:?}");

    let _apps = [
        Origin::at(web, ([0, 0, 0, 0], 8080))?,
        Origin::at(web, (WEB, 8081))?,
        Origin::at(web, ([127, 0, 0, 1], 8082))?,
    ];
    for (path, status) in [
        ("/app-health/everywhere/readyz", 204),
        ("/app-health/everywhere/livez", 500),
        ("/app-health/pod/readyz", 200),
        ("/app-health/pod/startupz", 200),
        ("/app-health/pod/livez", 404),
        ("/app-health/../status/200", 404),
    ] {
        let answer = ask(kubelet, path)?;
        ensure!(answer.status == status, "{path}: {answer:?}, not {status}");
    }
    // As without a mesh: the kubelet does not reach it either.
    let loopback = ask(kubelet, "/app-health/loopback/readyz")?;
    ensure!(loopback.status == 503 && loopback.text().contains("127.0.0.1 only"), "{loopback:?}");

    // The same from outside is refused, and the sidecar's own questions never came back to it.
    ensure!(kubelet.get((WEB, 8080), "/status/204").is_err(), "plaintext got in under STRICT");
    until("one connection from outside", Duration::from_secs(5), || {
        let text = web.admin("/stats/prometheus").map_err(|error| error.to_string())?.text();
        let inbound = "meltemi_connections_accepted_total{direction=\"inbound\"} ";
        match text.lines().find_map(|line| line.strip_prefix(inbound)) {
            Some("1") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    lab.check()?;
    Ok(())
}
