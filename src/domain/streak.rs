//! Counts the consecutive jobs that a host's machinery failed, and how many of them are strikes against the host. A
//! recipe can make its runs fail in ways that nobody foresaw. So failures of related projects alone never lead to a
//! back-off.

use super::job::{JobSpec, RunSpec};
use super::suite::Source;
use super::trust::Trust;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The consecutive jobs that a host's machinery failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureStreak {
    /// Failed image builds, which no recipe controls, and failed runs of projects beyond the first [`PROJECTS_MOST`].
    others: i64,
    /// Failed runs, by the relation between their projects.
    runs: BTreeMap<String, i64>,
}

const PROJECTS_MOST: usize = 64;

impl FailureStreak {
    /// Creates the streak of a host for which the store has only the number of strikes.
    pub fn of(strikes: i64) -> Self {
        Self {
            others: strikes,
            runs: BTreeMap::new(),
        }
    }

    /// Adds the failure of a job. `None` stands for a job whose spec can't be read.
    pub fn with(&self, job: Option<&JobSpec>, trust: &Trust) -> Self {
        let mut streak = self.clone();
        match job {
            Some(JobSpec::Run(run)) => {
                let relation = relation(run, trust);
                let is_full = streak.runs.len() >= PROJECTS_MOST && !streak.runs.contains_key(&relation);
                match is_full {
                    true => streak.others += 1,
                    false => *streak.runs.entry(relation).or_default() += 1,
                }
            }
            Some(JobSpec::Image(_)) | None => streak.others += 1,
        }
        streak
    }

    /// Returns how many failures count against the host. Failures of related projects count up to one more than the
    /// number of all other failures. So a back-off needs failures of unrelated projects.
    pub fn strikes(&self) -> i64 {
        let runs: i64 = self.runs.values().sum();
        let all = self.others + runs;
        let unrelated = all - self.runs.values().max().unwrap_or(&0);
        all.min(2 * unrelated + 1)
    }
}

/// Returns a key that related projects share. Maintained projects share the account from which their sources come; a
/// project without one is related to itself only. Community projects share their owner. If the settings name no owner,
/// one person may own them all, whatever accounts they use, so they are all related.
fn relation(run: &RunSpec, trust: &Trust) -> String {
    match trust.owners.get(&run.project) {
        _ if trust.is_maintained(&run.project) => {
            let source = run.fetch.sources.first();
            source.and_then(account).unwrap_or_else(|| run.project.clone())
        }
        Some(owner) => format!("owner {owner}"),
        None => "no owner".to_owned(),
    }
}

/// Returns the server and the first folder of a source's address, such as `example.org/owner`.
fn account(source: &Source) -> Option<String> {
    let address = source.address()?;
    let (_, place) = address.split_once("://")?;
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    Some(place.split('/').take(2).collect::<Vec<_>>().join("/").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(jobs: &[Option<&str>]) -> i64 {
        let mut streak = FailureStreak::default();
        for job in jobs {
            match job {
                Some(relation) => *streak.runs.entry((*relation).to_owned()).or_default() += 1,
                None => streak.others += 1,
            }
        }
        streak.strikes()
    }

    #[test]
    fn related_projects_alone_put_no_host_to_rest() {
        assert_eq!(strikes(&[Some("a"); 100]), 1);
        assert_eq!(strikes(&[Some("a"), Some("a"), Some("b")]), 3);
        assert_eq!(strikes(&[Some("a"), Some("b"), Some("c")]), 3);
        assert_eq!(strikes(&[None; 3]), 3, "builds are nobody's recipe");
        // one bad project beside one failure of another is no more than a short rest
        assert_eq!(strikes(&[[Some("a"); 50].as_slice(), &[Some("b")]].concat()), 3);
        assert_eq!(FailureStreak::of(4).strikes(), 4);
    }

    #[test]
    fn sources_of_one_account_are_related() {
        let of = |git: &str| account(&Source::of_git(git, "x"));
        assert_eq!(
            of("https://u:p@Example.org/owner/a.git"),
            Some("example.org/owner".into())
        );
        assert_eq!(of("https://example.org/owner/b"), of("git://example.org/owner/a.git"));
        assert_ne!(of("https://example.org/other/b"), of("https://example.org/owner/b"));
    }
}
