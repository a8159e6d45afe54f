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

use libtest_mimic::Trial;

use crate::Outcome;
use crate::installed::{Installed, on_mesh};
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
    let twins = all().map(|twin| on_mesh(&format!("twins::{}", twin.name), move |mesh| with_mesh(mesh, &twin)));
    twins.chain([on_mesh("twins::without_the_mesh_every_twin_fails", without_mesh)]).collect()
}

fn all() -> impl Iterator<Item = Twin> {
    let groups = [addresses::twins(), matching::twins(), edits::twins(), places::twins(), weights::twins()];
    groups.into_iter().flatten()
}

fn with_mesh(mesh: &Installed, twin: &Twin) -> Outcome {
    prepared(mesh, "twins", true)?;
    World::new(&mesh.cluster, "twins")?.with(twin.routes, |world| (twin.check)(world))?
}

/// The control plane is there and accepts the routes, but the pods have no sidecars.
fn without_mesh(mesh: &Installed) -> Outcome {
    prepared(mesh, "bare", false)?;
    let world = World::new(&mesh.cluster, "bare")?;
    let mut blind = Vec::new();
    for twin in all() {
        if world.with(twin.routes, |world| (twin.check)(world))?.is_ok() {
            blind.push(twin.name);
        }
    }
    if blind.is_empty() { Ok(()) } else { Err(format!("these pass without a mesh: {}", blind.join(", ")).into()) }
}

/// Makes the namespace with its pods when the first twin asks for it.
fn prepared(mesh: &Installed, namespace: &str, injected: bool) -> Outcome {
    let there = mesh.cluster.kubectl(&["get", "namespace", namespace, "--ignore-not-found", "--output=name"])?;
    if there.trim().is_empty() {
        world::create(&mesh.cluster, namespace, injected)?;
    }
    Ok(())
}
