//! What became of each object, in words that its author can act on.

use crate::api::Kind;
use crate::build::{Assessment, Snapshot, Verdict};
use crate::catalog::RefusedResource;
use crate::model::{ObjectRef, ParentStatus};
use crate::object::Placed;
use crate::problem::Severity;
use crate::source::{Candidates, FileProblem};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// What became of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectStatus {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// The file that holds it, relative to the configuration directory.
    pub file: Arc<str>,
    /// The line on which it starts, from 1.
    pub line: u32,
    /// `metadata.generation`, in a cluster.
    pub generation: Option<i64>,
    /// `metadata.uid`, in a cluster.
    pub uid: Option<Arc<str>>,
    /// What became of it.
    pub condition: Condition,
    /// What is wrong or worth knowing, each as `file:line: field: what is wrong, what would be right`.
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
    /// The file, relative to the configuration directory.
    pub file: Arc<str>,
    /// The line, from 1; 0 when no line is to blame.
    pub line: u32,
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
    files: Vec<FileProblem>,
}

impl Statuses {
    pub(crate) fn new(snapshot: Arc<Snapshot>, candidates: Arc<Candidates>, files: Vec<FileProblem>) -> Self {
        Self { snapshot, candidates, files }
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

    /// Everything that is wrong or worth knowing, files first.
    pub fn findings(&self) -> Vec<Finding> {
        let objects = self.candidates.iter().filter_map(|(object, placed)| {
            Some(findings(placed, self.snapshot.objects(placed.object.kind).assessment(object)?))
        });
        self.file_findings().into_iter().chain(objects.flatten()).collect()
    }

    /// What is wrong with files rather than with objects.
    pub fn file_findings(&self) -> Vec<Finding> {
        let finding = |problem: &FileProblem| Finding {
            file: problem.file.clone(),
            line: problem.line,
            is_error: true,
            text: problem.message.clone(),
        };
        self.files.iter().map(finding).collect()
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
            file: placed.file.clone(),
            line: placed.line_of(&Default::default()),
            generation: None,
            uid: None,
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
            file: placed.file.clone(),
            line: placed.line_of(&problem.field),
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
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

impl fmt::Display for ObjectStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{}) ", self.object, self.file, self.line)?;
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
