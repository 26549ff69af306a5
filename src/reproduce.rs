//! An incident once more, on a machine that has Docker and nothing of ours.

mod image;
mod rerun;
mod sources;

use crate::config::NetworkSettings;
use crate::domain::job::{BuildSpec, JobSpec, Report, RunSpec};
use crate::domain::text::is_odd;
use crate::host::quote;
use crate::incidents::without_login;
use crate::store::Store;
use crate::store::attempts::Attempt;
use crate::store::logs::Objects;
use anyhow::{Context, Result};
use image::rebuild;
use rerun::Rerun;
use std::collections::BTreeMap;

/// Where the CA bundle of this machine is inside of a container.
const CA: &str = "/ca.crt";

/// What it takes to do again what failed.
#[derive(Clone, Debug)]
pub struct Reproduction {
    number: i64,
    title: String,
    /// The repository that holds the check-in.
    git: String,
    build: BuildSpec,
    /// None: it is the build that fails.
    rerun: Option<Box<Rerun>>,
    /// What this machine's network wants; and the CA bundle's path on it.
    network: BTreeMap<String, String>,
    ca: Option<String>,
}

/// What failed of an incident's first breakage; an error says why there is none.
pub async fn of(store: &Store, objects: &Objects, number: i64) -> Result<Result<Reproduction, String>> {
    let Some(incident) = store.incident(number).await? else {
        return Ok(Err(format!(
            "there is no incident {number}; `pybots incidents` lists them"
        )));
    };
    let breakages = store.breakages_of(&incident.id).await?;
    let Some((breakage, attempt)) = breakages
        .iter()
        .find_map(|one| Some((one, one.bad_attempt.as_deref()?)))
    else {
        return Ok(Err("no run of it is known".to_owned()));
    };
    let bad = store
        .revision(&breakage.bad_id)
        .await?
        .context("a breakage of no check-in")?;
    let attempt = store.attempt(attempt).await?.context("no such attempt")?;
    let spec = store.spec_of(&attempt.job_id).await?.context("no such job")?;
    let (build, rerun) = match serde_json::from_str(&spec).context("its job can't be read")? {
        JobSpec::Image(build) => (*build, None),
        JobSpec::Run(run) => {
            let build = run.image.build.clone();
            (build, Some(Box::new(rerun_of(store, objects, *run, &attempt).await?)))
        }
    };
    let found = Reproduction {
        number,
        title: format!("{} on {} {}", breakage.project, bad.branch, bad.name()),
        git: without_login(&breakage.source),
        build,
        rerun,
        network: BTreeMap::new(),
        ca: None,
    };
    // what is quoted stays quoted but for these, which shells drop and terminals obey
    let odd = |c: char| is_odd(c) && c != '\n' && c != '\t';
    if found.script().contains(odd) {
        return Ok(Err(
            "its recipe or its versions have control characters, which no shell is to be given".to_owned(),
        ));
    }
    Ok(Ok(found))
}

async fn rerun_of(store: &Store, objects: &Objects, run: RunSpec, attempt: &Attempt) -> Result<Rerun> {
    let report: Option<Report> = attempt.report();
    let lock = report.and_then(|report| report.lock);
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
        // what can't be read of it is left to the index
        lock: lock
            .and_then(|lock| serde_json::from_str(&lock).ok())
            .unwrap_or_default(),
        run,
        folders,
    })
}

impl Reproduction {
    /// The same for this machine, whose network may want a proxy, or a CA of its own.
    pub fn with_network(mut self, network: &NetworkSettings) -> Result<Self> {
        let ca = &network.ca;
        if !ca.as_os_str().is_empty() {
            let ca =
                std::fs::canonicalize(ca).with_context(|| format!("failed to find the CA bundle {}", ca.display()))?;
            self.ca = Some(ca.display().to_string());
        }
        self.network = network.environment(self.ca.as_ref().map(|_| CA));
        Ok(self)
    }

    /// Whether it is the build that fails.
    pub fn is_build(&self) -> bool {
        self.rerun.is_none()
    }

    /// One line for the shell of a machine that has the image, or can pull it. None: it takes the script.
    pub fn line(&self) -> Option<String> {
        self.rerun.as_ref()?.line(&self.options())
    }

    /// The same as a script, which first builds the image where it is not at hand.
    pub fn script(&self) -> String {
        let mut text = format!(
            "#!/bin/sh\n# Incident {} of Pybots: {}.\n# Needs Docker and git. Does not touch anything but a folder of its own and Docker's images.\nset -eu\nfolder='' sources=''\ntrap 'rm -rf \"$folder\" \"$sources\"' EXIT\n",
            self.number,
            self.title.replace('\n', " ")
        );
        let rebuild = rebuild(&self.build, &self.git, &self.network, self.ca.as_deref());
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
        text + &rerun.script(&self.options())
    }

    /// Options of `docker run`.
    fn options(&self) -> String {
        let mut options: String = self
            .network
            .iter()
            .map(|(name, value)| format!(" -e {}", quote(&format!("{name}={value}"))))
            .collect();
        if let Some(ca) = &self.ca {
            options += &format!(" -v {}", quote(&format!("{ca}:{CA}:ro")));
        }
        options
    }
}
