//! The start of a sidecar while there is no control plane.

use std::net::Ipv4Addr;
use std::time::Duration;

use lab::{Lab, LabError, SidecarKind};
use libtest_mimic::Trial;

use crate::config::Config;
use crate::waiting::until;
use crate::{Outcome, test};

const NAMES: [&str; 4] = ["one", "two", "three", "four"];

pub fn tests() -> Vec<Trial> {
    vec![test("starting::sidecars_that_were_there_before_their_control_plane_are_configured_when_it_comes", early)]
}

fn early() -> Outcome {
    let config = Config::new();
    for (name, number) in NAMES.into_iter().zip(2..) {
        config.client(name, number, true);
    }
    let lab = Lab::prepare(config.options())?;
    // Its first start makes the root certificate that sidecars are given.
    lab.control_plane().start()?;
    lab.control_plane().stop();
    let ready = |name: &str| -> Result<(), LabError> {
        let pod = lab.pod(name)?;
        pod.redirect()?;
        // Waits until it is ready, for 30 s.
        pod.start_sidecar(SidecarKind::Meltemi)
    };
    let waits = |name: &str| match lab.pod(name).map(|pod| pod.get((Ipv4Addr::LOCALHOST, 15021), "/healthz/ready")) {
        Ok(Ok(answer)) if answer.text().contains("waiting for a certificate") => Ok(()),
        other => Err(format!("{name}: {other:?}")),
    };
    std::thread::scope(|scope| {
        let starts = NAMES.map(|name| scope.spawn(move || ready(name)));
        for name in NAMES {
            until("a sidecar without a certificate", Duration::from_secs(20), || waits(name))?;
        }
        lab.control_plane().start()?;
        for start in starts {
            start.join().expect("no panic")?;
        }
        Ok(())
    })
}
