//! What became of each object, in words that its author can act on.

use crate::api::Kind;
use crate::build::{Assessment, Snapshot, Verdict};
use crate::catalog::RefusedResource;
use crate::model::{ObjectRef, ParentStatus};
use crate::object::Placed;
use crate::problem::Severity;
use crate::source::{Candidates, SourceProblem};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

pub use crate::place::Place;

/// What became of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectStatus {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// Where it stands.
    pub place: Place,
    /// `metadata.generation` of the version that this is said of; None where nobody counts.
    pub generation: Option<i64>,
    /// `metadata.uid`; None for objects of files.
    pub uid: Option<Arc<str>>,
    /// What became of it.
    pub condition: Condition,
    /// What is wrong or worth knowing, each as `place: field: what is wrong, what would be right`.
    pub findings: Vec<Finding>,
    /// For a route of the Gateway API: what became of it at each of its parents.
    pub parents: Vec<ParentStatus>,
    /// Proxies that refuse what was made of it.
    pub refused: Vec<RefusedResource>,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is in force as it is written; findings are warnings.
    InForce,
    /// It is wrong.
    Rejected {
        /// Its last right version is still in force.
        last_good_in_force: bool,
    },
    /// Another object decides in its place.
    Shadowed {
        /// That object.
        by: Arc<ObjectRef>,
    },
}

/// Something that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// Whether it keeps something from taking effect.
    pub is_error: bool,
    /// The field (if one is to blame), what is wrong, and what would be right.
    pub text: String,
}

/// What became of everything that the source holds.
#[derive(Clone, Debug, Default)]
pub struct Statuses {
    snapshot: Arc<Snapshot>,
    candidates: Arc<Candidates>,
    source: Vec<SourceProblem>,
    findings: OnceLock<Vec<Finding>>,
}

impl Statuses {
    pub(crate) fn new(snapshot: Arc<Snapshot>, candidates: Arc<Candidates>, source: Vec<SourceProblem>) -> Self {
        Self { snapshot, candidates, source, findings: OnceLock::new() }
    }

    /// One status for each object, by kind, namespace and name. `refused` is what proxies refuse at present.
    pub fn objects(&self, refused: &[RefusedResource]) -> Vec<ObjectStatus> {
        let mut by_source = HashMap::<&ObjectRef, Vec<&RefusedResource>>::new();
        for resource in refused {
            for source in &resource.sources {
                by_source.entry(source).or_default().push(resource);
            }
        }
        let of = |object: &ObjectRef| by_source.get(object).map_or(&[][..], Vec::as_slice);
        let all = Kind::ALL.into_iter().flat_map(|kind| self.candidates.of(kind));
        all.filter_map(|(object, placed)| self.status(object, placed, of(object))).collect()
    }

    /// The status of one object.
    pub fn object(&self, object: &ObjectRef, refused: &[RefusedResource]) -> Option<ObjectStatus> {
        let found = Kind::ALL.into_iter().find_map(|kind| self.candidates.of(kind).get_key_value(object));
        let concerns = |resource: &&RefusedResource| resource.sources.iter().any(|source| **source == *object);
        let refused: Vec<_> = refused.iter().filter(concerns).collect();
        found.and_then(|(object, placed)| self.status(object, placed, &refused))
    }

    /// Everything that is wrong or worth knowing, what is wrong with the source first.
    pub fn findings(&self) -> &[Finding] {
        self.findings.get_or_init(|| {
            let objects = self.candidates.iter().filter_map(|(object, placed)| {
                Some(findings(placed, self.snapshot.objects(placed.object.kind).assessment(object)?))
            });
            self.source_findings().into_iter().chain(objects.flatten()).collect()
        })
    }

    /// What is wrong with files, or with the way to the API server, rather than with objects.
    pub fn source_findings(&self) -> Vec<Finding> {
        let finding = |problem: &SourceProblem| Finding {
            place: problem.place.clone(),
            is_error: true,
            text: problem.message.clone(),
        };
        self.source.iter().map(finding).collect()
    }

    /// How many objects there are, and how many of them are rejected.
    pub fn counts(&self) -> (usize, usize) {
        let verdicts = self.candidates.iter().filter_map(|(object, placed)| {
            self.snapshot.objects(placed.object.kind).assessment(object).map(|assessment| &assessment.verdict)
        });
        verdicts.fold((0, 0), |(all, rejected), verdict| {
            (all + 1, rejected + usize::from(matches!(verdict, Verdict::Rejected { .. })))
        })
    }

    fn status(&self, object: &Arc<ObjectRef>, placed: &Placed, refused: &[&RefusedResource]) -> Option<ObjectStatus> {
        let assessment = self.snapshot.objects(placed.object.kind).assessment(object)?;
        Some(ObjectStatus {
            object: object.clone(),
            place: placed.place(),
            generation: placed.generation(),
            uid: placed.uid().cloned(),
            condition: Condition::of(&assessment.verdict),
            findings: findings(placed, assessment),
            parents: assessment.parents.clone(),
            refused: refused.iter().map(|resource| (*resource).clone()).collect(),
        })
    }
}

fn findings(placed: &Placed, assessment: &Assessment) -> Vec<Finding> {
    let finding = assessment.problems.iter().map(|problem| {
        let colon = if problem.field.as_str().is_empty() { "" } else { ": " };
        Finding {
            place: placed.place_of(&problem.field),
            is_error: problem.severity == Severity::Error,
            text: format!("{}{colon}{}", problem.field, problem.message),
        }
    });
    finding.collect()
}

impl Condition {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::InForce => Self::InForce,
            Verdict::Rejected { last_good_in_force } => Self::Rejected { last_good_in_force: *last_good_in_force },
            Verdict::Shadowed { by } => Self::Shadowed { by: by.clone() },
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl fmt::Display for ObjectStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            place @ Place::File { .. } => write!(f, "{} ({place}) ", self.object)?,
            Place::Api(_) | Place::Object(_) => write!(f, "{} ", self.object)?,
        }
        match &self.condition {
            Condition::InForce if self.findings.is_empty() => f.write_str("is in force")?,
            Condition::InForce => f.write_str("is in force, with warnings")?,
            Condition::Rejected { last_good_in_force: true } => {
                f.write_str("is rejected; its last good version stays in force")?;
            }
            Condition::Rejected { last_good_in_force: false } => f.write_str("is rejected and not in force")?,
            Condition::Shadowed { by } => write!(f, "is not in force: {by} decides in its place")?,
        }
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        for parent in &self.parents {
            write!(f, "\n  {parent}")?;
        }
        for resource in &self.refused {
            write!(f, "\n  {resource}")?;
        }
        Ok(())
    }
}
