//! Renders every template with a full context and with an empty one, so that each name in a template is looked up.

use super::contexts::{
    MARK, attempt_lines, attempts, badge, columns, failing_tests, grid, home, host, image, incidents, log, mark, patch,
    project, revision, some, variants,
};
use super::*;
use crate::web::account::{AccountPage, LoginPage, ProviderButton, TokenLine};
use crate::web::attempts::{AttemptsView, LogView};
use crate::web::frame::{Frame, Here};
use crate::web::grid::VariantsView;
use crate::web::hosts::{FirstResultsView, HostLine, HostPage, HostsPage, RunLink};
use crate::web::image::{FactsView, ImagePage, SourceView};
use crate::web::matrix::{FiltersView, MatrixPage, OptionView};
use crate::web::plot::{BarView, PlotView, StepView};
use crate::web::projects::{
    AnswerLine, BurnInView, FlakinessView, FlakyTest, ProjectPage, ProjectView, RecipesPage, RefusedRecipeLine,
    WaitingVersion,
};
use crate::web::queue::{GroupLine, QueuePage, RunningLine};
use crate::web::recipe::{DiffLine, RegistrationLine, VersionLine, VersionPage, VersionsPage};
use crate::web::revision::{self as one, ProjectCell, RevisionPage};
use crate::web::run::{KnownFailureView, RunPage};
use crate::web::run_verdict::{AnswerView, IncidentLink, Link, RunVerdict};
use crate::web::submit::{ProblemLine, SubmitPage};
use crate::web::test_history::{BranchLink, FailingOnBranch, TestHistoryPage, TestLine};
use crate::web::wording::Time;

/// Renders a page with a full frame, and an empty page in an empty frame.
pub(super) fn check<T: Template + Default>(full: T) {
    let html = Frame::full(full).html().unwrap();
    assert!(
        html.contains("&lt;mark&gt;") && !html.contains(MARK),
        "{}: {html}",
        T::NAME
    );
    let empty = Frame::new(None, "", Here::None, T::default());
    empty.html().unwrap();
}

#[test]
fn pages_of_revisions_have_what_their_templates_name() {
    check(MatrixPage {
        home: Some(home()),
        grid: grid(),
        projects: columns(),
        filters: FiltersView {
            named: mark(),
            about: mark(),
            owner: mark(),
            label: mark(),
            tiers: vec![option(true), option(false)],
            states: vec![option(true)],
            are_unfolded: true,
            leaves_projects_out: true,
        },
        only_changes: true,
        branch: some(),
        variants: variants(),
        older: some(),
        newest: some(),
        has_projects: false,
        legend: vec![badge()],
    });
    // a page without rows gives the reason
    for (variants, paged) in [(variants(), false), (VariantsView::default(), true)] {
        let page = MatrixPage {
            branch: some(),
            variants,
            newest: paged.then(mark),
            older: some(),
            ..MatrixPage::default()
        };
        Frame::full(page).html().unwrap();
    }
    let cells = [some(), None].map(|href| ProjectCell {
        project: mark(),
        href,
        ..ProjectCell::default()
    });
    check(RevisionPage {
        revision: revision(),
        patch: Some(patch()),
        incidents: incidents(),
        rows: vec![
            one::VariantRow {
                revision: revision(),
                image: image(),
                platform: mark(),
                compare: some(),
                cells: cells.into(),
            },
            one::VariantRow::default(),
        ],
    });
    check(ProjectPage {
        project: project(),
        registered: false,
        has_versions: true,
        incidents: incidents(),
        failing: vec![FailingOnBranch {
            failing: failing_tests(),
            more: 1,
            ..FailingOnBranch::default()
        }],
        answers: vec![AnswerLine {
            more: 1,
            sentences: vec![mark()],
            ended: Some(Time::default()),
            ..AnswerLine::default()
        }],
        burn_in: Some(BurnInView {
            disagreed: some(),
            ..BurnInView::default()
        }),
        flakiness: Some(FlakinessView {
            tests: vec![FlakyTest::default()],
            ..FlakinessView::default()
        }),
        variants: variants(),
        grid: grid(),
        recipe: some(),
        recipe_digest: mark(),
    });
    check(RecipesPage {
        projects: vec![project(), ProjectView::default()],
        waiting: vec![WaitingVersion::default()],
        refused: vec![RefusedRecipeLine::default()],
    });
}

#[test]
fn pages_with_forms_have_what_their_templates_name() {
    check(LoginPage {
        next: mark(),
        error: some(),
        provider: Some(ProviderButton {
            name: mark(),
            ..ProviderButton::default()
        }),
    });
    let ended = [Some("revoked"), None].map(|ended| TokenLine {
        used: Some(Time::default()),
        ended,
        ..TokenLine::default()
    });
    check(AccountPage {
        name: mark(),
        tokens: ended.into(),
        secret: some(),
        error: some(),
        ..AccountPage::default()
    });
    let problems = [some(), None].map(|help| ProblemLine {
        help,
        ..ProblemLine::default()
    });
    check(SubmitPage {
        project: some(),
        text: mark(),
        error: some(),
        problems: problems.into(),
        ..SubmitPage::default()
    });
    let project = || RegistrationLine {
        name: mark(),
        reason: some(),
        owner: some(),
        next_owner: some(),
        version: Some(1),
        ..RegistrationLine::default()
    };
    // a version before, during and after its trial
    let versions = || {
        [(None, None), (some(), None), (some(), some()), (None, some())].map(|(trial_run, trial)| VersionLine {
            in_force: true,
            decided_by: trial.clone(),
            reason: trial.clone(),
            trial,
            trial_run,
            ..VersionLine::default()
        })
    };
    check(VersionsPage {
        project: project(),
        versions: versions().into(),
        may_manage: true,
        is_receiver: true,
        moves: vec!["pause"],
        csrf: mark(),
    });
    let tried = versions().map(|version| (version, true)).into_iter();
    for (version, is_tried) in tried.chain([(VersionLine::default(), false)]) {
        check(VersionPage {
            project: project(),
            version,
            text: mark(),
            before: Some(1),
            diff: vec![DiffLine::default()],
            may_decide: true,
            is_tried,
            csrf: mark(),
        });
    }
}

#[test]
fn pages_of_jobs_have_what_their_templates_name() {
    let live = LogView {
        events: some(),
        empty: true,
        ..log()
    };
    let nothing = LogView {
        empty: true,
        ..LogView::default()
    };
    let ended = AttemptsView {
        running: false,
        ..attempts(nothing)
    };
    for attempts in [attempts(log()), attempts(live), ended] {
        check(RunPage {
            project: mark(),
            revision: revision(),
            image: image(),
            run_verdict: Some(RunVerdict {
                base: Some(Link::default()),
                compare: some(),
                since: Some(Link::default()),
                or_before: true,
                subjects: vec![mark()],
                more: 1,
                bisect: some(),
                incidents: [true, false]
                    .map(|is_unconfirmed| IncidentLink {
                        number: 1,
                        is_unconfirmed,
                    })
                    .into(),
                answers: vec![AnswerView {
                    sentence: mark(),
                    at: Some(Link::default()),
                }],
                ..RunVerdict::default()
            }),
            known_failures: vec![KnownFailureView {
                test: mark(),
                expired: true,
                ..KnownFailureView::default()
            }],
            attempts,
            recipe: some(),
            version: Some(1),
            trial: true,
            ..RunPage::default()
        });
    }
    check(ImagePage {
        badge: Some(badge()),
        waits: some(),
        source: Some(SourceView::default()),
        reference: some(),
        digest: some(),
        size: some(),
        facts: Some(FactsView {
            soabi: mark(),
            missing_modules: vec![mark()],
            ..FactsView::default()
        }),
        rows: vec![revision()],
        more: true,
        attempts: attempts(log()),
        ..ImagePage::default()
    });
    check(HostsPage {
        hosts: vec![host(), HostLine::default()],
    });
    for test in [None, some()] {
        check(TestHistoryPage {
            project: mark(),
            variant: some(),
            branches: [true, false]
                .map(|here| BranchLink {
                    here,
                    ..BranchLink::default()
                })
                .into(),
            test,
            failing: failing_tests(),
            more: 1,
            plots: vec![PlotView {
                bars: vec![BarView {
                    title: mark(),
                    ..BarView::default()
                }],
                steps: vec![StepView {
                    name: mark(),
                    ..StepView::default()
                }],
                label: mark(),
                top: mark(),
                ..PlotView::default()
            }],
            results: vec![
                TestLine {
                    error: some(),
                    ..TestLine::default()
                },
                TestLine::default(),
            ],
            older: some(),
            ..TestHistoryPage::default()
        });
    }
    check(QueuePage {
        running: vec![RunningLine::default()],
        more_running: 1,
        groups: vec![
            GroupLine {
                project: some(),
                variant: some(),
                reruns: true,
                takes: some(),
                ends: Some(Time::default()),
                ..GroupLine::default()
            },
            GroupLine::default(),
        ],
        more_groups: 1,
        sentence: mark(),
    });
    check(HostPage {
        host: host(),
        added: Time::default(),
        first_results: Some(FirstResultsView {
            counts_alone: true,
            unrepeated: 1,
            disagreed: vec![RunLink::default()],
            ..FirstResultsView::default()
        }),
        running: attempt_lines(),
        finished: attempt_lines(),
    });
}

fn option(chosen: bool) -> OptionView {
    OptionView {
        chosen,
        ..OptionView::default()
    }
}
