//! The Gateway API conformance suite for meshes, unmodified, against Meltemi on the cluster: all of its tests, none
//! skipped. It is a weak judge, so stricter twins of its tests stand beside this.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use cluster::Cluster;
use libtest_mimic::Trial;

use crate::installed::{Installed, on_mesh};
use crate::{Outcome, ensure};

pub fn tests() -> Vec<Trial> {
    vec![on_mesh("conformance::every_mesh_test_of_the_gateway_api_passes", conformance)]
}

/// The tests for meshes of version 1.6.3, each of which has a name of its own in the suite's output.
const TESTS: usize = 22;
const PROFILES: &str = "MESH-HTTP,MESH-GRPC";
/// All extended features of the two profiles, then those that tests need besides: they count in no profile, and without
/// them seven tests would be skipped.
const FEATURES: [&str; 14] = [
    "MeshClusterIPMatching",
    "MeshConsumerRoute",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRouteResponseHeaderModification",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
];

fn conformance(mesh: &Installed) -> Outcome {
    let cluster = &mesh.cluster;
    // A report for the book is written where this says.
    let report =
        std::env::var("CONFORMANCE_REPORT").map_or_else(|_| cluster.folder().join("report.yaml"), PathBuf::from);
    let output = run_suite(cluster, &report)?;
    let said = String::from_utf8_lossy(&output.stdout);
    // Tests of gateways are no part of the profiles; the suite lists them as skipped.
    let lines = |verdict: &str| -> Vec<&str> {
        let start = format!("    --- {verdict}: TestConformance/Mesh");
        said.lines().filter(|line| line.starts_with(&start)).collect()
    };
    let (failed, skipped) = (lines("FAIL"), lines("SKIP"));
    ensure!(output.status.success() && failed.is_empty(), "{failed:#?}\n{}", tail(&said));
    ensure!(skipped.is_empty(), "skipped: {skipped:#?}");
    let passed = lines("PASS").len();
    ensure!(passed == TESTS, "{passed} tests passed, not {TESTS}");
    judge(&fs::read_to_string(&report)?)
}

fn run_suite(cluster: &Cluster, report: &std::path::Path) -> Result<Output, Box<dyn std::error::Error>> {
    let mut command = cluster.command(cluster.programs().get("conformance")?);
    command
        .args(["-test.v", "-test.timeout=30m", "--debug=false"])
        .arg(format!("--conformance-profiles={PROFILES}"))
        .arg(format!("--supported-features={}", FEATURES.join(",")))
        .arg("--namespace-labels=istio-injection=enabled")
        .arg(format!("--report-output={}", report.display()))
        .args(["--organization=meltemi", "--project=meltemi", "--url=https://meltemi.dev"])
        .args([concat!("--version=v", env!("CARGO_PKG_VERSION")), "--contact=https://meltemi.dev"])
        .stdin(Stdio::null());
    Ok(command.output()?)
}

/// Fails unless the report says success everywhere, with nothing unsupported.
fn judge(report: &str) -> Outcome {
    for (line, times) in [("result: success", 3), ("name: MESH-HTTP", 1), ("name: MESH-GRPC", 1)] {
        let found = report.lines().filter(|one| one.trim_start_matches(['-', ' ']) == line).count();
        ensure!(found >= times, "{line:?} stands {found} times in the report, not {times}:\n{report}");
    }
    for word in ["unsupportedFeatures", "skippedTests", "failedTests", "result: partial", "result: failure"] {
        ensure!(!report.contains(word), "{word} in the report:\n{report}");
    }
    Ok(())
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
