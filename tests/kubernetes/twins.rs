//! Stricter twins of the mesh tests of Gateway API's conformance suite. Its routes are those of the suite; but every answer
//! must be right from the moment that the route's status says Accepted, and so must the paths that backends see and the
//! places that redirects lead to, which the suite never looks at. And because several tests of the suite pass on a
//! cluster without any mesh, each twin has to fail there.

mod addresses;
mod client;
mod edits;
mod matching;
mod places;
mod weights;
mod world;

use std::sync::OnceLock;

use cluster::{Cluster, Options, echo};
use libtest_mimic::Trial;

use crate::{Outcome, meltemi};
use world::World;

/// One test of the suite, told more strictly.
struct Twin {
    /// What the suite calls it.
    name: &'static str,
    /// Its routes; `MESH` and `CONSUMER` stand for the namespaces.
    routes: &'static str,
    /// What must hold once they are accepted.
    check: fn(&World<'_>) -> Outcome,
}

pub fn tests() -> Vec<Trial> {
    let twins = all().map(|twin| Trial::test(format!("twins::{}", twin.name), move || with_mesh(&twin)));
    twins.chain([Trial::test("twins::without_the_mesh_every_twin_fails", without_mesh)]).collect()
}

fn all() -> impl Iterator<Item = Twin> {
    let groups = [addresses::twins(), matching::twins(), edits::twins(), places::twins(), weights::twins()];
    groups.into_iter().flatten()
}

fn with_mesh(twin: &Twin) -> Outcome {
    World::new(mesh()?, "twins")?.with(twin.routes, |world| (twin.check)(world))?
}

/// The control plane is there and accepts the routes, but the pods have no sidecars.
fn without_mesh() -> Outcome {
    let world = World::new(mesh()?, "bare")?;
    let mut blind = Vec::new();
    for twin in all() {
        if world.with(twin.routes, |world| (twin.check)(world))?.is_ok() {
            blind.push(twin.name);
        }
    }
    if blind.is_empty() { Ok(()) } else { Err(format!("these pass without a mesh: {}", blind.join(", ")).into()) }
}

/// A cluster with Meltemi on it, for all twins; it ends with the program's sandbox.
fn mesh() -> Result<&'static Cluster, String> {
    static MESH: OnceLock<Result<Cluster, String>> = OnceLock::new();
    MESH.get_or_init(|| start().map_err(|error| error.to_string())).as_ref().map_err(String::clone)
}

fn start() -> Result<Cluster, cluster::ClusterError> {
    let cluster = Cluster::start(Options::default())?;
    cluster.gateway_api_crds()?;
    cluster.load(&echo(cluster.programs())?)?;
    cluster.install_meltemi(&meltemi(), &[])?;
    for (namespace, injected) in [("twins", true), ("bare", false)] {
        world::create(&cluster, namespace, injected)?;
    }
    Ok(cluster)
}
