//! Reproduces an incident on a machine that has Docker and no part of Pybots.

mod image;
mod network;
mod rerun;
mod sources;

use crate::domain::address::Address;
use crate::domain::job::{BuildSpec, JobSpec, RunSpec};
use crate::domain::lock::Lock;
use crate::domain::text::is_odd;
use crate::domain::trust::Trust;
use crate::host::quote;
use crate::incidents::CorroboratedClaims;
use crate::store::Store;
use crate::store::attempts::Attempt;
use crate::store::logs::Objects;
use anyhow::{Context, Result};
use image::rebuild;
use network::FIND_CA;
use rerun::Rerun;
use std::collections::BTreeMap;

/// Everything that a reproduction of an incident needs.
#[derive(Clone, Debug)]
pub struct Reproduction {
    number: i64,
    title: String,
    /// The sentence for an incident that only projects in probation report.
    warning: Option<String>,
    /// The address of the repository that holds the revision.
    git: String,
    build: BuildSpec,
    /// The hash of the revision that fails. Its image may be that of an earlier one.
    revision: String,
    /// The run that fails. `None` if the build fails.
    rerun: Option<Box<Rerun>>,
}

/// Reads everything that reproduces the first regression of an incident that has a failing attempt. The inner error
/// says why it can't be reproduced.
pub async fn of(store: &Store, objects: &Objects, trust: &Trust, number: i64) -> Result<Result<Reproduction, String>> {
    let Some(incident) = store.incident(number).await? else {
        return Ok(Err(format!(
            "there is no incident {number}; `pybots incidents` lists them"
        )));
    };
    let regressions = store.regressions_of(&incident.id).await?;
    let Some((regression, attempt)) = regressions
        .iter()
        .find_map(|one| Some((one, one.bad_attempt.as_ref()?)))
    else {
        return Ok(Err("no run shows this incident".to_owned()));
    };
    let claims = CorroboratedClaims::read(store, trust, &incident.id, &regressions).await?;
    let warning = claims
        .is_unconfirmed(regression)
        .then(|| warning(&regression.series.project));
    let bad = store
        .revision(&regression.bad_id)
        .await?
        .context("a regression of no revision")?;
    let attempt = store.attempt(attempt).await?.context("no such attempt")?;
    let spec = store.spec_of(&attempt.job_id).await?.context("no such job")?;
    let (build, rerun) = match spec {
        JobSpec::Image(build) => (*build, None),
        JobSpec::Run(run) => {
            let build = run.image.build.clone();
            (build, Some(Box::new(rerun_of(store, objects, *run, &attempt).await?)))
        }
    };
    let found = Reproduction {
        number,
        title: format!("{} on {} {}", regression.series.project, bad.branch, bad.name()),
        warning,
        git: Address::new(regression.source.as_str()).without_login(),
        build,
        revision: bad.sha,
        rerun,
    };
    // quoting does not help against these: shells drop them, and terminals interpret them
    let odd = |c: char| is_odd(c) && c != '\n' && c != '\t';
    if found.script().contains(odd) {
        return Ok(Err(
            "its recipe or its lock contains control characters, which are not safe in a shell".to_owned(),
        ));
    }
    Ok(Ok(found))
}

/// Returns a sentence that asks people to read the recipe and the code of a project in probation before they run them.
fn warning(project: &str) -> String {
    format!(
        "Unconfirmed by others: only the project {project} says that this revision broke something, so read its recipe and its code \
         before you run them."
    )
}

async fn rerun_of(store: &Store, objects: &Objects, run: RunSpec, attempt: &Attempt) -> Result<Rerun> {
    let lock = attempt.report().and_then(|report| report.lock.as_deref());
    let remote = store.remote(&run.image.build.build_key).await?.map(|row| row.remote);
    let mut folders = BTreeMap::new();
    for (name, digest) in &run.fetch.folders {
        if let Some(tar) = objects.folder(digest).await? {
            folders.insert(name.clone(), tar);
        }
    }
    Ok(Rerun {
        pulls: remote.is_some(),
        image: remote.unwrap_or_else(|| run.image.reference.clone()),
        // without a lock that can be read, the newest versions of the index are installed
        lock: lock.and_then(Lock::read).unwrap_or_default(),
        run,
        folders,
    })
}

impl Reproduction {
    /// Returns whether the incident is about a build that fails, rather than a run.
    pub fn is_build(&self) -> bool {
        self.rerun.is_none()
    }

    /// Returns the project whose run it reproduces, and the hash of the revision at which that fails. Returns `None` if
    /// the build fails.
    pub fn run(&self) -> Option<(&str, &str)> {
        Some((self.rerun.as_ref()?.run.project.as_str(), self.revision.as_str()))
    }

    /// Returns a shell command for a machine that has the image or can pull it, or `None` if only the script can
    /// reproduce the incident.
    pub fn line(&self) -> Option<String> {
        let line = self.rerun.as_ref()?.line()?;
        Some(self.warn() + &line)
    }

    /// Returns the warning, or `None` if the incident needs none.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Returns a shell command that prints the warning, or an empty text if there is none. It ends with `; `, so that
    /// another command can follow.
    fn warn(&self) -> String {
        let echo = |warning: &String| format!("echo {} >&2; ", quote(warning));
        self.warning.as_ref().map(echo).unwrap_or_default()
    }

    /// Returns a shell script that reproduces the incident. It builds the image first if the machine does not have it.
    pub fn script(&self) -> String {
        let warning = self.warning.as_ref().map(|warning| format!("# {warning}\n"));
        let warn = self.warning.as_ref().map(|_| format!("{}\n", self.warn()));
        let mut text = format!(
            "#!/bin/sh\n# Incident {} of Pybots: {}.\n{}# Needs Docker and git. Writes to a temporary folder and adds images to Docker.\n{}set -eu\nfolder='' sources=''\ntrap 'rm -rf \"$folder\" \"$sources\"' EXIT\n{FIND_CA}\n",
            self.number,
            self.title.replace('\n', " "),
            warning.unwrap_or_default(),
            warn.unwrap_or_default(),
        );
        let rebuild = rebuild(&self.build, &self.git);
        let Some(rerun) = &self.rerun else {
            return text + &rebuild;
        };
        text += &format!("image={}\n", quote(&rerun.image));
        let pull = if rerun.pulls {
            " && ! docker pull \"$image\" 2>/dev/null"
        } else {
            ""
        };
        text += &format!("if ! docker image inspect \"$image\" >/dev/null 2>&1{pull}; then\n{rebuild}fi\n");
        text + &rerun.script()
    }
}
