//! Weights are true: over 10,000 requests the shares pass a chi-squared test.

use lab::Load;
use libtest_mimic::Trial;

use crate::config::Config;
use crate::{Outcome, ensure, test};

const REQUESTS: u64 = 10_000;
/// The 99.99 % quantile of the chi-squared distribution with one degree of freedom: one false alarm in 10,000 runs.
const CRITICAL: f64 = 15.137;

pub fn tests() -> Vec<Trial> {
    vec![test("weights::shares_of_10000_requests_pass_a_chi_squared_test", shares)]
}

fn shares() -> Outcome {
    let config = Config::echo();
    config.echo_routes(&split(90, 10));
    let lab = config.start()?;
    for (v1, v2) in [(90, 10), (50, 50)] {
        config.echo_routes(&split(v1, v2));
        wait_for_weights(&lab, v1)?;
        let (summary, ()) =
            Load::burst(([10, 96, 2, 10], 80), "echo", REQUESTS).run(lab.pod("client")?.namespaces(), || ());
        ensure!(summary.failed() == 0, "{}", summary.told());
        let observed = [summary.versions.get("v1"), summary.versions.get("v2")].map(|count| *count.unwrap_or(&0));
        let statistic = chi_squared(observed, [v1, v2]);
        println!("{v1}/{v2}: observed {observed:?}, chi-squared {statistic:.2} (limit {CRITICAL})");
        ensure!(statistic < CRITICAL, "{v1}/{v2}: observed {observed:?}, chi-squared {statistic:.2}");
    }
    Ok(())
}

fn split(v1: u32, v2: u32) -> String {
    format!(
        "    - route:\n        - destination: {{host: echo, subset: v1}}\n          weight: {v1}\n        \
         - destination: {{host: echo, subset: v2}}\n          weight: {v2}\n      headers: {{response: {{set: {{x-split: \"{v1}\"}}}}}}"
    )
}

/// The response carries the weights that it was decided by.
fn wait_for_weights(lab: &lab::Lab, v1: u32) -> Result<(), Box<dyn std::error::Error>> {
    let client = lab.pod("client")?;
    crate::waiting::until("the new weights", std::time::Duration::from_secs(5), || {
        let response = client.get(([10, 96, 2, 10], 80), "/").map_err(|error| error.to_string())?;
        let split = response.header("x-split").unwrap_or("none").to_owned();
        if split == v1.to_string() { Ok(()) } else { Err(format!("x-split is {split}")) }
    })?;
    Ok(())
}

fn chi_squared(observed: [u64; 2], weights: [u32; 2]) -> f64 {
    let total = f64::from(weights[0] + weights[1]);
    let expected = weights.map(|weight| REQUESTS as f64 * f64::from(weight) / total);
    observed.iter().zip(expected).map(|(observed, expected)| (*observed as f64 - expected).powi(2) / expected).sum()
}
