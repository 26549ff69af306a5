//! JSON objects of which many rows share parts: the specs of jobs, and the reports of attempts. A part is stored once, by
//! its digest. The views `job_spec` and `attempt_report` have the whole objects.

use super::{Store, Tx};
use crate::domain::digest::digest;
use crate::domain::job::{JobSpec, Report};
use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value};

/// The column `spec` of queries that read the table `job`.
pub(super) const SPEC: &str = "(SELECT whole.spec FROM job_spec AS whole WHERE whole.job_id = job.id)";

/// The column `report` of queries that read the table `attempt`.
pub(super) const REPORT: &str =
    "(SELECT whole.report FROM attempt_report AS whole WHERE whole.attempt_id = attempt.id)";

/// How many hex digits of a digest are stored: as many as nobody can find a second text for.
const DIGITS: usize = 32;

/// An object as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// What is the row's own, as an object.
    pub own: String,
    /// The members of the two objects that it shares with other rows, or `None` if it shares nothing.
    parts: Option<[String; 2]>,
}

impl Stored {
    /// Splits a spec. All runs on an image share its part, and so do all runs of a recipe with the same lock.
    pub fn spec(spec: &JobSpec) -> Result<Self> {
        match spec {
            JobSpec::Image(_) => Self::whole(spec),
            JobSpec::Run(_) => Self::split(spec, |key| match key {
                "kind" => Place::Own,
                "image" => Place::First,
                _ => Place::Second,
            }),
        }
    }

    /// Splits a report. Reports about runs on an image share its part, and so do those of a recipe with the same lock.
    pub fn report(report: &Report) -> Result<Self> {
        match report.lock {
            None => Self::whole(report),
            Some(_) => Self::split(report, |key| match key {
                "interpreter" | "images" => Place::First,
                "lock" | "modes" => Place::Second,
                _ => Place::Own,
            }),
        }
    }

    fn whole(value: &impl Serialize) -> Result<Self> {
        Ok(Self {
            own: serde_json::to_string(value)?,
            parts: None,
        })
    }

    fn split(value: &impl Serialize, place: impl Fn(&str) -> Place) -> Result<Self> {
        let (mut own, mut first, mut second) = (Map::new(), Map::new(), Map::new());
        let Value::Object(members) = serde_json::to_value(value)? else {
            return Self::whole(value);
        };
        for (key, member) in members {
            let object = match place(&key) {
                Place::Own => &mut own,
                Place::First => &mut first,
                Place::Second => &mut second,
            };
            object.insert(key, member);
        }
        if [&own, &first, &second].iter().any(|object| object.is_empty()) {
            return Self::whole(value);
        }
        Ok(Self {
            own: serde_json::to_string(&own)?,
            parts: Some([members_of(&first)?, members_of(&second)?]),
        })
    }
}

/// Where a member of an object is stored.
enum Place {
    Own,
    First,
    Second,
}

/// Returns an object as JSON, without its braces.
fn members_of(object: &Map<String, Value>) -> Result<String> {
    let mut text = serde_json::to_string(object)?;
    text.pop();
    Ok(text.split_off(1))
}

impl Store {
    /// Stores the shared parts of an object, unless they are stored already. Returns their digests. A transaction that
    /// ends an attempt does so after it locked the run, and before it locks groups of jobs.
    pub(super) async fn share(&self, tx: &mut Tx, stored: &Stored) -> Result<[Option<String>; 2]> {
        let Some(parts) = &stored.parts else {
            return Ok([None, None]);
        };
        let digests = parts.each_ref().map(|members| {
            let mut digest = digest(&[members.as_bytes()]);
            digest.truncate(DIGITS);
            digest
        });
        for (digest, members) in digests.iter().zip(parts) {
            let sql = "INSERT INTO shared_json (digest, members) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
            sqlx::query(sql).bind(digest).bind(members).execute(&mut **tx).await?;
        }
        Ok(digests.map(Some))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Outcome;

    #[test]
    fn reports_of_one_recipe_on_one_image_share_all_but_their_own_results() {
        let report = |outcome| Report {
            lock: Some("{}".to_owned()),
            interpreter: Some("3.15".to_owned()),
            images: [("cpython".to_owned(), "sha256:1".to_owned())].into(),
            ..Report::of(outcome)
        };
        let passed = Stored::report(&report(Outcome::Passed)).unwrap();
        let failed = Stored::report(&report(Outcome::Failed { exit_code: 1 })).unwrap();
        assert_eq!(passed.parts, failed.parts);
        assert_ne!(passed.own, failed.own);
        let [images, lock] = passed.parts.unwrap();
        assert_eq!(images, r#""images":{"cpython":"sha256:1"},"interpreter":"3.15""#);
        assert_eq!(lock, r#""lock":"{}""#);
        assert!(
            passed.own.starts_with('{') && !passed.own.contains("3.15"),
            "{}",
            passed.own
        );
        let other = Report {
            interpreter: Some("3.14".to_owned()),
            ..report(Outcome::Passed)
        };
        let other = Stored::report(&other).unwrap().parts.unwrap();
        assert_eq!((other[0] != images, &other[1]), (true, &lock));
    }

    #[test]
    fn a_report_without_a_lock_is_stored_as_a_whole() {
        let stored = Stored::report(&Report::of(Outcome::Passed)).unwrap();
        assert_eq!(stored.own, serde_json::to_string(&Report::of(Outcome::Passed)).unwrap());
        assert_eq!(stored.parts, None);
    }
}
