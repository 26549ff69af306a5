//! Renders the pages of incidents, comparisons, searches and errors with a full context and with an empty one.

use super::contexts::{culprit_head, incidents, issues, mark, patch, regressions, some};
use super::tests::check;
use crate::web::compare::{
    ChoiceLink, ChoiceRow, ChoosePage, ComparePage, ComparedGroup, ComparedProject, TestsLine, UnknownSide,
};
use crate::web::frame::ErrorPage;
use crate::web::incident::{IncidentPage, NoteLine, ScriptView, WaiverNotice};
use crate::web::incidents::{IncidentsPage, InvestigationLine};
use crate::web::search::{FoundRevision, SearchPage};

#[test]
fn pages_of_verdicts_have_what_their_templates_name() {
    let investigations = || {
        vec![InvestigationLine {
            tests: mark(),
            ..InvestigationLine::default()
        }]
    };
    check(IncidentsPage {
        open: incidents(),
        closed: incidents(),
        under_way: investigations(),
        answered: investigations(),
    });
    for (reported_link, is_build) in [(true, false), (false, true)] {
        check(IncidentPage {
            incident: incidents().remove(0),
            regressions: regressions(),
            more: 1,
            assigned_to: Some("somebody"),
            reported_as: some(),
            reported_link,
            waiver: Some(WaiverNotice::default()),
            recurrence_of: Some(1),
            script: Some(ScriptView {
                is_build,
                warning: some(),
            }),
            reproduce: some(),
            head: Some(culprit_head()),
            patch: Some(patch()),
            issues: issues(),
            may_decide: true,
            csrf: mark(),
            history: vec![NoteLine::default()],
        });
    }
    let tests = TestsLine {
        what: "newly failing",
        named: vec![mark()],
        more: 1,
    };
    let mut page = ComparePage {
        groups: vec![ComparedGroup {
            projects: vec![ComparedProject {
                tests: vec![tests, TestsLine::default()],
                ..ComparedProject::default()
            }],
            ..ComparedGroup::default()
        }],
        ..ComparePage::default()
    };
    page.base.version = some();
    page.now.version = some();
    check(page);
    let choice = ChoiceRow {
        name: mark(),
        against: vec![ChoiceLink::default(), ChoiceLink::default()],
    };
    let unknown = [true, false].map(|is_found| UnknownSide {
        name: mark(),
        found: is_found.then(ChoiceLink::default).into_iter().collect(),
    });
    check(ChoosePage {
        base: mark(),
        now: mark(),
        unknown: unknown.into(),
        rows: vec![choice, ChoiceRow::default()],
    });
    check(SearchPage {
        query: mark(),
        revisions: vec![FoundRevision::default()],
        projects: vec![mark()],
        incidents: incidents(),
        is_empty: true,
    });
    check(ErrorPage {
        code: 404,
        path: mark(),
        advice: "advice".to_owned(),
    });
}
