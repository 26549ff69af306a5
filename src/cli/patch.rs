//! `pybots try-patch PATCH|REF`: what a change would do to projects, before it lands.

use super::local::{self, How, Runs, Workshop, short};
use crate::compare::{Comparison, Place};
use crate::config::Settings;
use crate::recipe::{Registered, load_folder};
use crate::store::revisions::Revision;
use crate::verdict::{Answer, Cell, Change, End, Row, Side, Subject, cell, compare, suspicions};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

#[derive(Args)]
pub struct TryPatch {
    /// A file with a patch, or a ref of the repository that the settings name.
    #[arg(value_name = "PATCH|REF")]
    change: String,
    /// What it is compared with: a patch goes on top of it. For a ref: where it left this line.
    #[arg(long, default_value = "trunk", value_name = "BRANCH|CHECK-IN")]
    base: String,
    /// Recipe files or names of registered projects, with commas between them; all that are registered.
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    projects: Vec<String>,
    #[command(flatten)]
    how: How,
}

impl TryPatch {
    /// Exit code 0: nothing fails newly; 1: something does; 2: it could not be tried.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let projects = self.chosen(settings)?;
        let workshop = Workshop::open(settings, projects, &self.how.variant).await?;
        let compared = self.compare(&workshop).await;
        workshop.close().await?;
        let compared = compared?;
        if self.how.json {
            outln!("{}", serde_json::to_string_pretty(&compared)?);
        } else {
            out!("{}", compared.markdown());
        }
        Ok(compared.exit_code())
    }

    fn chosen(&self, settings: &Settings) -> Result<Vec<Registered>> {
        if self.projects.is_empty() {
            return Ok(load_folder(settings.projects_folder())?.0);
        }
        let named = self.projects.iter();
        named.map(|name| local::project(settings, name)).collect()
    }

    async fn compare(&self, workshop: &Workshop) -> Result<Comparison> {
        let (base, patched) = self.sides(workshop).await?;
        eprintln!("{} against {}", short(&patched.sha), short(&base.sha));
        let mut projects = Vec::new();
        for project in &workshop.projects {
            let name = project.recipe.name.get_ref();
            eprintln!("{name}:");
            let mut runs = Runs::new(workshop, project, &base.branch, &self.how.variant, self.how.verbose);
            let (before, after) = (runs.one(&base.sha).await?, runs.one(&patched.sha).await?);
            if let (End::Run(..), End::NoImage) = (&before, &after) {
                bail!("CPython can't be built with this change; `--verbose` shows why");
            }
            let compared = compare(name, &side(&before), &side(&after));
            let (broke, fixed) = confirm(&mut runs, &base, &patched, before, after).await?;
            let compared = compared.confirmed(&broke, &fixed);
            projects.push(compared);
        }
        projects.sort_by_key(|compared| compared.difference);
        Ok(Comparison {
            base: self.place(&base),
            now: self.place(&patched),
            projects,
        })
    }

    /// What is compared: the base, and the base with the change.
    async fn sides(&self, workshop: &Workshop) -> Result<(Revision, Revision)> {
        let base = workshop.revision(&self.base).await?;
        let mirror = &workshop.sources.mirror;
        let file = Path::new(&self.change);
        if file.is_file() {
            let file = file.canonicalize().context("failed to find the patch")?;
            let patched = mirror.patched(&base.sha, &file).await;
            let patched = patched.with_context(|| format!("{} does not go on top of {}", self.change, self.base))?;
            let patched = workshop.check_in(&base.branch, &patched).await?;
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
        let Some(parting) = mirror.parting(&base.sha, &sha).await else {
            bail!("{} and {} have nothing in common", self.change, self.base);
        };
        if parting == sha {
            bail!("{} is part of {} already", self.change, self.base);
        }
        Ok((
            workshop.check_in(&base.branch, &parting).await?,
            workshop.check_in(&base.branch, &sha).await?,
        ))
    }

    fn place(&self, revision: &Revision) -> Place {
        Place {
            branch: revision.branch.clone(),
            revision: revision.sha.clone(),
            name: revision.name().to_owned(),
            subject: revision.subject.clone(),
            variant: self.how.variant.clone(),
            version: revision.version.clone(),
        }
    }
}

fn side(end: &End) -> Side {
    match end {
        End::NoImage => Side {
            cell: Some(Cell::NoImage),
            tests: None,
        },
        End::Run(outcome, tests) => Side {
            cell: Some(cell([outcome], false)),
            tests: tests.clone(),
        },
    }
}

/// Both sides again: what the change broke and what it fixed, for sure.
async fn confirm(
    runs: &mut Runs<'_>,
    base: &Revision,
    patched: &Revision,
    before: End,
    after: End,
) -> Result<(BTreeSet<Subject>, BTreeSet<Subject>)> {
    let row = |revision: &Revision, end| Row {
        revision: revision.sha.clone(),
        end,
        lock: String::new(),
    };
    let (mut broke, mut fixed) = (BTreeSet::new(), BTreeSet::new());
    for suspicion in suspicions(&[row(base, before), row(patched, after)], &[]) {
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
