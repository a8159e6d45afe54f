//! Meltemi on a real Kubernetes: the cluster that the library of this package makes, and what runs on it.
//!
//! Without root there is no cluster: one line says so, and in CI it is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod admission;
mod api;
mod basics;
mod calls;
mod conformance;
mod families;
mod helm;
mod install;
mod installed;
mod leftovers;
mod lossless;
mod many;
mod opting;
mod revisions;
mod rollout;
mod shared;
mod strict;
mod traffic;
mod twins;
mod workloads;
mod wrong;

use std::path::PathBuf;
use std::process::ExitCode;

use cluster::ClusterError;
use libtest_mimic::{Arguments, Failed, Trial};

/// What a test returns; any error text fails it.
type Outcome = Result<(), Failed>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Tests start clusters of their own, which would all start at once.
    arguments.test_threads = Some(1);
    let tests = [
        basics::tests(),
        leftovers::tests(),
        install::tests(),
        helm::tests(),
        opting::tests(),
        wrong::tests(),
        traffic::tests(),
        families::tests(),
        strict::tests(),
        rollout::tests(),
        revisions::tests(),
        admission::tests(),
        many::tests(),
        conformance::tests(),
        twins::tests(),
        lossless::tests(),
    ];
    let work = |_| {
        let code = libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit_code();
        installed::end();
        code
    };
    match cluster::run(&[], work) {
        Ok(code) => code,
        Err(ClusterError::NotRoot) if std::env::var_os("CI").is_none() => {
            println!("not run: the tests on a real Kubernetes need root (sudo make test-cluster)");
            ExitCode::SUCCESS
        }
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

/// Whether there is time for the long form of a test.
fn heavy() -> bool {
    std::env::var_os("MELTEMI_HEAVY").is_some()
}

/// The program under test: beside this one, built by the same cargo.
fn meltemi() -> PathBuf {
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
