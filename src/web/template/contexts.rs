//! Contexts that contain everything that a template can show.

use crate::store::views::Column;
use crate::web::attempts::{AttemptView, AttemptsView, LogView, PhaseView, StreamLink, TestsView};
use crate::web::grid::{
    CellView, ColumnsView, Grid, GridRow, ImageView, RevisionHead, SharedView, VariantLink, VariantsView,
};
use crate::web::home::{HeadLine, HomeView};
use crate::web::hosts::{AttemptLine, HostLine};
use crate::web::incident::{CulpritHead, IssueView, ProbedLine, RegressionSection};
use crate::web::incidents::{IncidentLine, RevisionLink};
use crate::web::patch::{FileView, PatchView};
use crate::web::projects::ProjectView;
use crate::web::recipe::DiffLine;
use crate::web::test_history::{FailureLine, SinceView};
use crate::web::wording::{Badge, Time};

/// A text to look for on the page.
pub const MARK: &str = "<mark>";

pub fn mark() -> String {
    MARK.to_owned()
}

pub fn some() -> Option<String> {
    Some(mark())
}

pub fn badge() -> Badge {
    Badge {
        class: "pass",
        sign: "✓",
        word: mark(),
    }
}

pub fn revision() -> RevisionHead {
    RevisionHead {
        branch: mark(),
        version: some(),
        left: Some(Time::default()),
        variant: some(),
        ..RevisionHead::default()
    }
}

pub fn image() -> ImageView {
    ImageView {
        badge: badge(),
        href: some(),
        shared: Some(SharedView::default()),
        ..ImageView::default()
    }
}

pub fn cell() -> CellView {
    CellView {
        badge: badge(),
        href: some(),
        is_same: true,
        ..CellView::default()
    }
}

/// Returns two rows: one with everything, and one without links.
pub fn grid() -> Grid {
    let full = GridRow {
        again: true,
        revision: revision(),
        image: image(),
        cells: vec![cell(), CellView::default()],
        meaning: Some(badge()),
        folded: 2,
    };
    Grid {
        columns: [true, false]
            .map(|registered| Column {
                name: mark(),
                registered,
            })
            .into(),
        rows: vec![full, GridRow::default()],
        mixed: true,
        width: 3,
    }
}

pub fn columns() -> ColumnsView {
    ColumnsView {
        before: some(),
        after: some(),
        ..ColumnsView::default()
    }
}

pub fn home() -> HomeView {
    HomeView {
        incidents: incidents(),
        more: 1,
        under_way: 2,
        heads: vec![HeadLine {
            sentence: mark(),
            ..HeadLine::default()
        }],
        backlog: mark(),
        fleet: mark(),
    }
}

pub fn variants() -> VariantsView {
    let links = [true, false].map(|here| VariantLink {
        name: mark(),
        here,
        href: mark(),
    });
    VariantsView {
        asked: some(),
        all: mark(),
        links: links.into(),
    }
}

pub fn log() -> LogView {
    LogView {
        html: "html".to_owned(),
        streams: vec![StreamLink {
            name: "all",
            href: mark(),
            here: true,
        }],
        stream: Some("stdout"),
        tail: true,
        part: some(),
        clock: some(),
        earlier: Some(1),
        later: Some(2),
        ..LogView::default()
    }
}

pub fn attempts(log: LogView) -> AttemptsView {
    let attempt = AttemptView {
        registered: true,
        late: Some(badge()),
        compares: true,
        here: true,
        ..AttemptView::default()
    };
    let phase = PhaseView {
        bad: true,
        modes: some(),
        ..PhaseView::default()
    };
    AttemptsView {
        list: vec![attempt, AttemptView::default()],
        several: true,
        phases: vec![phase, PhaseView::default()],
        log: Some(log),
        running: true,
        interpreter: some(),
        lock: some(),
        tests: Some(TestsView {
            failures: failing_tests(),
            more: 1,
            ..TestsView::default()
        }),
    }
}

/// Returns a test with everything, and one without links.
pub fn failing_tests() -> Vec<FailureLine> {
    let full = FailureLine {
        test: mark(),
        message: mark(),
        href: some(),
        since: Some(SinceView::default()),
    };
    vec![full, FailureLine::default()]
}

pub fn link() -> RevisionLink {
    RevisionLink {
        subject: mark(),
        author: some(),
        link: some(),
        ..RevisionLink::default()
    }
}

/// Returns an open incident with a culprit, and a closed one without.
pub fn incidents() -> Vec<IncidentLine> {
    let open = IncidentLine {
        title: mark(),
        unconfirmed: Some(badge()),
        culprit: Some(link()),
        ..IncidentLine::default()
    };
    let closed = IncidentLine {
        closed: Some(Time::default()),
        ..IncidentLine::default()
    };
    vec![open, closed]
}

/// Returns a regression with a culprit, and one with a range.
pub fn regressions() -> Vec<RegressionSection> {
    let regression = |exact| RegressionSection {
        exact,
        unconfirmed: Some(badge()),
        variant: some(),
        tests: vec![mark()],
        more: 1,
        bad: link(),
        reason: some(),
        rate: some(),
        error: some(),
        difference: mark(),
        probed: [true, false]
            .map(|is_bad| ProbedLine {
                marks: mark(),
                is_bad,
                ..ProbedLine::default()
            })
            .into(),
        good_attempt: some(),
        bad_attempt: some(),
        fixed_by: Some(link()),
        fixed_as: some(),
        rounds: 2,
        ..RegressionSection::default()
    };
    vec![regression(true), regression(false)]
}

/// Returns a patch with an unfolded file, and one without lines.
pub fn patch() -> PatchView {
    let file = FileView {
        path: mark(),
        note: Some("new file"),
        is_open: true,
        lines: vec![DiffLine::default()],
        ..FileView::default()
    };
    PatchView {
        size: some(),
        text: some(),
        files: vec![file, FileView::default()],
        is_cut: true,
    }
}

pub fn culprit_head() -> CulpritHead {
    CulpritHead {
        revision: link(),
        projects: mark(),
        ..CulpritHead::default()
    }
}

pub fn issues() -> Vec<IssueView> {
    vec![IssueView {
        body: mark(),
        ..IssueView::default()
    }]
}

pub fn project() -> ProjectView {
    ProjectView {
        name: mark(),
        homepage: some(),
        ..ProjectView::default()
    }
}

pub fn host() -> HostLine {
    HostLine {
        name: mark(),
        builds: true,
        slots: Some(2),
        platform: some(),
        version: some(),
        policy: some(),
        pause: some(),
        clock: some(),
        seen: Some(Time::default()),
        consecutive_failures: Some(2),
        backoff_until: Some(Time::default()),
        silence_reported: Some(Time::default()),
        ..HostLine::default()
    }
}

pub fn attempt_lines() -> Vec<AttemptLine> {
    vec![AttemptLine {
        what: mark(),
        variant: some(),
        ..AttemptLine::default()
    }]
}
