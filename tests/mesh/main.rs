//! The whole mesh on one machine: the program that a user would run, in network namespaces with real redirect rules.
//!
//! One program, because a sandbox must be entered before any thread exists. Each file is one promise of the mesh.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod apart;
mod app_probes;
mod bad_input;
mod config;
mod cost;
mod descriptors;
mod discovery;
mod dual_stack;
mod ending;
mod faults;
mod gateway_routes;
mod h2spec;
mod hostile;
mod hostile_peers;
mod lossless;
mod mtls;
mod multiplex;
mod origin;
mod own_address;
mod protocols;
mod raw_h2;
mod raw_tls;
mod reload;
mod request_costs;
mod smuggling;
mod starting;
mod strace;
mod victim;
mod waiting;
mod waits;
mod weights;
mod wire;

#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../demo/demo.rs"]
mod demo;
#[path = "../envoy/mod.rs"]
mod envoy;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// What a test returns; any error text fails it.
type Outcome = Result<(), Failed>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Labs share the machine and one address plan.
    arguments.test_threads = Some(1);
    let tests = [
        protocols::tests(),
        discovery::tests(),
        mtls::tests(),
        dual_stack::tests(),
        multiplex::tests(),
        weights::tests(),
        gateway_routes::tests(),
        faults::tests(),
        reload::tests(),
        bad_input::tests(),
        smuggling::tests(),
        hostile::tests(),
        hostile_peers::tests(),
        h2spec::tests(),
        descriptors::tests(),
        app_probes::tests(),
        own_address::tests(),
        starting::tests(),
        ending::tests(),
        lossless::tests(),
        cost::tests(),
        request_costs::tests(),
        envoy::tests(),
        demo::tests(),
    ];
    match lab::sandbox::run(&[], |_| libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit_code())
    {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cannot run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A test by its name, `file::what holds`.
fn test(name: &str, body: fn() -> Outcome) -> Trial {
    Trial::test(name, body)
}

/// The program under test: `MELTEMI`, or the one beside this, built by the same cargo.
fn meltemi() -> PathBuf {
    if let Some(named) = std::env::var_os("MELTEMI") {
        return named.into();
    }
    let own = std::env::current_exe().expect("the path of this program");
    own.ancestors().nth(2).expect("target/debug").join("meltemi")
}

/// Fails with a text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        let holds: bool = $condition;
        if !holds {
            return Err(format!($($text)+).into());
        }
    };
}
pub(crate) use ensure;
