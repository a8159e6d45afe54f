//! Editing a file changes routing within a second; what is wrong is named by file, line and field, and the last good
//! configuration stays in force.

use std::time::{Duration, Instant};

use lab::Lab;
use libtest_mimic::Trial;

use crate::config::{Config, virtual_service};
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);

pub fn tests() -> Vec<Trial> {
    vec![
        test("reload::an_edit_changes_routing_within_a_second", within_a_second),
        test("reload::what_is_wrong_is_named_and_the_last_good_configuration_stays", errors),
    ]
}

fn to(subset: &str) -> String {
    format!("    - route: [{{destination: {{host: echo, subset: {subset}}}}}]")
}

fn version(lab: &Lab) -> Result<String, Box<dyn std::error::Error>> {
    let response = lab.pod("client")?.get(ECHO, "/")?;
    Ok(response.header("x-version").unwrap_or("none").to_owned())
}

fn within_a_second() -> Outcome {
    let config = Config::echo();
    config.echo_routes(&to("v1"));
    let lab = config.start()?;
    ensure!(version(&lab)? == "v1", "the first route is not in force");
    for round in 0..10 {
        let (before, subset) = if round % 2 == 0 { ("v1", "v2") } else { ("v2", "v1") };
        config.echo_routes(&to(subset));
        let edited = Instant::now();
        let first_other = until("the new route", Duration::from_secs(5), || {
            let found = version(&lab).unwrap_or_else(|error| error.to_string());
            if found == before { Err(format!("still {found}")) } else { Ok(found) }
        })?;
        let took = edited.elapsed();
        ensure!(
            first_other == subset,
            "round {round}: between {before} and {subset} the answer came from {first_other}"
        );
        println!("round {round}: in force after {took:?}");
        ensure!(took < Duration::from_secs(1), "round {round}: in force only after {took:?}");
    }
    Ok(())
}

fn errors() -> Outcome {
    let config = Config::echo();
    config.echo_routes(&to("v1"));
    let lab = config.start()?;
    ensure!(version(&lab)? == "v1", "the first route is not in force");
    let cases = [
        ("a subset that does not exist", to("v9"), "echo-routes.yaml:9: spec.http[0].route[0].destination.subset:"),
        (
            "a host that does not exist",
            "    - route:\n        - destination:\n            host: nowhere".to_owned(),
            "echo-routes.yaml:11: spec.http[0].route[0].destination.host:",
        ),
        ("a field that does not exist", "    - rout: []".to_owned(), "echo-routes.yaml:9: spec.http[0].rout:"),
        ("a file that is no YAML", "    - route: [".to_owned(), "echo-routes.yaml:"),
    ];
    for (what, rules, wanted) in cases {
        config.write("echo-routes.yaml", &virtual_service("echo", &rules));
        let told = until(what, Duration::from_secs(5), || {
            let log = lab.control_plane().process().map(|process| process.log_tail(40)).unwrap_or_default();
            let line = log.lines().find(|line| line.contains(wanted)).map(str::to_owned);
            line.ok_or_else(|| format!("no line with {wanted:?} in\n{log}"))
        })?;
        println!("{what}: {told}");
        ensure!(version(&lab)? == "v1", "{what}: the last good route is no longer in force");
    }
    config.echo_routes(&to("v2"));
    until("the mended route", Duration::from_secs(5), || match version(&lab) {
        Ok(found) if found == "v2" => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    Ok(())
}
