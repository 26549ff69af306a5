//! `pybots try-patch PATCH|REF`: shows what a change to CPython would break or fix, before it lands.

use super::local::{self, LocalRunner, RunOptions, Runs, short};
use crate::compare::{ComparedRevision, Comparison};
use crate::config::Settings;
use crate::recipe::Registered;
use crate::store::revisions::Revision;
use crate::verdict::{Answer, Cell, Change, HistoryEntry, ProjectResult, RunEnd, Subject, cell, compare, suspicions};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

#[derive(Args)]
pub struct TryPatch {
    /// A patch file, or a branch or tag of the repository in `source.git`.
    #[arg(value_name = "PATCH|REF")]
    change: String,
    /// The revision or branch to compare with. A patch is applied to it. A branch or tag is compared with the commit at
    /// which it diverged from it. The default is the first branch of the settings.
    #[arg(long, value_name = "BRANCH|REVISION")]
    base: Option<String>,
    /// Recipe files or names of registered projects, separated by commas. The default is every registered project.
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    projects: Vec<String>,
    #[command(flatten)]
    options: RunOptions,
}

impl TryPatch {
    /// Runs the command. The exit code is 0 if no project is newly failing, 1 if one is, and 2 if the change could not
    /// be tried.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let projects = self.chosen(settings).await?;
        let runner = LocalRunner::open(settings, projects, &self.options.variant).await?;
        let compared = self.compare(&runner).await;
        runner.close().await?;
        let compared = compared?;
        if self.options.json {
            crate::cli::output::json(&compared)?;
        } else {
            out!("{}", compared.markdown());
        }
        Ok(compared.exit_code())
    }

    async fn chosen(&self, settings: &Settings) -> Result<Vec<Registered>> {
        if self.projects.is_empty() {
            return Ok(local::registered(settings).await?.0);
        }
        let mut chosen = Vec::new();
        for name in &self.projects {
            chosen.push(local::project(settings, name).await?);
        }
        Ok(chosen)
    }

    async fn compare(&self, runner: &LocalRunner) -> Result<Comparison> {
        let (base, patched) = self.sides(runner).await?;
        errln!("{} against {}", short(&patched.sha), short(&base.sha));
        let mut projects = Vec::new();
        for project in &runner.projects {
            let name = project.recipe.name.get_ref();
            errln!("{name}:");
            let mut runs = Runs::new(runner, project, &base.branch, &self.options);
            let (before, after) = runs.both(&base.sha, &patched.sha).await?;
            if let (RunEnd::Run(..), RunEnd::NoImage) = (&before, &after) {
                bail!("CPython can't be built with this change; `--verbose` shows why");
            }
            let compared = compare(name, &side(&before), &side(&after));
            let (broke, fixed) = confirm(&mut runs, &base, &patched, before, after).await?;
            let compared = compared.confirmed(&broke, &fixed);
            projects.push(compared);
        }
        projects.sort_by_key(|compared| compared.difference);
        Ok(Comparison {
            base: self.compared(&base),
            now: self.compared(&patched),
            projects,
        })
    }

    /// Returns the two revisions to compare. For a patch, they are the base and the base with the patch; for a branch
    /// or tag, the revision at which it diverged from the base, and its tip.
    async fn sides(&self, runner: &LocalRunner) -> Result<(Revision, Revision)> {
        let base = runner.revision_or_first(self.base.as_deref()).await?;
        let name = self.base.as_deref().unwrap_or(&base.branch);
        let mirror = &runner.sources.mirror;
        let file = Path::new(&self.change);
        if file.is_file() {
            let file = file.canonicalize().context("failed to find the patch file")?;
            let patched = mirror.patched(&base.sha, &file).await;
            let patched = patched.with_context(|| format!("{} does not apply to {name}", self.change))?;
            let patched = runner.revision_on(&base.branch, &patched).await?;
            return Ok((base, patched));
        }
        let tips = mirror.tips(std::slice::from_ref(&self.change)).await?;
        let Some(Some(tip)) = tips.into_iter().next() else {
            bail!(
                "{:?} is neither a file nor a branch or tag of {}",
                self.change,
                mirror.url()
            );
        };
        let sha = mirror.fetch("try-patch", &tip).await?;
        let Some(fork) = mirror.merge_base(&base.sha, &sha).await else {
            bail!("{} and {name} have no common ancestor", self.change);
        };
        if fork == sha {
            bail!("{} is already part of {name}", self.change);
        }
        Ok((
            runner.revision_on(&base.branch, &fork).await?,
            runner.revision_on(&base.branch, &sha).await?,
        ))
    }

    fn compared(&self, revision: &Revision) -> ComparedRevision {
        ComparedRevision {
            branch: revision.branch.clone(),
            revision: revision.sha.clone(),
            name: revision.name().to_owned(),
            subject: revision.subject.clone(),
            variant: self.options.variant.clone(),
            version: revision.version.clone(),
        }
    }
}

fn side(end: &RunEnd) -> ProjectResult {
    match end {
        RunEnd::NoImage => ProjectResult {
            cell: Some(Cell::NoImage),
            tests: None,
        },
        RunEnd::Run(outcome, tests) => ProjectResult {
            cell: Some(cell([outcome], false)),
            tests: tests.clone(),
        },
    }
}

/// Reruns both revisions until chance is excluded. Returns the subjects that the change broke, and the subjects that it
/// fixed.
async fn confirm(
    runs: &mut Runs<'_>,
    base: &Revision,
    patched: &Revision,
    before: RunEnd,
    after: RunEnd,
) -> Result<(BTreeSet<Subject>, BTreeSet<Subject>)> {
    let row = |revision: &Revision, end| HistoryEntry::new(revision.sha.as_str().into(), end);
    let (mut broke, mut fixed) = (BTreeSet::new(), BTreeSet::new());
    for suspicion in suspicions(&[row(base, before), row(patched, after)], &[], &[]) {
        let revisions = vec![base.sha.clone(), patched.sha.clone()];
        let found = match suspicion.change {
            Change::Broke => &mut broke,
            Change::Fixed => &mut fixed,
        };
        for finding in runs.search(suspicion.change, revisions, suspicion.subjects).await? {
            if let Answer::Culprit { .. } | Answer::Range { .. } = finding.answer {
                found.extend(finding.subjects);
            }
        }
    }
    Ok((broke, fixed))
}
