//! Applications that listen on their pod's address and nowhere else.

use lab::Lab;
use libtest_mimic::Trial;

use crate::config::{Config, endpoints, service};
use crate::origin::Origin;
use crate::{Outcome, ensure, test};

const WEB: [u8; 4] = [10, 44, 2, 13];
const SERVICE: [u8; 4] = [10, 96, 2, 13];

pub fn tests() -> Vec<Trial> {
    vec![
        test("own_address::an_application_that_listens_on_its_pods_address_only_is_reached", reached),
        test("own_address::such_an_application_is_reached_by_its_own_pod_too", itself),
    ]
}

/// HTTP on port 80 and the same, undeclared, on port 81; the application listens on the pod's address.
fn scene() -> Result<(Lab, [Origin; 2], Config), Box<dyn std::error::Error>> {
    let config = Config::new();
    config.mtls("STRICT");
    config.client("client", 2, true);
    config.client("web", WEB[3], true);
    let ports = [("http", 80, 8080), ("tcp-other", 81, 8081)];
    let text = service("web", "10.96.2.13", &ports) + &endpoints("web", &ports, [("web", WEB[3])].into_iter());
    config.write("web-service.yaml", &text);
    let lab = config.start()?;
    let web = lab.pod("web")?;
    let origins = [Origin::at(web, (WEB, 8080))?, Origin::at(web, (WEB, 8081))?];
    Ok((lab, origins, config))
}

fn all_answer(lab: &Lab, from: &str) -> Outcome {
    for port in [80, 81] {
        let answer = lab.pod(from)?.get((SERVICE, port), "/status/203")?;
        ensure!(answer.status == 203, "port {port} from {from}: {answer:?}");
    }
    Ok(())
}

fn reached() -> Outcome {
    let (lab, _origins, _config) = scene()?;
    all_answer(&lab, "client")
}

fn itself() -> Outcome {
    let (lab, _origins, _config) = scene()?;
    all_answer(&lab, "web")?;
    // By its address it stays within the pod: the application is asked without any sidecar, as on loopback.
    let direct = lab.pod("web")?.get((WEB, 8080), "/status/203")?;
    ensure!(direct.status == 203, "by its own address: {direct:?}");
    Ok(())
}
