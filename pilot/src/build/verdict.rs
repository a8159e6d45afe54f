//! Which version of an object is in force, and what its author is told.

use crate::model::{ObjectRef, ParentStatus};
use crate::object::{Content, Object};
use crate::problem::{Problem, Problems, Severity};
use crate::yaml::FieldPath;
use std::sync::Arc;

/// What becomes of the newest version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force.
    InForce,
    /// It is wrong.
    Rejected {
        /// An older version is still in force.
        last_good_in_force: bool,
    },
    /// It is right, but another object decides in its place.
    Shadowed {
        /// The object that decides.
        by: Arc<ObjectRef>,
    },
}

/// What is to be said of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// What becomes of it.
    pub verdict: Verdict,
    /// What is wrong, or worth knowing.
    pub problems: Vec<Problem>,
    /// What became of a route of the Gateway API at each of its parents.
    pub parents: Vec<ParentStatus>,
}

impl Assessment {
    /// Adds a warning.
    pub(super) fn warn(&mut self, field: &FieldPath, message: impl Into<String>) {
        let problem = Problem { severity: Severity::Warning, field: field.clone(), message: message.into() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Notes that it does not take effect.
    pub(super) fn refuse(&mut self, field: &FieldPath, message: impl Into<String>) {
        let problem = Problem { severity: Severity::Error, field: field.clone(), message: message.into() };
        self.problems.push(problem);
        if self.verdict == Verdict::InForce {
            self.verdict = Verdict::Rejected { last_good_in_force: false };
        }
    }

    /// Another object decides in its place. What is rejected stays rejected.
    pub(super) fn shadow(&mut self, by: &Arc<ObjectRef>) {
        if self.verdict == Verdict::InForce {
            self.verdict = Verdict::Shadowed { by: by.clone() };
        }
    }
}

/// Chooses between the newest version and the one that was in force: the newest if it is right, else the other.
/// A version that was right when it came, and has lost what it refers to since, stays in force.
pub(super) fn choose(
    newest: &Arc<Object>,
    in_force: Option<&Arc<Object>>,
    check: &mut impl FnMut(&Content, &mut Problems),
) -> (Option<Arc<Object>>, Assessment) {
    let mut found = Problems::default();
    if let Some(content) = &newest.content {
        check(content, &mut found);
    }
    let parents = Vec::new();
    let wrong = newest.content.is_none() || found.has_errors();
    let mut problems = newest.problems.clone();
    problems.extend(found.into_vec());
    if !wrong {
        return (Some(newest.clone()), Assessment { verdict: Verdict::InForce, problems, parents });
    }
    match in_force {
        Some(old) if Arc::ptr_eq(old, newest) => {
            problems.iter_mut().for_each(downgrade);
            (Some(newest.clone()), Assessment { verdict: Verdict::InForce, problems, parents })
        }
        old => {
            let verdict = Verdict::Rejected { last_good_in_force: old.is_some() };
            (old.cloned(), Assessment { verdict, problems, parents })
        }
    }
}

fn downgrade(problem: &mut Problem) {
    if problem.severity == Severity::Error {
        problem.severity = Severity::Warning;
        problem.message.push_str(" (it was there when this object was loaded; the object stays in force, and requests that need it are answered with 503 until it is back)");
    }
}
