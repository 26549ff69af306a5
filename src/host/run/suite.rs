//! Reads the results of one suite: the results that its tests reported, and the meaning of its exit code.

use super::results::recorded::{self, Recorded};
use super::results::{FILE_MOST, junit};
use super::work::{LeftFile, Work};
use crate::domain::outcome::{Outcome, Timeout};
use crate::domain::results::{Failure, Tests};
use crate::domain::suite::Suite;
use crate::host::Stop;
use std::collections::BTreeSet;

/// The results of a suite, and their defects.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SuiteResults {
    pub tests: Option<Tests>,
    /// The Pythons whose test runners recorded results.
    pub pythons: BTreeSet<String>,
    /// Why the report is not complete although one was expected.
    pub incomplete: Option<String>,
    /// Tests that had begun and not ended when their runner broke off.
    pub under_way: Vec<String>,
    /// Why a JUnit file gives no results.
    pub unreadable: Option<String>,
}

/// Reads the results of a suite.
pub async fn read(work: &Work<'_>, suite: &Suite) -> Result<SuiteResults, Stop> {
    let (files, is_cut) = work.read_results(suite).await?;
    let name = suite.name.clone();
    let recorded = blocking(move || recorded::read(&name, &files, is_cut)).await?;
    let files = work.read_reports(suite).await?;
    let name = suite.name.clone();
    let file = blocking(move || JUnitFile::of(&name, files)).await?;
    let mut results = match suite.report.as_deref() {
        Some(path) => of_declared(path, file, recorded),
        None => of_runner(file, recorded),
    };
    if results == SuiteResults::default() && OWN_REPORT.iter().any(|option| suite.run.contains(option)) {
        results.unreadable = Some(OWN_REPORT_REMARK.to_owned());
    }
    Ok(results)
}

/// Options by which a suite asks pytest for a report of its own, which takes the place of ours.
const OWN_REPORT: [&str; 2] = ["--junitxml", "--junit-xml"];
const OWN_REPORT_REMARK: &str =
    "no test was recorded, and the suite writes a report of its own: name it by `report` in the recipe";

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
    Ok(tokio::task::spawn_blocking(read).await.map_err(anyhow::Error::from)?)
}

/// The JUnit file of a suite, or all of them together, as the suite left them.
#[derive(Debug, PartialEq)]
enum JUnitFile {
    Read(Tests),
    Unusable(String),
    TooLarge,
    Missing,
}

impl JUnitFile {
    /// Reads the files of a suite. If one of them can't be read, neither can the report.
    fn of(suite: &str, files: Vec<LeftFile>) -> Self {
        let mut contents = Vec::new();
        for file in files {
            match file {
                LeftFile::Read(bytes) => contents.push(bytes),
                LeftFile::Missing => {}
                LeftFile::TooLarge => return JUnitFile::TooLarge,
                LeftFile::Refused => {
                    return JUnitFile::Unusable("the container engine refuses to read it".to_owned());
                }
            }
        }
        match junit::read(suite, &contents) {
            _ if contents.is_empty() => JUnitFile::Missing,
            Ok(tests) => JUnitFile::Read(tests),
            Err(reason) => JUnitFile::Unusable(reason),
        }
    }

    /// Whether it is the suite's fault that the file gives no tests. The limit of its size is the host's.
    fn is_fault(&self) -> bool {
        matches!(self, JUnitFile::Unusable(_) | JUnitFile::Missing)
    }

    /// Returns the tests, or why there are none.
    fn tests(self, file: &str) -> Result<Tests, String> {
        let reason = match self {
            JUnitFile::Read(tests) => return Ok(tests),
            JUnitFile::Unusable(reason) => reason,
            JUnitFile::TooLarge => format!("it is larger than {} MiB", FILE_MOST >> 20),
            JUnitFile::Missing => "there is none".to_owned(),
        };
        Err(format!("the report {file} can't be read: {reason}"))
    }
}

/// Returns the results of a suite whose recipe names a report. If the report can't be read, returns the results that
/// our recorders wrote.
fn of_declared(path: &str, file: JUnitFile, recorded: Option<Recorded>) -> SuiteResults {
    let is_fault = file.is_fault();
    match file.tests(path) {
        Ok(tests) => SuiteResults {
            tests: Some(tests),
            pythons: recorded.map(|recorded| recorded.pythons()).unwrap_or_default(),
            ..SuiteResults::default()
        },
        Err(reason) => {
            let mut results = recorded.map(of_recorded).unwrap_or_default();
            if is_fault {
                results.incomplete.get_or_insert_with(|| reason.clone());
            }
            results.unreadable = Some(reason);
            results
        }
    }
}

/// Returns the results of a suite without a declared report. They come from our recorders, or else from the JUnit files
/// that pytest was asked for. A pytest outside the environment under test has no recorder of ours.
fn of_runner(file: JUnitFile, recorded: Option<Recorded>) -> SuiteResults {
    let is_fault = file.is_fault();
    match (recorded, file) {
        (Some(recorded), _) => of_recorded(recorded),
        (None, JUnitFile::Missing) => SuiteResults::default(),
        (None, file) => match file.tests("that pytest wrote") {
            Ok(tests) => SuiteResults {
                tests: Some(tests),
                ..SuiteResults::default()
            },
            Err(reason) => SuiteResults {
                incomplete: is_fault.then(|| reason.clone()),
                unreadable: Some(reason),
                ..SuiteResults::default()
            },
        },
    }
}

fn of_recorded(recorded: Recorded) -> SuiteResults {
    let incomplete = recorded
        .broken_off()
        .map(|session| format!("{} began and did not come to its end", session.runner));
    SuiteResults {
        pythons: recorded.pythons(),
        incomplete,
        tests: Some(recorded.tests),
        under_way: recorded.under_way,
        unreadable: None,
    }
}

/// Returns the outcome of a suite, or `None` if it passed. `end` is the outcome by its exit code. A suite that exits
/// with 0 has failed if its report is not complete. If the report is not complete, a single test under way becomes a
/// failure, unless the suite's time was over.
pub fn judge(end: Option<Outcome>, results: &mut SuiteResults) -> Option<Outcome> {
    let outcome = match end {
        None => results.incomplete.as_ref().map(|_| Outcome::NO_COMPLETE_REPORT),
        end => end,
    }?;
    if let Some(tests) = &mut results.tests
        && results.incomplete.is_some()
    {
        tests.incomplete = true;
        // of several tests under way, any may have ended the suite; if the time was up, none has
        if let [test] = results.under_way.as_slice()
            && !matches!(outcome, Outcome::TimedOut { which: Timeout::Total })
            && tests.state(test).is_none()
        {
            tests
                .failed
                .push(Failure::of(test, &format!("it did not end: {outcome}")));
            tests.failed.sort();
        }
    }
    Some(outcome)
}

#[cfg(test)]
mod tests {
    use super::super::results::recorded::RunnerSession;
    use super::*;

    fn passed(name: &str) -> Tests {
        Tests {
            passed: vec![name.to_owned()],
            ..Tests::default()
        }
    }

    fn recorded(has_ended: bool) -> Recorded {
        Recorded {
            tests: passed("s: recorded"),
            sessions: vec![RunnerSession {
                runner: "pytest".to_owned(),
                python: "3.14".to_owned(),
                has_ended,
            }],
            under_way: if has_ended { vec![] } else { vec!["s: slow".to_owned()] },
        }
    }

    #[test]
    fn an_exit_code_of_0_is_no_pass_without_a_complete_report() {
        let broke_off = Some(Outcome::NO_COMPLETE_REPORT);
        let file = |file| of_declared("report.xml", file, None);
        let table = [
            (of_runner(JUnitFile::Missing, None), None),
            (of_runner(JUnitFile::Missing, Some(recorded(true))), None),
            (of_runner(JUnitFile::Missing, Some(recorded(false))), broke_off.clone()),
            // pytest began to write its file, and broke off or lost the end of it
            (of_runner(JUnitFile::Unusable("x".into()), None), broke_off.clone()),
            (of_runner(JUnitFile::Unusable("x".into()), Some(recorded(true))), None),
            (of_runner(JUnitFile::TooLarge, None), None),
            (file(JUnitFile::Read(passed("s: a"))), None),
            (file(JUnitFile::Missing), broke_off.clone()),
            (file(JUnitFile::Unusable("it is empty".into())), broke_off.clone()),
            (file(JUnitFile::TooLarge), None),
            // a complete report of the recipe's own runner outweighs the runners that it started
            (
                of_declared("report.xml", JUnitFile::Read(passed("s: a")), Some(recorded(false))),
                None,
            ),
        ];
        for (mut results, expected) in table {
            assert_eq!(judge(None, &mut results), expected, "{results:?}");
        }
    }

    /// `tox -p` runs a pytest in each of its environments at the same time.
    #[test]
    fn the_files_of_several_pytests_are_one_report() {
        let file = |name: &str, inner: &str| {
            let case = format!("<testcase classname='T' name='{name}'>{inner}</testcase>");
            LeftFile::Read(format!("<testsuite>{case}</testsuite>").into_bytes())
        };
        let all = vec![file("a", ""), file("a", "<failure message='boom'/>"), file("b", "")];
        let JUnitFile::Read(tests) = JUnitFile::of("s", all) else {
            panic!("the files are not read");
        };
        assert_eq!(tests.passed, ["s: T.b"]);
        assert_eq!(tests.failed, [Failure::of("s: T.a", "boom")]);
        // one that can't be read may hold what failed
        for (broken, expected) in [
            (LeftFile::Read(Vec::new()), JUnitFile::Unusable("it is empty".into())),
            (LeftFile::TooLarge, JUnitFile::TooLarge),
        ] {
            assert_eq!(JUnitFile::of("s", vec![file("a", ""), broken]), expected);
        }
        assert_eq!(JUnitFile::of("s", Vec::new()), JUnitFile::Missing);
    }

    #[test]
    fn the_report_of_the_recipe_counts_then_the_recorders_then_pytests_file() {
        let file = || JUnitFile::Read(passed("s: file"));
        let first = |results: SuiteResults| results.tests.map(|tests| tests.passed);
        let is = |name: &str| Some(vec![name.to_owned()]);
        assert_eq!(first(of_declared("r.xml", file(), Some(recorded(true)))), is("s: file"));
        assert_eq!(first(of_runner(file(), Some(recorded(true)))), is("s: recorded"));
        assert_eq!(first(of_runner(file(), None)), is("s: file"));
        let missing = of_declared("r.xml", JUnitFile::Missing, Some(recorded(true)));
        assert_eq!(
            missing.unreadable.as_deref(),
            Some("the report r.xml can't be read: there is none")
        );
        assert_eq!(first(missing), is("s: recorded"));
    }

    #[test]
    fn the_test_that_was_interrupted_is_named() {
        let silence = Outcome::TimedOut {
            which: Timeout::Silence,
        };
        let total = Outcome::TimedOut { which: Timeout::Total };
        let table = [
            (None, Some("it did not end: failed: the suite ended before its report")),
            (
                Some(Outcome::Crashed { signal: 11 }),
                Some("it did not end: crashed (SIGSEGV)"),
            ),
            (Some(Outcome::OutOfMemory), Some("it did not end: out of memory")),
            (Some(silence), Some("it did not end: timed out (silence)")),
            (Some(total), None),
        ];
        for (end, message) in table {
            let mut results = of_recorded(recorded(false));
            judge(end.clone(), &mut results);
            let tests = results.tests.unwrap();
            let expected: Vec<Failure> = message.iter().map(|text| Failure::of("s: slow", text)).collect();
            assert_eq!(tests.failed, expected, "{end:?}");
            assert!(tests.incomplete);
        }
        // several were under way
        let mut results = of_recorded(recorded(false));
        results.under_way.push("s: other".to_owned());
        judge(Some(Outcome::OutOfMemory), &mut results);
        assert_eq!(results.tests.unwrap().failed, []);
    }
}
