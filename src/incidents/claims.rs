//! The claims of an incident about its revisions, and which of them only projects in probation make.

use crate::domain::id::{IncidentId, RevisionId};
use crate::domain::trust::{Accuser, Trust};
use crate::store::Store;
use crate::store::regressions::Regression;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// A revision, and whether the incident claims that it is the culprit. If not, it is the end of a range.
type Claim = (RevisionId, bool);

/// The claims of an incident with enough support: a maintainer agreed, CPython does not build, or a project that is not
/// in probation or projects of two owners make them.
pub struct CorroboratedClaims {
    believed: BTreeSet<Claim>,
}

impl CorroboratedClaims {
    /// Reads the claims of an incident. `regressions` are the regressions of the incident.
    pub async fn read(store: &Store, trust: &Trust, id: &IncidentId, regressions: &[Regression]) -> Result<Self> {
        let agreed = store.agreements(id).await?;
        let counts = store.agreed_of_projects_in(id).await?;
        Ok(Self::of(trust, &agreed, &counts, regressions))
    }

    /// Computes the claims. `agreed` contains the revisions and projects with which maintainers agreed in this
    /// incident. `counts` is the number of incidents of each project with which maintainers agreed.
    fn of(
        trust: &Trust,
        agreed: &BTreeSet<(RevisionId, String)>,
        counts: &BTreeMap<String, i64>,
        regressions: &[Regression],
    ) -> Self {
        let mut claims: BTreeMap<Claim, (bool, BTreeSet<Accuser>)> = BTreeMap::new();
        for regression in regressions {
            let (is_agreed, accusers) = claims.entry(claim(regression)).or_default();
            let project = &regression.series.project;
            *is_agreed |= agreed.contains(&(regression.bad_id.clone(), project.clone()));
            // a regression without an investigation is a failed build of CPython, whatever its project is called
            accusers.insert(match &regression.investigation_id {
                None => Accuser::Coordinator,
                Some(_) => Accuser::Project {
                    name: project.clone(),
                    agreed: counts.get(project).copied().unwrap_or_default(),
                },
            });
        }
        claims.retain(|_, (is_agreed, accusers)| *is_agreed || trust.believes(accusers.iter()));
        Self {
            believed: claims.into_keys().collect(),
        }
    }

    /// Returns whether only projects in probation support the claim of a regression.
    pub fn is_unconfirmed(&self, regression: &Regression) -> bool {
        !self.believed.contains(&claim(regression))
    }

    /// Returns whether only projects in probation support all claims of the incident. Returns `true` for an incident
    /// without claims.
    pub fn are_unconfirmed(&self) -> bool {
        self.believed.is_empty()
    }
}

fn claim(regression: &Regression) -> Claim {
    (regression.bad_id.clone(), regression.exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::series::Series;
    use crate::domain::trust::Maintained;

    fn regression(project: &str, bad: &str, exact: bool) -> Regression {
        Regression {
            id: "1".into(),
            incident_id: "1".into(),
            investigation_id: Some("1".into()),
            series: Series {
                branch_id: "1".into(),
                project: project.into(),
                variant: "default".into(),
                platform: "linux/amd64".into(),
            },
            branch: "trunk".into(),
            source: String::new(),
            subjects: Vec::new(),
            good_id: "good".into(),
            bad_id: bad.into(),
            good_seq: 1,
            bad_seq: 2,
            exact,
            reason: None,
            rate: None,
            error: None,
            signature: None,
            difference: Vec::new(),
            conditions: Vec::new(),
            probed: Vec::new(),
            good_attempt: None,
            bad_attempt: None,
            fixed_id: None,
            fixed_as: None,
            fixed_at: None,
        }
    }

    #[test]
    fn each_claim_needs_somebody_of_its_own() {
        let trust = Trust {
            maintained: Maintained::These(["kept".to_owned()].into()),
            probation: 2,
            owners: BTreeMap::new(),
        };
        let range = regression("kept", "x", false);
        let (liar, other) = (regression("liar", "x", true), regression("liar", "y", true));
        let build = Regression {
            investigation_id: None,
            ..regression("cpython", "z", true)
        };
        let pretends = regression("cpython", "w", true);
        let all = [range, liar, other, build, pretends];
        let unconfirmed = |agreed: &[(&str, &str)]| {
            let agreed = agreed
                .iter()
                .map(|(revision, project)| ((*revision).into(), (*project).to_owned()));
            let claims = CorroboratedClaims::of(&trust, &agreed.collect(), &BTreeMap::new(), &all);
            assert!(!claims.are_unconfirmed());
            all.iter().map(|one| claims.is_unconfirmed(one)).collect::<Vec<_>>()
        };
        // the end of a range is not the culprit, and a project's name does not make it a build of CPython
        assert_eq!(unconfirmed(&[]), [false, true, true, false, true]);
        // a maintainer agreed before the liar named a second revision
        assert_eq!(unconfirmed(&[("x", "liar")]), [false, false, true, false, true]);
        // a maintainer agreed with the range
        assert_eq!(unconfirmed(&[("x", "kept")]), [false, true, true, false, true]);
    }
}
